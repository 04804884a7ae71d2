"""The benches run and say what they are for; how much is for `make bench` alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent.parent / "bench"
WAYS = {
    "reconciler diff",
    "reconciler diff, first of a site",
    "bare loop with lxml",
    "bare loop",
    "one virsh fed on stdin",
    "virsh for each object",
}


@pytest.mark.lab
def test_a_run_with_nothing_to_do_is_measured_beside_every_other_way() -> None:
    words = [sys.executable, str(BENCH / "noop_diff.py"), "--guests", "2", "--rounds", "1", "--json"]
    ended = subprocess.run(words, check=True, capture_output=True, text=True, timeout=120)
    found = json.loads(ended.stdout)
    assert found["seconds"].keys() == found["ours to"].keys() == WAYS
    assert all(each > 0 for part in ("seconds", "ours to") for each in found[part].values())
