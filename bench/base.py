"""What a merge request waits for: `check`, and `check --base` with one guest changed; verdicts and canonical forms.

Whole processes over sites of several sizes. Needs no host.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.measure import interleaved, process
from bench.results import Options, Row, Table, table
from bench.sites import in_repository, write_big_site
from reconciler.load import load
from reconciler.nwfilter.battery import battery
from reconciler.nwfilter.evaluate import Evaluator
from reconciler.nwfilter.expand import expand
from reconciler.nwfilter.guard import unguarded_filterref
from reconciler.nwfilter.parse import parse_filter
from reconciler.source.folder import read_folder

SIZES = (1, 100, 1_000)
ROUNDS, REPEATS = 5, 200
STOCK = sorted(Path("/usr/share/libvirt/nwfilter").glob("*.xml")) or sorted(Path("/etc/libvirt/nwfilter").glob("*.xml"))


def measure(options: Options) -> Row:
    rounds = options.rounds or ROUNDS
    tables = []
    for guests in options.guests or SIZES:
        with tempfile.TemporaryDirectory() as temporary:
            write_big_site(site := Path(temporary) / "state", guests)
            tables.append(_checks(in_repository(site), guests, rounds))
            verdicts = f"{verdicts_a_second(site):,.0f} verdicts a second on foretold rules."
    return Row("base", tuple(tables), notes=(verdicts, canonical_forms()))


def _checks(site: Path, guests: int, rounds: int) -> Table:
    argv = [sys.executable, "-m", "reconciler", "--site", str(site), "check"]
    ways = {"check --base": lambda: process([*argv, "--base", "HEAD~1"]), "check": lambda: process(argv)}
    return table(f"A merge request that changes one of {guests:,} guests", interleaved(ways, rounds), rounds)


def verdicts_a_second(site: Path) -> float:
    desired = load(read_folder(site), str(site))
    interface = desired.guests[0].interfaces[0]
    definitions = {definition.name: definition for definition in desired.filters}
    evaluator = Evaluator.of(expand(definitions.get, unguarded_filterref(interface), interface.mac, "port"))
    cases = [case for case in battery(interface) if case.frame]

    def judge_all() -> None:
        for case in cases:
            evaluator.case(case, "port")

    return len(cases) / seconds_of(judge_all)


def canonical_forms() -> str:
    taken = {path.stem: milliseconds(path.read_bytes()) for path in STOCK}
    slowest = max(taken, key=taken.__getitem__)
    middle = statistics.median(taken.values())
    found = f"median {middle:.3f} ms, `{slowest}` {taken[slowest]:.3f} ms"
    return f"Canonical form of {len(STOCK)} stock filters: {found}."


def milliseconds(text: bytes) -> float:
    return statistics.median(seconds_of(lambda: parse_filter(text)) * 1000 for _ in range(ROUNDS))


def seconds_of(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(REPEATS):
        action()
    return (time.perf_counter() - started) / REPEATS
