"""What is remembered of a guest's file that was found without a fault: all that is asked of it beside other guests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from reconciler.model.guest import Guest

Place = tuple[int, int]
Span = tuple[int, str, int, int, Place]
"""An address or prefix: IP version, scope, first and last address as numbers, and its place in the file."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What an `Interface` does not tell of its entry in the file.

    `choice` is the filter as it was written, `given` its parameters. `terms` stands for all that site.yaml and the
    filters say about such an interface: under other terms it has to be examined again.
    """

    mac: Place
    filter: Place
    choice: str | None
    given: tuple[tuple[str, str], ...]
    spans: tuple[Span, ...]
    terms: str


@dataclass(frozen=True, slots=True)
class Faultless:
    """A guest, and the traits of its interfaces in their order. Its origin is the place of its name."""

    guest: Guest
    traits: tuple[Traits, ...]


class Memory(Protocol):
    """Remembers faultless guests by the path and the bytes of their files."""

    def recall(self, files: Mapping[str, bytes]) -> Mapping[str, Faultless]: ...

    def keep(self, files: Mapping[str, bytes], found: Mapping[str, Faultless]) -> None: ...
