"""Corrections of a text that leave all the rest byte for byte."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.model.mend import Mend


@dataclass(frozen=True, slots=True)
class Edit:
    """Bytes from `start` to `end` are replaced."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Repair:
    """One mend and all the edits that make it."""

    mend: Mend
    edits: tuple[Edit, ...]


def apply_repairs(source: bytes, repairs: Iterable[Repair]) -> tuple[bytes, tuple[Mend, ...]]:
    """The text with all repairs that do not meet an earlier one in the file, and their mends."""
    edits: list[Edit] = []
    mends: list[Mend] = []
    for repair in repairs:
        if not any(one.start < other.end and other.start < one.end for one in edits for other in repair.edits):
            edits.extend(repair.edits)
            mends.append(repair.mend)
    for edit in sorted(edits, key=lambda each: each.start, reverse=True):
        source = source[: edit.start] + edit.text.encode() + source[edit.end :]
    return source, tuple(mends)
