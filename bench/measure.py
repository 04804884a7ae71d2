"""Whole processes, measured in turn: what each took, and how much of each other way's time ours takes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from reconciler.host.processes import clean_environment

LAUNCH = Path(__file__).parent / "launch.py"
TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """Something that is measured did not work: its figure would say nothing."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one way took once. `cpu` is of its processes, `daemon` of libvirtd meanwhile; `peak` is in bytes."""

    seconds: float
    cpu: float = 0.0
    peak: int = 0
    daemon: float = 0.0
    facts: Mapping[str, float] = field(default_factory=dict)


Way = Callable[[], Sample]


def process(argv: Sequence[str], stdin: str = "", env: Mapping[str, str] | None = None, ok: int = 0) -> Sample:
    """Run a program to its end. The kernel tells what it and all that it waited for have used."""
    words = [sys.executable, "-I", "-S", str(LAUNCH), *argv]
    ended = subprocess.run(
        words, input=stdin, capture_output=True, text=True, errors="replace", env=programs_environment(env), check=False
    )
    if ended.returncode:
        raise BenchError(f"{argv[0]} cannot be started: {ended.stderr.strip()[-300:]}")
    code, seconds, cpu, peak = ended.stdout.split()
    if int(code) != ok:
        raise BenchError(f"{' '.join(argv)[:200]} ended with {code}: {ended.stderr.strip()[-1000:]}")
    return Sample(float(seconds), float(cpu), int(peak) * 1024)


def programs_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Byte code is there already (`make compiled`), and root leaves none of its own in a checkout."""
    return clean_environment({"PYTHONDONTWRITEBYTECODE": "1", **(extra or {})})


def beside_daemon(pid: int | None, way: Way) -> Way:
    """A way, with the processor time that libvirtd and the programs that it ran used meanwhile."""

    def watched() -> Sample:
        before = daemon_seconds(pid)
        sample = way()
        return replace(sample, daemon=daemon_seconds(pid) - before)

    return watched


def daemon_seconds(pid: int | None) -> float:
    """proc(5), fields 14 to 17: its own time and that of the children it has waited for."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def took(action: Callable[[], float | None]) -> Sample:
    """What an action takes, up to the moment that it gives, or to its end."""
    started = time.monotonic()
    ended = action()
    return Sample((ended or time.monotonic()) - started)


def interleaved(ways: Mapping[str, Way], rounds: int, warm: bool = True) -> dict[str, list[Sample]]:
    """Every way once a round, each round begun by another, so that none always follows the same one."""
    samples: dict[str, list[Sample]] = {name: [] for name in ways}
    if warm:
        for way in ways.values():
            way()
    for name in rotated(tuple(ways), rounds):
        samples[name].append(ways[name]())
        say(f"  {name}: {samples[name][-1].seconds:.3f} s")
    return samples


def rotated(names: tuple[str, ...], rounds: int) -> Iterator[str]:
    for number in range(rounds):
        start = number % len(names)
        yield from names[start:] + names[:start]


def ratio(ours: Sequence[Sample], other: Sequence[Sample]) -> float:
    """How much of the other's time ours takes: the median of the ratios of each round."""
    return statistics.median(one.seconds / each.seconds for one, each in zip(ours, other, strict=True))


def median(samples: Sequence[Sample], of: Callable[[Sample], float] = lambda sample: sample.seconds) -> float:
    return statistics.median(map(of, samples))


def say(text: str) -> None:
    """Progress: what is measured can take minutes."""
    print(text, file=sys.stderr, flush=True)
