"""A timer's run pays for its own verb alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reconciler.cli import VERBS

HEAVY = {"pydantic", "yaml", "deepdiff", "rich.console", "scapy", "git", "gitlab", "lxml.etree"}
OTHERS = {
    "reconciler.verbs.changing",
    "reconciler.verbs.adopt",
    "reconciler.verbs.run",
    "reconciler.execute.executor",
    "reconciler.lab.cli",
}
PARSED = """
import sys
from reconciler.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    print(*sys.modules, sep="\\n", file=sys.stderr)
"""
# All that tells a run that nothing is to be done.
LOOKED_AT = """
import sys
import reconciler.verbs.diff, reconciler.source.folder, reconciler.records.agreements
import reconciler.host.glance, reconciler.host.session, reconciler.host.reading
print(*sys.modules, sep="\\n", file=sys.stderr)
"""


def started(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PARSED, *words], capture_output=True, text=True, check=True)


def test_a_verb_imports_neither_the_other_verbs_nor_what_it_may_never_need() -> None:
    imported = set(started("diff", "--help").stderr.split())
    assert "reconciler.verbs.diff" in imported
    assert not imported & (HEAVY | OTHERS)


def test_a_look_at_what_did_not_change_makes_no_dataclass_which_would_take_a_tenth_of_it() -> None:
    ended = subprocess.run([sys.executable, "-c", LOOKED_AT], capture_output=True, text=True, check=True)
    imported = set(ended.stderr.split())
    assert "reconciler.host.session" in imported
    assert not imported & {*HEAVY, "dataclasses", "inspect"}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_how_it_is_used(verb: str) -> None:
    told = started(verb, "--help").stdout
    assert told.startswith(f"usage: reconciler {verb}") and VERBS[verb].help.split()[0] in told


def test_the_command_lists_every_verb() -> None:
    listed = started("--help").stdout
    assert all(f"\n    {verb} " in listed for verb in (*VERBS, "lab"))
