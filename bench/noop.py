"""`reconciler diff` with nothing to do, beside the floor: a bare loop that reads each definition once.

Only ours looks at the running guests, the bindings, saved images and the kernel's rules as well.
"""

from __future__ import annotations

from bench import ways
from bench.hosts import Host, host
from bench.measure import Way, interleaved
from bench.results import Options, Row, Table, Target, table

SIZES = (10, 1_000, 10_000)
ROUNDS, ROUNDS_OF_MANY, MANY = 9, 3, 5_000
FEW_RATIO, MANY_RATIO, GROWTH = 1.5, 0.7, 1.3
FEW = 100
PEAKS = {1_000: 150.0, 10_000: 400.0}


def measure(options: Options) -> Row:
    tables = {guests: _of(guests, options) for guests in options.guests or SIZES}
    targets = [target for guests, found in tables.items() for target in _targets(guests, found)]
    if 1_000 in tables and 10_000 in tables:
        targets += [_growth(name, tables[1_000], tables[10_000]) for name in (ways.OURS, ways.FLOOR)]
    return Row("noop", tuple(tables.values()), tuple(targets))


def _of(guests: int, options: Options) -> Table:
    rounds = options.rounds or (ROUNDS_OF_MANY if guests > MANY else ROUNDS)
    with host(guests) as made:
        samples = interleaved(_ways(made), rounds)
    return table(f"Nothing to do, {guests:,} defined guests", samples, rounds)


def _ways(made: Host) -> dict[str, Way]:
    return {
        ways.OURS: ways.our_diff(made),
        ways.ANEW: ways.diff_anew(made),
        ways.FIRST: ways.first_diff(made),
        ways.FLOOR: ways.loop(made, ways.WITH_LXML),
        ways.BARE: ways.loop(made, ways.WITHOUT_LXML),
        ways.THREADS: ways.loop(made, ways.OF_FOUR),
        ways.START: ways.start(),
    }


def _targets(guests: int, found: Table) -> list[Target]:
    limit = FEW_RATIO if guests <= FEW else MANY_RATIO
    targets = []
    if guests <= 1_000:
        what = f"`diff` with nothing to do, {guests:,} guests, to the bare loop with lxml"
        targets.append(Target(what, found.way(ways.FLOOR).ratio, limit))
    if guests in PEAKS:
        what = f"peak memory of that `diff`, {guests:,} guests"
        targets.append(Target(what, found.way(ways.OURS).peak_mb, PEAKS[guests], "MB"))
    return targets


def _growth(name: str, few: Table, many: Table) -> Target:
    grown = many.way(name).seconds / 10_000 / (few.way(name).seconds / 1_000)
    return Target(f"time per guest at 10,000 to that at 1,000: {name}", grown, GROWTH)
