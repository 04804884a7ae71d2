"""`python -m bench`: every row, or those that are asked for, as Markdown, JSON and a chart."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from bench.chart import draw_chart
from bench.machine import machine
from bench.measure import say
from bench.pages import DOCS, put
from bench.results import Options, Row, markdown

DEFAULT = ("noop", "peers", "filters", "address", "planning")
OTHERS = ("run", "base", "rebuild", "traffic", "leaks")
SCHEMA = 1
PAGE, CHART, COMMAND = "performance.md", "performance.svg", "make bench BENCH=--write"


def main() -> int:
    arguments = parsed()
    found = machine()
    options = Options(arguments.rounds, arguments.guests, not arguments.without_peers)
    rows = [row(name, options) for name in arguments.only or DEFAULT]
    text = markdown(found, rows)
    print(text)
    document = {"schema": SCHEMA, "machine": found, "rows": [as_plain(row) for row in rows]}
    for place in filter(None, (arguments.json, arguments.chart)):
        place.parent.mkdir(parents=True, exist_ok=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")
    if arguments.chart:
        draw_chart(document, arguments.chart)
    if arguments.write:
        put(PAGE, COMMAND, text)
        draw_chart(document, DOCS / CHART)
    return 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure as JSON, too")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw an SVG; matplotlib is installed for it")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each way is measured (3 to 9, by its cost)")
    parser.add_argument("--guests", type=sizes, default=(), metavar="N,…", help="sizes instead of each row's own")
    parser.add_argument("--only", action="append", choices=(*DEFAULT, *OTHERS), metavar="ROW", help=listed())
    parser.add_argument("--without-peers", action="store_true", help="install and measure neither Ansible nor Salt")
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{PAGE}, the chart beside it")
    return parser.parse_args()


def listed() -> str:
    return f"this row alone, and others that are named so; {', '.join(DEFAULT)}, and on request {', '.join(OTHERS)}"


def sizes(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


def row(name: str, options: Options) -> Row:
    say(f"== {name}")
    measured: Row = importlib.import_module(f"bench.{name}").measure(options)
    return measured


def as_plain(found: Row) -> dict[str, object]:
    plain = asdict(found)
    for target, given in zip(plain["targets"], found.targets, strict=True):
        target["reached"] = given.reached
    return plain


if __name__ == "__main__":
    sys.exit(main())
