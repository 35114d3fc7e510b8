#!/usr/bin/env python3
"""The figures of docs/benchmarks-zkprov.md: `zkprov apply` beside what ssh alone needs for the same, and
beside Ansible and pyinfra, on hosts of `zkprov lab`, all in one run. Runs of one and the other alternate;
a row has the least and the median of them. Called by .ci/bench-apply, which brings what it needs.
"""

import argparse
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
RELEASE = "kafka_2.13-3.3.1"
ROUND_TRIP_MS = 50

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--zkprov", required=True)
parser.add_argument("--coordinator", required=True)
parser.add_argument("--tools", help="a folder with Ansible's and pyinfra's programs")
parser.add_argument("--plan-bench", help="a program that prints how long the plan of 1,000 hosts takes")
parser.add_argument("--out", help="the page to write; else it is printed")
parser.add_argument("--readme", help="a page with a place for the comparison with other tools")
parser.add_argument("--name", default="zkbench")
parser.add_argument("--network", default="10.75.9")
parser.add_argument("--megabytes", type=int, default=100)
parser.add_argument("--many", type=int, default=24)
parser.add_argument("--sshds", type=int, default=200)
parser.add_argument("--runs", type=int, default=7)
parser.add_argument("--only", default="", help="parts: noop,cold,delay,memory,many,sshds,plan")
options = parser.parse_args()
parts = options.only.split(",") if options.only else ["noop", "cold", "delay", "memory", "many", "sshds", "plan"]

folder = Path(tempfile.mkdtemp(prefix="zkbench"))
environment = {
    **os.environ,
    "XDG_CACHE_HOME": str(folder / "cache"),
    "NO_COLOR": "1",
    "LC_ALL": "C.UTF-8",
}
rows, notes, began = [], [], time.time()


def talk(text):
    print(f"bench-apply: {time.time() - began:4.0f} s: {text}", file=sys.stderr, flush=True)


def run(*words, check=True, **more):
    ended = subprocess.run(
        [str(word) for word in words], env=environment, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more,
    )
    if check and ended.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))} ended with {ended.returncode}:\n{ended.stdout[-3000:]}")
    return ended


def timed(*words, **more):
    start = time.monotonic()
    ended = run(*words, **more)
    return time.monotonic() - start, ended


class Lab:
    """Hosts, their inventory and how ssh gets there."""

    def __init__(self, hosts):
        self.hosts = [f"kafka{number}" for number in range(1, hosts + 1)]
        self.inventory = folder / "inventory.yaml"
        self.do("down")
        self.do("up", hosts, "--network", options.network, "--inventory", self.inventory)
        self.config = re.search(r"config: (\S+?)[ }]", self.inventory.read_text())[1]
        text = self.inventory.read_text()
        # More than five voters is nobody's ensemble.
        self.inventory.write_text(re.sub(r"myid: (?![1-5] )(\d+) ", r"myid: \1, role: observer ", text))

    def do(self, *words):
        return run(options.zkprov, "lab", "--name", options.name, *words).stdout

    def with_release(self, tarball=None):
        """An inventory whose hosts get `tarball`, or no release."""
        path = folder / f"inventory-{tarball.stem if tarball else 'bare'}.yaml"
        kafka = "{ install: false }"
        if tarball:
            digest = hashlib.sha512(tarball.read_bytes()).hexdigest()
            kafka = f'{{ sources: [ "{tarball}" ], sha512: "{digest}" }}'
        path.write_text(
            self.inventory.read_text()
            + f"kafka: {kafka}\ncoordinator: {{ binary: {options.coordinator} }}\n"
        )
        if tarball:
            run(options.zkprov, "fetch", path)
        return path

    def everywhere(self, command, stdin=None):
        """Seconds until `command` has ended on all hosts, each by a fresh login."""
        start = time.monotonic()
        running = []
        for host in self.hosts:
            file = open(stdin, "rb") if stdin else subprocess.DEVNULL
            running.append(subprocess.Popen(["ssh", "-F", self.config, host, command], stdin=file))
        if any(process.wait() != 0 for process in running):
            sys.exit(f"ssh HOST {command} failed")
        return time.monotonic() - start

    def sessions(self):
        text = self.do("sessions")
        return [tuple(map(int, pair)) for pair in re.findall(r"(\d+) logins, (\d+) sessions", text)]


def apply(inventory, *words):
    seconds, ended = timed(options.zkprov, "apply", inventory, "--yes", *words)
    return seconds, ended.stdout


def noop(inventory):
    seconds, text = apply(inventory)
    if not text.rstrip().endswith("0 changes"):
        sys.exit(f"not a no-op:\n{text}")
    return seconds


