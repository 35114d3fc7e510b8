"""Builds of the sessions in other languages, kept under `out/conformance`."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import jars
from ensemble import ROOT

HERE = Path(__file__).resolve().parent
OUT = ROOT / "out" / "conformance"
BUILD_SECONDS = 600
RUN_SECONDS = 300


def need(*commands):
    """Skips by name where a command is missing."""
    for command in commands:
        if shutil.which(command) is None:
            pytest.skip(f"{command} is missing")


def build(*command, cwd=None, environment=None):
    """Runs a step of a build; a registry that cannot be reached skips the session by name."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_SECONDS,
    )
    if done.returncode != 0 and "could not be resolved" in done.stdout.lower():
        pytest.skip(f"{command[0]} cannot fetch what the session needs")
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"


def run(*command, environment=None):
    """Runs a session; it says `done` at its end, whatever its loggers say behind it."""
    done = subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0 and "done" in done.stdout.splitlines(), done.stdout
    return done.stdout


def java_session(profile, name):
    """Compiles a Java session against the jars of a profile; gives the command without hosts."""
    folder = OUT / "java" / profile
    try:
        found = jars.fetch(HERE / "java" / "pom.xml", folder / "jars", profile)
        classes = jars.compile([HERE / "java" / f"{name}.java"], found, folder / "classes")
    except jars.Missing as missing:
        pytest.skip(str(missing))
    return ["java", "-cp", f"{classes}:{found}/*", name]
