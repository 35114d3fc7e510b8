"""Jars of a pom.xml from Maven's registry, and classes compiled against them, kept under `out`."""

import shutil
import subprocess

SECONDS = 600


class Missing(Exception):
    """What this machine lacks, or cannot fetch; whoever asked skips by this name."""


class Failed(Exception):
    """A step that should have worked, with what it printed."""


def need(*commands):
    for command in commands:
        if shutil.which(command) is None:
            raise Missing(f"{command} is missing")


def step(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False)
    if done.returncode != 0:
        text = done.stdout.lower()
        if any(words in text for words in ("could not be resolved", "could not find artifact", "could not transfer")):
            raise Missing(f"{command[0]} cannot fetch what {command[-1]} needs")
        raise Failed(f"{' '.join(map(str, command))}\n{done.stdout}")


def fetch(pom, folder, profile=None):
    """The folder with all that the pom names; fetched again when the pom has changed."""
    need("java", "mvn")
    folder = folder.resolve()
    stamp = folder.with_name(folder.name + ".pom")
    if not (folder.is_dir() and stamp.exists() and stamp.read_text() == pom.read_text()):
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        chosen = [f"-P{profile}"] if profile else []
        step("mvn", "-q", "-B", *chosen, "dependency:copy-dependencies", "-DincludeScope=runtime",
             f"-DoutputDirectory={folder}", "-f", pom)  # fmt: skip
        stamp.write_text(pom.read_text())
    return folder


def compile(sources, jars, classes):  # noqa: A001
    need("javac")
    classes.mkdir(parents=True, exist_ok=True)
    step("javac", "-nowarn", "-cp", f"{jars}/*", "-d", classes, *sources)
    return classes
