"""Differences that a site leaves as they are, and says why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from reconciler.model.drift import Layer


@dataclass(frozen=True, slots=True)
class Ignore:
    """One rule of site.yaml's `ignore`: globs on drift's `object` and `field`; without a layer, of every layer.

    A field stands for all that is below it: `*.filterref` covers `52:54:00:30:fc:2d.filterref.parameters.IP`.
    """

    object: str
    field: str
    reason: str
    layer: Layer | None = None

    def covers(self, object: str, field: str, layer: Layer) -> bool:
        return (
            self.layer in (None, layer)
            and fnmatchcase(object, self.object)
            and (fnmatchcase(field, self.field) or fnmatchcase(field, f"{self.field}.*"))
        )


def ignored_because(rules: Iterable[Ignore], object: str, field: str, layer: Layer) -> str | None:
    """The reason of the first rule that covers a field of an object in a layer; None where it counts as drift."""
    return next((rule.reason for rule in rules if rule.covers(object, field, layer)), None)
