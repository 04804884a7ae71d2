"""Bars of every table, one below the other, as SVG.

    python draw.py FIGURES.json CHART.svg

Runs in the chart's own environment: matplotlib and the standard library.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot

OURS, OTHER = "#1b6ca8", "#b8bec6"
BAR, HEAD, WIDTH = 0.3, 0.75, 9.0


def main(figures: Path, place: Path) -> None:
    document = json.loads(figures.read_text())
    tables = [table for row in document["rows"] for table in row["tables"]]
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9})
    heights = [BAR * len(table["ways"]) + HEAD for table in tables]
    figure, axes = pyplot.subplots(
        len(tables), 1, figsize=(WIDTH, sum(heights)), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for axis, table in zip(axes[:, 0], tables, strict=True):
        draw(axis, table)
    figure.savefig(place, format="svg", metadata={"Date": None})


def draw(axis: Any, table: dict[str, Any]) -> None:
    ways = table["ways"]
    seconds = [way["seconds"] for way in ways]
    names = [way["name"] for way in ways]
    colours = [OURS if name.startswith("reconciler") or not table["compared"] else OTHER for name in names]
    bars = axis.barh(names, seconds, color=colours)
    axis.bar_label(bars, [f" {way['seconds']:.2f} s" for way in ways])
    axis.invert_yaxis()
    axis.set_title(f"{table['title']} (seconds)", loc="left", fontsize=10)
    axis.set_xlim(0, max(seconds) * 1.12)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
