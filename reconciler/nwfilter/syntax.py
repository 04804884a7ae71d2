"""What is wrong with the XML of a filter, and where."""

from __future__ import annotations

from reconciler.errors import ReconcilerError
from reconciler.model.origin import Origin
from reconciler.model.problem import Problem


class FilterSyntax(ReconcilerError, ValueError):
    """libvirt would refuse this XML. `id` is stable and kebab-case; line and column count from 1."""

    def __init__(
        self,
        message: str,
        line: int = 1,
        column: int = 1,
        hint: str = "",
        id: str = "xml-malformed",
        path: str = "",
    ) -> None:
        super().__init__(message, hint=hint, origin=Origin(path, line, column))
        self.line = line
        self.column = column
        self.id = id
        self._origin = Origin(path, line, column)

    def problem(self) -> Problem:
        return Problem(self.id, self._origin, self.message, self.hint)
