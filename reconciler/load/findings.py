"""Where the problems of one examination are collected."""

from __future__ import annotations

from dataclasses import dataclass, field

from reconciler.load.catalogue import CATALOGUE
from reconciler.model.origin import Origin
from reconciler.model.problem import Problem, Severity

SHOWN_LENGTH = 60


class Invalid(ValueError):
    """A value that cannot be used, without the place where it was written."""

    def __init__(self, id: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.id = id
        self.message = message
        self.hint = hint


@dataclass(slots=True)
class Findings:
    """The problems found so far, each once."""

    _problems: dict[Problem, None] = field(default_factory=dict)
    _places: set[Origin] = field(default_factory=set)

    def report(self, id: str, origin: Origin, message: str, hint: str = "") -> None:
        check = CATALOGUE[id]
        self._problems[Problem(id, origin, message, hint or check.hint, check.severity)] = None
        self._places.add(origin)

    def report_invalid(self, problem: Invalid, origin: Origin) -> None:
        self.report(problem.id, origin, problem.message, problem.hint)

    def places(self) -> frozenset[Origin]:
        return frozenset(self._places)

    def paths(self) -> frozenset[str]:
        return frozenset(place.path for place in self._places)

    def has_any_at(self, origin: Origin) -> bool:
        return origin in self._places

    @property
    def has_errors(self) -> bool:
        return any(problem.severity is Severity.ERROR for problem in self._problems)

    def in_order(self) -> tuple[Problem, ...]:
        return tuple(sorted(self._problems, key=lambda problem: (problem.origin, problem.id, problem.message)))


def shown(value: object) -> str:
    """A value of the site as one short printable word for a message."""
    text = value if isinstance(value, str) else repr(value)
    if len(text) > SHOWN_LENGTH:
        text = text[: SHOWN_LENGTH - 1] + "…"
    printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return f"'{printable}'"


def kind_of(value: object) -> str:
    """What a reader of the YAML would call a value's type."""
    if value is None:
        return "an empty value"
    if isinstance(value, bool):
        return f"the word {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {shown(value)}"
    return "a list" if isinstance(value, list) else "a mapping"
