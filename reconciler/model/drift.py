"""Differences between the desired state and a later layer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Value = Any
"""A plain value that JSON can hold; None where the field is absent on that side."""


class Layer(StrEnum):
    PERSISTENT = "persistent"
    SAVED = "saved"
    LIVE = "live"
    KERNEL = "kernel"


@dataclass(frozen=True, slots=True)
class Drift:
    """One field of one object that differs in one layer.

    `object` is `guest/NAME`, `filter/NAME`, or `port/NAME` for rules of a port that is gone. The layer `saved`
    is what a managed-save image or a snapshot would bring back. `ignored` is the reason that the site gives for leaving
    it; None where it counts.
    """

    object: str
    field: str
    layer: Layer
    desired: Value
    actual: Value
    ignored: str | None = None

    @property
    def counts(self) -> bool:
        return self.ignored is None
