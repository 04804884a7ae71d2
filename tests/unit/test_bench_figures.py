"""What the bench makes of its samples: ratios round by round, a program's own memory, and what is not reached."""

from __future__ import annotations

import sys

import pytest

from bench.measure import BenchError, Sample, interleaved, process, ratio
from bench.results import Row, Target, markdown, table

BIG = 100_000_000


def samples(*seconds: float) -> list[Sample]:
    return [Sample(each) for each in seconds]


def test_a_ratio_is_of_what_was_measured_in_the_same_round() -> None:
    """A round in which the machine was busy slows both; the ratio of the medians would be 0.1."""
    assert ratio(samples(1, 10, 1), samples(2, 20, 10)) == 0.5


def test_every_round_is_begun_by_another_way_and_each_is_warm_before() -> None:
    order: list[str] = []

    def way(name: str) -> Sample:
        order.append(name)
        return Sample(1.0)

    interleaved({name: lambda name=name: way(name) for name in "abc"}, 2)  # type: ignore[misc]
    assert "".join(order) == "abc" + "abc" + "bca"


def test_the_peak_of_a_program_is_not_that_of_who_starts_it() -> None:
    held = bytearray(BIG)
    assert process(["true"]).peak < BIG < process([sys.executable, "-c", f"bytearray(b'x') * {BIG}"]).peak
    del held


def test_a_way_that_fails_gives_no_figure() -> None:
    with pytest.raises(BenchError, match="ended with 3: no such guest"):
        process(["sh", "-c", "echo no such guest >&2; exit 3"])


def test_a_figure_that_is_not_reached_is_told_as_such() -> None:
    targets = (Target("fast", 1.0, 1.5), Target("flat", 1.31, 1.3), Target("times", 19.0, 20.0, at_least=True))
    text = markdown({"": "2 cores"}, [Row("row", targets=targets)])
    assert [line.split("|")[-2].strip() for line in text.splitlines()[4:]] == ["yes", "**no**", "**no**"]


def test_a_table_has_no_column_of_what_nobody_measured() -> None:
    found = table("Both", {"ours": [Sample(1.0)], "theirs": [Sample(4.0)]}, 1)
    text = markdown({"": "2 cores"}, [Row("row", (found,))])
    assert "| way | seconds | ours is … of it |" in text
    assert "| theirs | 4.000 | 0.25 |" in text
