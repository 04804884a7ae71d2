"""What a site's filters do wrong, as it was found before on the same frames of the same filters. Safe to delete."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.model.coverage import FilterCoverage, Subject
from reconciler.model.filter import NwFilter
from reconciler.model.site import Desired, Policy
from reconciler.records.kept import read_kept, write_kept
from reconciler.records.keys import key_of
from reconciler.records.plain import from_plain, to_plain


@dataclass(frozen=True, slots=True)
class _Asked:
    """All that the verdicts depend on; how many interfaces a filter has is no part of it."""

    filters: tuple[NwFilter, ...]
    policy: Policy
    subjects: tuple[Subject, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    verdicts: tuple[FilterCoverage, ...]


class KeptCoverage:
    """The verdicts on these subjects of a site, below the state folder."""

    def __init__(self, var: Path, site: Desired, subjects: tuple[Subject, ...]) -> None:
        self._folder = var / "coverage"
        self._subjects = subjects
        alike = tuple(replace(subject, interfaces=0) for subject in subjects)
        self._key = key_of(_json(_Asked(site.filters, site.policy, alike)))

    def read(self) -> tuple[FilterCoverage, ...] | None:
        """None where nothing is kept that can be trusted."""
        body = read_kept(self._folder, self._key)
        if body is None:
            return None
        with suppress(ValueError, TypeError, KeyError, RecursionError):
            pairs = zip(from_plain(_Found, json.loads(body)).verdicts, self._subjects, strict=True)
            return tuple(replace(verdict, interfaces=subject.interfaces) for verdict, subject in pairs)
        return None

    def write(self, verdicts: tuple[FilterCoverage, ...]) -> None:
        write_kept(self._folder, self._key, _json(_Found(verdicts)))


def _json(value: object) -> bytes:
    return json.dumps(to_plain(value), separators=(",", ":")).encode()