def release(megabytes):
    """A tarball of the distribution's layout, of bytes that do not compress."""
    path = folder / f"{RELEASE}-{megabytes}.tgz"
    top = folder / RELEASE
    for name in ["bin", "config", "libs"]:
        (top / name).mkdir(parents=True, exist_ok=True)
    (top / "config/zookeeper.properties").write_text("dataDir=/tmp/zookeeper\n")
    for number in range(50):
        (top / f"libs/{number}.jar").write_bytes(os.urandom(megabytes * 20_000))
    with tarfile.open(path, "w:gz", compresslevel=1) as tarball:
        tarball.add(top, RELEASE)
    return path


def shown(seconds):
    return f"{min(seconds):.2f} / {statistics.median(seconds):.2f} s"


def row(what, ours, floor_name, floor, aim):
    """The ratio is of the least of both: what disturbs a run only ever adds to it."""
    ratio = min(ours) / min(floor)
    rows.append((what, shown(ours), floor_name, shown(floor), f"{ratio:.2f}", aim))
    talk(f"{what}: {shown(ours)}, {floor_name}: {shown(floor)}, ratio {ratio:.2f}")


def alternate(count, *acts):
    taken = [[] for _ in acts]
    for _ in range(count):
        for act, times in zip(acts, taken):
            times.append(act())
    return taken


# Ansible and pyinfra


def rivals(lab, inventory, tarball):
    """Files and inventories for the other tools, from a host that zkprov has made."""
    if not options.tools:
        return
    for path in ["/etc/kafka/zookeeper.properties", "/etc/systemd/system/zookeeper.service", "/etc/sysctl.d/60-zkprov.conf"]:
        text = run("ssh", "-F", lab.config, "kafka1", f"cat {path}").stdout
        (folder / Path(path).name).write_text(text)
    members = re.findall(r"(kafka\d+): +\{ address: [0-9.]+, myid: (\d+)", Path(inventory).read_text())
    shared = {"files": str(folder), "tarball": str(tarball), "coordinator": options.coordinator}
    hosts = {name: {"myid": myid} for name, myid in members}
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": shared}}))
    (folder / "ansible.cfg").write_text(
        f"[defaults]\nforks=50\nhost_key_checking=True\ngathering=explicit\n"
        f"interpreter_python=/usr/bin/python3\nlocalhost_warning=False\n"
        f"[ssh_connection]\npipelining=True\n"
        f"ssh_args=-F {lab.config} -o ControlMaster=auto -o ControlPersist=60s\n"
        f"control_path_dir={folder}/cp\n"
    )
    lines = ["hosts = ["]
    for name, myid in members:
        data = {**shared, "myid": myid, "ssh_user": "root", "ssh_config_file": lab.config}
        lines.append(f"    ({name!r}, {data!r}),")
    (folder / "inventory.py").write_text("\n".join(lines + ["]\n"]))


def ansible(bare):
    # Fresh connections, as for all others.
    for path in (folder / "cp").glob("*"):
        run("ssh", "-o", f"ControlPath={path}", "-O", "exit", "x", check=False)
    environment["ANSIBLE_CONFIG"] = str(folder / "ansible.cfg")
    environment["ANSIBLE_HOME"] = str(folder / "ansible")
    words = ["-i", folder / "hosts.json", HERE / "playbook.yml", "-e", json.dumps({"bare": bare})]
    seconds, ended = timed(f"{options.tools}/ansible-playbook", *words)
    if not bare and re.search(r"changed=[1-9]", ended.stdout):
        sys.exit(f"Ansible's second run changes something:\n{ended.stdout[-3000:]}")
    return seconds


def pyinfra(bare):
    words = ["-y", "--data", f"bare={bare}", folder / "inventory.py", HERE / "deploy.py"]
    seconds, ended = timed(f"{options.tools}/pyinfra", *words, cwd=folder)
    return seconds


# Memory


def memory(inventory):
    """Peak of zkprov alone, and of zkprov with its ssh processes, in MB (shared pages counted once)."""
    process = subprocess.Popen(
        [options.zkprov, "apply", str(inventory), "--yes"], env=environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    own = whole = 0
    while process.poll() is None:
        own = max(own, figure(process.pid, "status", "VmHWM"))
        # The masters are no children any more: the sockets' folder, which bears the run's own name, tells.
        masters = run("pgrep", "-f", r"^ssh .*-S /[^ ]*/zkp", check=False).stdout.split()
        whole = max(whole, sum(figure(pid, "smaps_rollup", "Pss") for pid in [process.pid, *masters]))
        time.sleep(0.1)
    if process.wait() != 0:
        sys.exit("apply failed while its memory was watched")
    return own / 1000, whole / 1000


def figure(pid, file, name):
    try:
        text = Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return 0
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.M)
    return int(found[1]) if found else 0


# The parts


