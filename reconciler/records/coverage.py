"""What filters do wrong, as it was found before on the same frames and the same filters. Safe to delete.

One entry has the verdicts of one set of filters and one policy, each named by a digest of the interface that it was
found with; how many interfaces are like that one is no part of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from reconciler.model.coverage import FilterCoverage, Subject
from reconciler.model.filter import NwFilter
from reconciler.model.site import Desired, Policy
from reconciler.records.kept import read_kept, write_kept
from reconciler.records.keys import key_of
from reconciler.records.plain import from_plain, to_plain


@dataclass(frozen=True, slots=True)
class _Rules:
    """What all verdicts of an entry depend on."""

    filters: tuple[NwFilter, ...]
    policy: Policy


@dataclass(frozen=True, slots=True)
class _Verdicts:
    found: tuple[tuple[str, FilterCoverage], ...]


class KeptCoverage:
    """The verdicts on a site's filters, below the state folder."""

    def __init__(self, var: Path, site: Desired) -> None:
        self._folder = var / "coverage"
        self._key = key_of(_json(_Rules(site.filters, site.policy)))

    def read(self, subjects: Iterable[Subject]) -> dict[Subject, FilterCoverage]:
        """Of each that was judged before; of none where nothing is kept that can be trusted."""
        body = read_kept(self._folder, self._key)
        if body is None:
            return {}
        with suppress(ValueError, TypeError, KeyError, RecursionError):
            known = dict(from_plain(_Verdicts, json.loads(body)).found)
            named = ((subject, known.get(_name(subject))) for subject in subjects)
            return {each: replace(verdict, interfaces=each.interfaces) for each, verdict in named if verdict}
        return {}

    def write(self, verdicts: Mapping[Subject, FilterCoverage]) -> None:
        found = tuple((_name(subject), verdict) for subject, verdict in verdicts.items())
        write_kept(self._folder, self._key, _json(_Verdicts(found)))


def _name(subject: Subject) -> str:
    return sha256(_json(replace(subject, interfaces=0))).hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(to_plain(value), separators=(",", ":")).encode()
