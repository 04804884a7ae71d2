"""What was measured, as data, and as Markdown that a page can hold as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.measure import Sample, median, ratio

MEGABYTE = 1_000_000
COMPARED = "ours is … of it"


@dataclass(frozen=True, slots=True)
class Options:
    """What `python -m bench` was asked for; None and nothing are each row's own choice."""

    rounds: int | None = None
    guests: tuple[int, ...] = ()
    peers: bool = True


@dataclass(frozen=True, slots=True)
class Measured:
    """The medians of one way. `ratio` says how much of its time ours takes."""

    name: str
    seconds: float
    cpu: float
    daemon: float
    peak_mb: float
    ratio: float
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """Ways to do the same thing, measured in turn. The first is ours; `compared` heads its ratios to each of them."""

    title: str
    rounds: int
    ways: tuple[Measured, ...]
    compared: str = COMPARED

    def way(self, name: str) -> Measured:
        return next(way for way in self.ways if way.name == name)


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that has to be reached; at most `limit`, or with `at_least` no less."""

    what: str
    got: float
    limit: float
    unit: str = "×"
    at_least: bool = False

    @property
    def reached(self) -> bool:
        return self.got >= self.limit if self.at_least else self.got <= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One subject: its tables, what had to be reached, and what else there is to say, such as a missing peer."""

    name: str
    tables: tuple[Table, ...] = ()
    targets: tuple[Target, ...] = ()
    notes: tuple[str, ...] = ()


def table(title: str, samples: Mapping[str, Sequence[Sample]], rounds: int, compared: str = COMPARED) -> Table:
    ours = next(iter(samples.values()))
    return Table(title, rounds, tuple(_measured(name, each, ours) for name, each in samples.items()), compared)


def _measured(name: str, each: Sequence[Sample], ours: Sequence[Sample]) -> Measured:
    facts = {key: median(each, lambda sample, key=key: sample.facts[key]) for key in each[0].facts}  # type: ignore[misc]
    return Measured(
        name,
        median(each),
        median(each, lambda sample: sample.cpu),
        median(each, lambda sample: sample.daemon),
        median(each, lambda sample: sample.peak) / MEGABYTE,
        ratio(ours, each),
        facts,
    )


def markdown(machine: Mapping[str, str], rows: Sequence[Row]) -> str:
    parts = [", ".join(f"{key} {value}" if key else value for key, value in machine.items()) + "."]
    targets = [target for row in rows for target in row.targets]
    if targets:
        parts.append("\n".join(_targets(targets)))
    for row in rows:
        parts += ["\n".join(_table(each)) for each in row.tables]
        parts += row.notes
    return "\n\n".join(parts)


def _targets(targets: Sequence[Target]) -> Iterator[str]:
    yield "| what has to be reached | measured | limit | reached |"
    yield "|---|---:|---:|---|"
    for target in targets:
        word = "at least" if target.at_least else "at most"
        limit = f"{word} {target.limit:g} {target.unit}".strip()
        yield f"| {target.what} | {_figure(target)} | {limit} | {'yes' if target.reached else '**no**'} |"


def _figure(target: Target) -> str:
    if not target.unit:
        return f"{target.got:g}"
    digits = 0 if target.got >= 100 else 1 if target.got >= 10 else 2
    return f"{target.got:.{digits}f} {target.unit}".strip()


def _table(found: Table) -> Iterator[str]:
    facts = tuple(dict.fromkeys(key for way in found.ways for key in way.facts))
    columns = _columns(found, facts)
    yield f"{found.title}, medians of {found.rounds} round{'s' if found.rounds > 1 else ''}:"
    yield ""
    yield f"| way | {' | '.join(columns)} |"
    yield f"|---|{'---:|' * len(columns)}"
    for way in found.ways:
        cells = {
            "seconds": f"{way.seconds:.3f}",
            "CPU": f"{way.cpu:.2f}" if way.cpu else "",
            "libvirtd's CPU": f"{way.daemon:.2f}",
            "peak MB": f"{way.peak_mb:.0f}" if way.peak_mb else "",
            found.compared: f"{way.ratio:.2f}",
        }
        cells |= {key: f"{way.facts[key]:g}" if key in way.facts else "" for key in facts}
        yield f"| {way.name} | {' | '.join(cells[column] for column in columns)} |"


def _columns(found: Table, facts: tuple[str, ...]) -> tuple[str, ...]:
    """Without what nobody measured."""
    had = {
        "CPU": any(way.cpu for way in found.ways),
        "libvirtd's CPU": any(way.daemon for way in found.ways),
        "peak MB": any(way.peak_mb for way in found.ways),
    }
    ratio = (found.compared,) if found.compared else ()
    return ("seconds", *(name for name, some in had.items() if some), *facts, *ratio)
