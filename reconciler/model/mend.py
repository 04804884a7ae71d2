"""A mechanical correction of a file."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.origin import Origin


@dataclass(frozen=True, slots=True)
class Mend:
    """What was written at a place, and what stands there instead. `id` is the problem that it ends."""

    id: str
    origin: Origin
    before: str
    after: str
