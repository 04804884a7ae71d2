"""`diff`: what differs between the site and this host.

A timer asks this most often, and most often the answer is what it was. So what it takes to find that out is imported
first, and all else only where something is new.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from reconciler.settings import Settings
from reconciler.stories.agreeing import recall, remember
from reconciler.stories.reading import read_site
from reconciler.verbs.common import EXIT_FAILED, EXIT_OK, Arguments, console, in_force, print_document, short_source

if TYPE_CHECKING:
    from reconciler.model.drift import Drift
    from reconciler.source.snapshot import Snapshot


def diff(arguments: Arguments) -> int:
    settings = in_force(arguments)
    found = None if settings.commit else read_site(settings)
    told = _told_before(settings, found) or _compared(settings, found)
    if arguments.output != "text":
        from reconciler.report import document as json_document

        parts = {"host": told.host, "source": told.source, "drift": json_document.drift(told.drift)}
        print_document(arguments, json_document.document("diff", **parts, unmanaged=told.beside))
    else:
        _show_drift(told)
    return EXIT_FAILED if any(drift.counts for drift in told.drift) else EXIT_OK


class _Told(NamedTuple):
    """What `diff` tells. `beside` is what the site does not name, as a document has it."""

    host: str
    source: str
    drift: tuple[Drift, ...]
    beside: Mapping[str, Any]


def _told_before(settings: Settings, found: Snapshot | None) -> _Told | None:
    kept = recall(settings, "diff", found)
    if kept is None:
        return None
    return _Told(kept.host, kept.source, (), kept.facts)


def _compared(settings: Settings, found: Snapshot | None) -> _Told:
    from reconciler import app
    from reconciler.report import document as json_document
    from reconciler.verbs.looking import look

    seen = look(settings, found or read_site(settings))
    beside = json_document.unmanaged(app.unmanaged_of(seen))
    remember(settings, "diff", found, seen, beside)
    return _Told(seen.host, seen.desired.source, seen.drift, beside)


def _show_drift(told: _Told) -> None:
    if told.drift:
        from reconciler.report.text import show_drift

        show_drift(console(), told.drift)
    else:
        print(f"{told.host} is as {short_source(told.source)} says")
    if any(told.beside.values()):
        _show_beside(told.beside)


def _show_beside(beside: Mapping[str, Any]) -> None:
    from reconciler.model.coverage import Unmanaged
    from reconciler.report.guests import show_unmanaged

    interfaces = tuple((each["guest"], each["mac"]) for each in beside["interfaces"])
    show_unmanaged(console(), Unmanaged(tuple(beside["guests"]), interfaces, tuple(beside["filters"])))
