"""The chart: drawn by matplotlib, which lives in an environment of its own."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

from bench.environments import NotInstalled, environment
from bench.measure import say

DRAW = Path(__file__).parent / "draw.py"


def draw_chart(document: dict[str, object], place: Path) -> None:
    """Nothing but a word where matplotlib cannot be had: the figures are what counts."""
    try:
        programs = environment("chart")
    except NotInstalled as reason:
        say(f"no chart: {reason}")
        return
    with tempfile.NamedTemporaryFile("w", suffix=".json") as figures:
        json.dump(document, figures)
        figures.flush()
        subprocess.run([f"{programs}/python", str(DRAW), figures.name, str(place)], check=True)