def three_hosts():
    lab = Lab(3)
    tarball = release(options.megabytes)
    inventory = lab.with_release(tarball)
    have = bool(options.tools)

    def fresh(act):
        def inner():
            lab.do("reset")
            return act()
        return inner

    before = lab.sessions()
    apply(inventory)
    cold_sessions = [(a - c, b - d) for (a, b), (c, d) in zip(lab.sessions(), before)]
    rivals(lab, inventory, tarball)
    if "noop" in parts:
        before = lab.sessions()
        noop(inventory)
        noop_sessions = [(a - c, b - d) for (a, b), (c, d) in zip(lab.sessions(), before)]
        notes.append(
            f"Logins and commands that the hosts' sshd counted: cold apply {cold_sessions[0]}, no-op apply {noop_sessions[0]}; "
            "aims: one login and at most three commands, one login and one command."
        )
        floor, ours = alternate(options.runs, lambda: lab.everywhere("true"), lambda: noop(inventory))
        row("no-op apply, 3 hosts", ours, "`ssh HOST true` everywhere at once", floor, "≤ 1.3")
    if "delay" in parts:
        for host in lab.hosts:
            lab.do("delay", host, "--ms", ROUND_TRIP_MS)
        slow_floor, slow = alternate(options.runs, lambda: lab.everywhere("true"), lambda: noop(inventory))
        for host in lab.hosts:
            lab.do("delay", host)
        aim = "at most two round trips more"
        row(f"no-op apply, 3 hosts, {ROUND_TRIP_MS} ms round trip", slow, "`ssh HOST true` everywhere at once", slow_floor, aim)
        extra = (min(slow) - min(slow_floor)) * 1000 / ROUND_TRIP_MS
        notes.append(f"At {ROUND_TRIP_MS} ms a no-op apply takes {extra:.1f} round trips more than `ssh HOST true` (aim: 2).")
        talk(notes[-1])
    if "cold" in parts:
        unpack = lambda: lab.everywhere("mkdir -p /opt/floor && tar xz -C /opt/floor", tarball)
        floor, ours = alternate(3, fresh(unpack), fresh(lambda: apply(inventory)[0]))
        row(f"cold apply, 3 hosts, {options.megabytes} MB, serving and verified", ours,
            "`cat tgz \\| ssh HOST tar xz` everywhere at once", floor, "≤ 1.3")
        if have:
            theirs, other = alternate(1, fresh(lambda: ansible(True)), fresh(lambda: pyinfra(True)))
            row("cold apply, the same", ours, "Ansible, tuned", theirs, "")
            row("cold apply, the same", ours, "pyinfra", other, "")
    if "noop" in parts and have:
        lab.do("reset")
        ansible(True)
        (theirs,) = alternate(3, lambda: ansible(False))
        lab.do("reset")
        pyinfra(True)
        (other,) = alternate(3, lambda: pyinfra(False))
        lab.do("reset")
        apply(inventory)
        (ours,) = alternate(3, lambda: noop(inventory))
        row("no-op apply, 3 hosts", ours, "Ansible, tuned", theirs, "≤ 1/15 = 0.07")
        row("no-op apply, 3 hosts", ours, "pyinfra", other, "≤ 1/5 = 0.20")
    if "memory" in parts:
        for megabytes in [options.megabytes, 2 * options.megabytes]:
            path = tarball if megabytes == options.megabytes else release(megabytes)
            made = lab.with_release(path)
            lab.do("reset")
            own, whole = memory(made)
            notes.append(
                f"Controller's peak memory at 3 hosts with {megabytes} MB: zkprov {own:.0f} MB, with its ssh processes "
                f"{whole:.0f} MB (aim: independent of the size, < 64 + 8 × 3 = 88 MB)."
            )
            talk(notes[-1])
            if path != tarball:
                path.unlink()
    lab.do("down")
    tarball.unlink()


