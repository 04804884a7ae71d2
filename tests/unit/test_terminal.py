"""What goes to a terminal is what was meant: addresses as they are, and nothing of a site that acts there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repositories import in_git, on_site
from sites import EXAMPLE

from reconciler.load import examine
from reconciler.model.drift import Drift, Layer
from reconciler.report.text import show_drift
from reconciler.verbs.common import console


@pytest.mark.parametrize("text", ["52:54:00:ab:12:34", "2001:db8:a:b::1", "2001:db8:100:200::5"])
def test_no_address_is_taken_for_a_picture(capsys: pytest.CaptureFixture[str], text: str) -> None:
    console().print(text)
    assert capsys.readouterr().out == f"{text}\n"


def test_drift_is_shown_without_codes_for_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show_drift(console(), [Drift("guest/a", "x\x1b[2J", Layer.LIVE, "a\x1b[31m", "b", ignored="why\x07")])
    assert "\\x1b[31m" in (shown := capsys.readouterr().out) and "\\x07" in shown
    assert not {"\x1b", "\x07"} & set(shown)


def test_a_reason_with_codes_for_a_terminal_is_none() -> None:
    ignore = b'ignore: [{object: "guest/a", field: power, reason: "fine \\e[2J"}]\n'
    files = {"site.yaml": ignore, "guests/a.yaml": b"name: a\n"}
    assert "ignore-reason" in {problem.id for problem in examine(files)[1]}


def test_a_commits_reason_does_not_act_on_the_terminal(tmp_path: Path) -> None:
    folder = in_git(shutil.copytree(EXAMPLE, tmp_path / "state"))
    path = folder / "guests/db01.yaml"
    path.write_text(path.read_text().replace("192.168.0.20]", "192.168.0.21]"))
    on_site(folder, "commit", "--quiet", "--all", "--message", "after\n\nAllow-widening: it is \x1b[8mmeant")
    argv = [sys.executable, "-m", "reconciler", "--site", str(folder), "check", "--base", "HEAD~1"]
    told = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    assert "allowed to widen: it is \\x1b[8mmeant\n" in told
