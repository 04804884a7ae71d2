"""What rules see of a frame, and how a match becomes a function of it.

A match of a field that the frame does not have holds neither as it is nor inverted, as in the kernel's modules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from reconciler.errors import ReconcilerError
from reconciler.nwfilter.frame import Flow, Frame

T = TypeVar("T")


class UnknownMatch(ReconcilerError):
    """A rule uses a match that cannot be judged, so nothing may be claimed about it."""


@dataclass(frozen=True, slots=True)
class View:
    """What rules see of a frame at one hook: the frame, where it comes in and goes out, and its connection."""

    frame: Frame
    in_port: str | None = None
    out_port: str | None = None
    flow: Flow = Flow()


Test = Callable[[View], bool]
Field = Callable[[View], T | None]
Predicate = Callable[[T], bool]
Compiler = Callable[[str, bool], Test]


def of_field(field: Field[T], predicate: Callable[[str], Predicate[T]]) -> Compiler:
    """A compiler for a field and what a value asks of it."""

    def compile_value(value: str, negated: bool) -> Test:
        holds = predicate(value)

        def test(view: View) -> bool:
            found = field(view)
            return found is not None and holds(found) is not negated

        return test

    return compile_value


def refusal(condition: str) -> Test:
    """The test of a match that is not understood. Raises UnknownMatch when it is asked."""

    def refuse(_view: View) -> bool:
        raise UnknownMatch(f"the match {condition} is not understood")

    return refuse
