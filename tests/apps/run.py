"""Systems that stand on ZooKeeper, on three servers of each engine by turns, on loopback.

    run.py [--engine ENGINE] [--quick] SYSTEM...    writes out/apps/SYSTEM-ENGINE.json, and a table at the end

Each system is a folder here: its packages in requirements.txt, those of its own tests in
own-tests.txt, its scenario in scenario.py, whose
`run(ensemble, folder, report, quick)` raises when something was lost or did not come back.
"""

import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = ROOT / "out" / "apps"
sys.path.insert(0, str(ROOT / "coordinator" / "tests" / "conformance"))
sys.dont_write_bytecode = True

import ensemble as ensembles  # noqa: E402

SYSTEMS = ("tooz", "patroni", "go-zk", "curator", "kafka", "observers")


def scenario(system):
    spec = importlib.util.spec_from_file_location(system, HERE / system / "scenario.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(system, engine, quick):
    """Figures by name; None for what cannot run here."""
    module = scenario(system)
    if lacking := ensembles.missing(engine) or module.missing():
        print(f"skipped: {system} on {engine}: {lacking}", flush=True)
        return None
    folder = Path(tempfile.mkdtemp(prefix=f"apps-{system}-{engine}-", dir="/var/tmp"))
    figures = {}

    def report(name, value):
        figures[name] = value
        print(f"apps: {system} on {engine}: {name}: {value}", flush=True)

    began = time.monotonic()
    with ensembles.Ensemble(engine, module.SERVERS) as running:
        module.run(running, folder, report, quick)
    report("seconds in all", round(time.monotonic() - began, 1))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{system}-{engine}.json").write_text(json.dumps(figures, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    return figures


def table(found):
    lines = []
    for system in dict.fromkeys(system for system, _ in found):
        by_engine = {engine: found.get((system, engine)) or {} for engine in ensembles.ENGINES}
        lines += [f"| {system} | coordinator | Apache ZooKeeper |", "|---|---|---|"]
        names = dict.fromkeys(name for figures in by_engine.values() for name in figures)
        cells = lambda name: " | ".join(str(by_engine[e].get(name, "–")) for e in ensembles.ENGINES)
        lines += [f"| {name} | {cells(name)} |" for name in names] + [""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=ensembles.ENGINES)
    parser.add_argument("--quick", action="store_true", help="scenarios alone, without the systems' own tests")
    parser.add_argument("systems", nargs="*", default=list(SYSTEMS))
    arguments = parser.parse_args()
    found, failed = {}, 0
    for system in arguments.systems:
        for engine in ensembles.ENGINES:
            if arguments.engine in (None, engine):
                try:
                    found[system, engine] = run(system, engine, arguments.quick)
                except Exception:  # the others still run
                    traceback.print_exc()
                    print(f"apps: {system} on {engine}: FAILED", flush=True)
                    failed += 1
    print(table(found))
    passed = sum(figures is not None for figures in found.values())
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
