"""What a host remembers survives a crash at any point: the file is the old one or the new one, never a part."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import HostError
from reconciler.records.commits import Applied, begin, finish, read_applied
from reconciler.records.files import read_record, write_record
from reconciler.records.timings import learn_timings, read_timings

A, B = "a" * 40, "b" * 40
SYSTEM_CALLS = ("open", "fsync", "replace")


def die_before(call: int, action: Callable[[], None]) -> bool:
    """Run an action in a child that dies, as by a power loss, right before its nth system call; whether it did."""
    child = os.fork()
    if child == 0:
        count = 0

        def counted(real: Callable[..., object]) -> Callable[..., object]:
            def wrapper(*arguments: object, **options: object) -> object:
                nonlocal count
                count += 1
                if count == call:
                    os._exit(9)
                return real(*arguments, **options)

            return wrapper

        for name in SYSTEM_CALLS:
            setattr(os, name, counted(getattr(os, name)))
        action()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_a_crash_at_any_point_leaves_the_old_record_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    call = 1
    while True:
        write_record(path, {"value": "old" * 1000})
        died = die_before(call, lambda: write_record(path, {"value": "new" * 1000}))
        assert read_record(path) in ({"value": "old" * 1000}, {"value": "new" * 1000})
        if not died:
            break
        call += 1
    assert call > 3
    assert read_record(path) == {"value": "new" * 1000}


def test_a_crash_at_any_point_of_a_run_never_forgets_a_commit_that_may_be_in_force(tmp_path: Path) -> None:
    steps_taken = tmp_path / "steps"

    def run() -> None:
        begin(tmp_path, B)
        steps_taken.touch()
        finish(tmp_path, B, applied=True)

    call = 1
    while True:
        finish(tmp_path, A, applied=True)
        steps_taken.unlink(missing_ok=True)
        died = die_before(call, run)
        if steps_taken.exists():
            assert B in read_applied(tmp_path).commits
        if not died:
            break
        call += 1
    assert read_applied(tmp_path).commits == (B,)


def test_a_record_is_never_written_in_place(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_record(path, {"value": "old"})
    before = path.open("rb")
    write_record(path, {"value": "new"})
    with before:
        assert b"old" in before.read(), "whoever had it open reads on in the old one"


def test_a_full_disk_leaves_the_old_record_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    write_record(path, {"value": "old"})

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HostError, match="No space left on device"):
        write_record(path, {"value": "new"})
    assert read_record(path) == {"value": "old"}
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_written_when_nothing_is_new(tmp_path: Path) -> None:
    finish(tmp_path, A, applied=True)
    before = (tmp_path / "applied.json").stat()
    begin(tmp_path, A)
    finish(tmp_path, A, applied=True)
    assert (tmp_path / "applied.json").stat() == before


def test_what_was_taken_back_leaves_the_last_applied_commit(tmp_path: Path) -> None:
    finish(tmp_path, A, applied=True)
    begin(tmp_path, B)
    assert read_applied(tmp_path).commits == (A, B)
    finish(tmp_path, B, applied=False)
    assert read_applied(tmp_path).commits == (A,)
    assert Applied(None).commits == ()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"commit": "--output=x"}', '{"commit": "HEAD"}'])
def test_a_record_that_says_no_commit_is_refused_not_guessed(tmp_path: Path, text: str) -> None:
    (tmp_path / "applied.json").write_text(text)
    with pytest.raises(HostError, match="nothing was done"):
        read_applied(tmp_path)


@pytest.mark.parametrize("text", ["", '{"rebu', "[]", "\0" * 99, '{"rebuild": Infinity}', '{"rebuild": 1e300}', "{}"])
def test_damaged_estimates_keep_no_run_from_its_work(tmp_path: Path, text: str) -> None:
    """They are only measured again; a deadline without an end would be none."""
    (tmp_path / "timings.json").write_text(text)
    assert read_timings(tmp_path) == {}
    learn_timings(tmp_path, {"rebuild": 1.5})
    assert read_timings(tmp_path) == {"rebuild": 1.5}
