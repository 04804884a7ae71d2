"""The bench runs and says what it is for; how much is for `make bench` alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WAYS = {
    "noop": [
        {
            "reconciler diff",
            "reconciler diff, host looked at anew",
            "reconciler diff, first of a site",
            "bare loop with lxml",
            "bare loop",
            "bare loop of four threads",
            "Python that imports the binding",
        }
    ],
    "peers": [{"reconciler diff", "bare loop with lxml", "one virsh fed on stdin", "virsh for each object"}],
    "filters": [{"reconciler apply", "redefined one by one", "edited, SIGHUP", "edited, restart"}],
    "address": [
        {
            "reconciler apply",
            "update-device",
            "bare Python, guard defined anew",
            "bare Python with PyYAML and deepdiff, guard defined anew",
        },
        {"reconciler apply, 3 guests", "reconciler apply, 20 more"},
    ],
    "planning": [
        {
            "check, nothing kept",
            "check, one file changed",
            "check, the guest changed whose frames are tried",
            "check, nothing changed",
        },
        {"compared and planned", "compared", "planned"},
    ],
}
RATIOS = {"noop": 1, "peers": 1, "filters": 3, "address": 5, "planning": 3}
COUNTS = {"filters": 1, "address": 3}
PEERS = ("ansible", "salt")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """One round of every row, with two guests. No peer can be installed: there is no index, and the cache is empty."""
    folder = tmp_path_factory.mktemp("bench")
    words = [sys.executable, "-m", "bench", "--guests", "2", "--rounds", "1", "--json", str(folder / "figures.json")]
    environment = os.environ | {"PIP_NO_INDEX": "1", "RECONCILER_CACHE": str(folder / "cache")}
    ended = subprocess.run(words, cwd=ROOT, env=environment, check=True, capture_output=True, text=True, timeout=600)
    return ended.stdout, json.loads((folder / "figures.json").read_text())


@pytest.mark.lab
def test_every_row_is_measured_beside_every_other_way(measured: tuple[str, dict[str, Any]]) -> None:
    rows = {row["name"]: row for row in measured[1]["rows"]}
    assert {name: [names(table) for table in row["tables"]] for name, row in rows.items()} == WAYS
    assert {name: len(row["targets"]) for name, row in rows.items()} == RATIOS
    ways = [way for row in rows.values() for table in row["tables"] for way in table["ways"]]
    assert all(way["seconds"] > 0 and way["ratio"] > 0 for way in ways)


@pytest.mark.lab
def test_libvirt_builds_as_many_rules_anew_as_the_plan_said(measured: tuple[str, dict[str, Any]]) -> None:
    targets = [target for row in measured[1]["rows"] for target in row["targets"] if target["limit"] == 0]
    assert len(targets) == sum(COUNTS.values())
    assert all(target["reached"] for target in targets), targets


@pytest.mark.lab
def test_a_peer_that_cannot_be_had_is_left_out_and_the_row_says_why(measured: tuple[str, dict[str, Any]]) -> None:
    (notes,) = (row["notes"] for row in measured[1]["rows"] if row["name"] == "peers")
    assert [note.partition(":")[0] for note in notes] == [f"{name} could not be installed" for name in PEERS]
    assert all(note in measured[0] for note in notes)


def names(table: dict[str, Any]) -> set[str]:
    return {way["name"] for way in table["ways"]}
