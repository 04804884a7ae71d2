"""Lists in which nothing may stand twice."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.load.findings import Findings
from reconciler.load.node import Node


def report_repeated(items: Iterable[object], node: Node, what: str, findings: Findings) -> None:
    """Report what a list, whose place is `node`, has said before."""
    seen = set()
    for item, place in zip(items, node.items, strict=False):
        if item in seen:
            findings.report("item-twice", place.origin, f"the {what} {item} is already in this list")
        seen.add(item)
