"""Runs are in the order in which they were made, whatever a clock said; damage is left out or named (promise P6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.errors import UsageError
from reconciler.execute.journal import Journal
from reconciler.execute.runs import owed_starts, read_runs, runs_after
from reconciler.model.plan import Plan

NAMES = ("20300101T000000.000000Z-first", "19700101T000000.000000Z-second", "20260101T000000.000000Z-third")


def begin(folder: Path, name: str) -> None:
    """A run that a clock of its own has named."""
    with Journal(folder, Plan("", "kvm01", ())) as journal:
        journal.write("end", outcome="applied")
    journal.path.rename(folder / f"{name}.jsonl")


@pytest.mark.parametrize("lost", [False, True], ids=["counted", "count-lost"])
def test_a_clock_that_jumps_does_not_change_which_runs_are_later(tmp_path: Path, *, lost: bool) -> None:
    for name in NAMES:
        begin(tmp_path, name)
        if lost:
            (tmp_path / "epoch").unlink()
    assert [run.name for run in read_runs(tmp_path)] == [*NAMES]
    assert [run.name for run in runs_after(tmp_path, NAMES[0], itself=False)] == [NAMES[2], NAMES[1]]


@pytest.mark.parametrize(
    "line", ["[]", "7", '"step"', "null", '{"time": 1}', '{"event": 7}', '{"event": "step"}', '{"event": "done"}']
)
def test_a_line_that_no_run_wrote_is_left_out(tmp_path: Path, line: str) -> None:
    begin(tmp_path, NAMES[0])
    path = tmp_path / f"{NAMES[0]}.jsonl"
    path.write_text(f"{line}\n{path.read_text()}{line}\n")
    (run,) = read_runs(tmp_path)
    assert [event["event"] for event in run.events] == ["run", "end"]


def test_a_damaged_step_is_named_and_not_guessed(tmp_path: Path) -> None:
    with Journal(tmp_path, Plan("", "kvm01", ())) as journal:
        journal.write("step", id="stop:web01", kind="shut-down-guest", action={"guset": "web01"})
    with pytest.raises(UsageError, match="damaged step of the kind 'shut-down-guest'; nothing was done"):
        owed_starts(tmp_path)
