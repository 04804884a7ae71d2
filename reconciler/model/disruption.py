"""How much changes interrupt."""

from __future__ import annotations

from enum import IntEnum


class Disruption(IntEnum):
    """How much a change interrupts, from least to most (DISRUPTION_NAMES gives the words of the YAML)."""

    NONE = 0
    REBUILD = 1
    DAEMON_RESTART = 2
    GUEST_RESTART = 3

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")

    @classmethod
    def parse(cls, text: str) -> Disruption:
        return cls[text.upper().replace("-", "_")]
