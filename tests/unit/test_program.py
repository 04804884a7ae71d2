"""What one program has kept is of no use to another one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.records import program


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of two modules, beside one library that is installed."""
    package, libraries = tmp_path / "package", tmp_path / "libraries"
    (package / "part").mkdir(parents=True)
    (package / "a.py").write_text("1")
    (package / "part/b.py").write_text("2")
    (libraries / "lxml-5.0.dist-info").mkdir(parents=True)
    monkeypatch.setattr(program, "_PACKAGE", str(package))
    monkeypatch.setattr(sys, "path", [str(libraries)])
    return package


def _edit_with_its_old_times(package: Path) -> None:
    path = package / "part/b.py"
    before = path.stat()
    path.write_text("3")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace(package: Path) -> None:
    (package / "new").write_text("1")
    (package / "new").replace(package / "a.py")


CHANGES: dict[str, Callable[[Path], object]] = {
    "another text": lambda package: (package / "a.py").write_text("11"),
    "another text of the same length and times": _edit_with_its_old_times,
    "the same text in another file": _replace,
    "one more module": lambda package: (package / "part/c.py").write_text(""),
    "one module less": lambda package: (package / "part/b.py").unlink(),
    "another library": lambda package: (package.parent / "libraries/more-1.0.dist-info").mkdir(),
    "another version": lambda package: (package.parent / "libraries/lxml-5.0.dist-info").rename(
        package.parent / "libraries/lxml-5.1.dist-info"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_mark_changes_with_the_program(package: Path, change: str) -> None:
    before = program.program_mark.__wrapped__()
    CHANGES[change](package)
    assert program.program_mark.__wrapped__() != before


def test_the_mark_changes_with_python(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = program.program_mark.__wrapped__()
    monkeypatch.setattr(sys, "version", "3.99")
    assert program.program_mark.__wrapped__() != before


def test_the_mark_does_not_change_by_itself(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = program.program_mark.__wrapped__()
    (package / "__pycache__").mkdir()
    (package / "__pycache__/a.cpython-311.pyc").write_bytes(b"x")
    monkeypatch.setattr(sys, "path", [*sys.path, *sys.path, str(package.parent / "none")])
    assert program.program_mark.__wrapped__() == before