def many_hosts():
    lab = Lab(options.many)
    inventory = lab.with_release()
    apply(inventory)
    count = max(3, options.runs // 2)
    floor, ours = alternate(count, lambda: lab.everywhere("true"), lambda: noop(inventory))
    row(f"no-op apply, {options.many} hosts", ours, "`ssh HOST true` everywhere at once", floor, "≤ 1.3")
    own, whole = memory(inventory)
    notes.append(
        f"Controller's peak memory at {options.many} hosts, no-op: zkprov {own:.0f} MB, with its ssh processes {whole:.0f} MB "
        f"(aim: < 64 + 8 × {options.many} = {64 + 8 * options.many} MB)."
    )
    talk(notes[-1])
    if options.tools:
        rivals(lab, inventory, "/nonexistent")
        lab.do("down")
    return lab


def many_sshds():
    """Many sshds, each a host to zkprov: bare hosts are planned, so that all log in and answer at once."""
    per_host, hosts = 25, (options.sshds + 24) // 25
    lab = Lab(hosts)
    config = lab.config
    start = "mkdir -p /run/sshd; for p in $(seq 2201 2225); do /usr/sbin/sshd -o Port=$p -o PidFile=none; done"
    lab.everywhere(start)
    addresses = re.findall(r"address: ([0-9.]+)", lab.inventory.read_text())
    lines = [f"ensemble: many\nssh: {{ user: root, config: {config} }}\nkafka: {{ install: false }}"]
    lines += [f"coordinator: {{ binary: {options.coordinator} }}\nhosts:"]
    for number in range(options.sshds):
        there, port = f"kafka{number // per_host + 1}", 2201 + number % per_host
        role = "" if number < 5 else ", role: observer"
        lines.append(
            f"  h{number}: {{ address: 10.99.0.{number + 1}, myid: {number + 1}{role}, ssh: {{ host: {there}, port: {port} }} }}"
        )
    path = folder / "many.yaml"
    path.write_text("\n".join(lines) + "\n")
    took, failed = [], 0
    for _ in range(3):
        seconds, ended = timed(options.zkprov, "plan", path, "--output", "json", check=False)
        planned = sum('"event":"plan"' in line for line in ended.stdout.splitlines())
        took.append(seconds)
        failed += options.sshds - planned
    notes.append(
        f"{options.sshds} sshds on one machine asked at once, three times: {failed} connections failed (aim: 0), {shown(took)} a run."
    )
    talk(notes[-1])
    lab.do("down")


def readme(path):
    """The lines that compare with the other tools, where README.md has a place for them."""
    lines = ["| what | zkprov | Ansible, tuned | pyinfra | ssh alone |", "|---|---|---|---|---|"]
    for what in ["no-op apply, 3 hosts", "cold apply, the same"]:
        found = [cells for cells in rows if cells[0] == what]
        theirs = {cells[2]: cells[3] for cells in found}
        if "Ansible, tuned" not in theirs:
            return
        floor = next(cells[3] for cells in rows if cells[0].startswith(what.split(",")[0]) and "everywhere" in cells[2])
        name = what.replace("the same", f"3 hosts, {options.megabytes} MB")
        lines.append(f"| {name} | {found[-1][1]} | {theirs['Ansible, tuned']} | {theirs['pyinfra']} | {floor} |")
    block = "<!-- made by .ci/bench-apply -->\n" + "\n".join(lines) + "\n\nLeast / median.\n<!-- /bench-apply -->"
    text, count = re.subn(
        r"<!-- made by \.ci/bench-apply -->.*<!-- /bench-apply -->", lambda _: block, path.read_text(), flags=re.S
    )
    if count == 1:
        path.write_text(text)
        talk(f"the comparison is in {path}")


def page():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    machine = f"{os.cpu_count()} processors ({model[1] if model else 'unknown'}), load {os.getloadavg()[2]:.1f} over 15 minutes"
    lines = [
        "# zkprov against the floor",
        "",
        "What `zkprov apply` takes, beside what ssh alone needs for the same on the same hosts in the same run, and beside",
        "Ansible (pipelining, ControlPersist, 50 forks, no facts) and pyinfra with the resources of",
        "[bench/apply/playbook.yml](../bench/apply/playbook.yml) and [deploy.py](../bench/apply/deploy.py).",
        "",
        "    sudo .ci/bench-apply              # writes this page",
        "",
        f"Measured {time.strftime('%Y-%m-%d %H:%M')}, {machine}. Times are least / median; the ratio is of the least.",
        "",
        "| what | zkprov | beside | beside it | ratio | aim |",
        "|---|---|---|---|---|---|",
    ]
    lines += ["| " + " | ".join(cells) + " |" for cells in rows]
    lines += [""] + [f"- {note}" for note in notes]
    lines += [
        "",
        "What the cold apply does beyond its floor: it waits until the release is on disk (`sync -f`) before the stamp says that",
        "it is whole, starts and awaits the ensemble, reads every host again, and writes on one server what it reads on another;",
        "it does so while the other hosts are still unpacking. A round trip is delayed by a relay on the lab's wires",
        "(`zkprov lab delay`), half on the way there and half on the way back.",
        "",
    ]
    text = "\n".join(lines)
    if options.out:
        Path(options.out).write_text(text)
        talk(f"written to {options.out}")
    if options.readme:
        readme(Path(options.readme))
    print(text)


try:
    if {"noop", "cold", "delay", "memory"} & set(parts):
        three_hosts()
    if "many" in parts:
        many_hosts()
    if "sshds" in parts:
        many_sshds()
    if "plan" in parts and options.plan_bench:
        texts = [run(options.plan_bench).stdout.strip() for _ in range(3)]
        notes.append(f"Plan in memory, three times: {'; '.join(texts)} (aim: < 100 ms).")
        talk(notes[-1])
    page()
finally:
    run(options.zkprov, "lab", "--name", options.name, "down", check=False)
    run("rm", "-rf", folder, check=False)
