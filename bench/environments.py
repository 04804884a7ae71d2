"""Peers in environments of their own, made once and kept in the cache of the labs; safe to delete."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from bench.measure import say
from reconciler.lab import cache

REQUIREMENTS = Path(__file__).parent / "requirements"
MADE = "made"


class NotInstalled(Exception):
    """A peer that cannot be had on this machine; the text says why."""


def environment(name: str) -> Path:
    """The folder of an environment's programs. Raises `NotInstalled`."""
    wanted = REQUIREMENTS / f"{name}.txt"
    key = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:12]
    place = cache.folder() / "bench" / f"{name}-{key}"
    if not (place / MADE).exists():
        say(f"installing {name} into {place}")
        shutil.rmtree(place, ignore_errors=True)
        _call([sys.executable, "-m", "venv", str(place)], name)
        _call([f"{place}/bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)], name)
        (place / MADE).touch()
    return place / "bin"


def version(name: str, package: str) -> str:
    """What the environment has of a package: the version that its requirements name."""
    lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{package}=="))


def _call(argv: list[str], name: str) -> None:
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    if ended.returncode:
        told = [line for line in ended.stderr.splitlines() if line.startswith("ERROR: ")] or ["no message"]
        raise NotInstalled(f"{name} could not be installed: {told[-1].removeprefix('ERROR: ')}")
