"""Which interfaces of a host can be adopted: those that the site gives back exactly as they are.

A draft of the site is made, read as any site is read, and compared with the host. Whatever has a problem or would
drift is left out, with the reason, until nothing is left to object to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from reconciler.adopt.conflicts import conflicts
from reconciler.adopt.draft import Drafting, Ground
from reconciler.adopt.entry import BY_HAND, Entry, Inexpressible
from reconciler.adopt.places import place
from reconciler.adopt.reading import Reading
from reconciler.adopt.text import interface_at
from reconciler.diff import diff
from reconciler.errors import SiteError
from reconciler.load import examine
from reconciler.model.adoption import Adoption, Omission
from reconciler.model.drift import Drift, Layer
from reconciler.model.guest import Guest, guard_name
from reconciler.model.live import Domain
from reconciler.model.problem import Problem, Severity
from reconciler.model.site import Desired

_MOST_SHOWN = 160

Objections = Mapping[Entry, Inexpressible]


def adopt(ground: Ground, domains: Iterable[Domain]) -> Adoption:
    """The files that take these guests into the site, and what had to be left out of it.

    Raises `SiteError` where the site itself, with what it has, does not bear any of them.
    """
    entries, omissions = _read(ground, domains)
    trial = _Trial(ground)
    while objections := trial.objections(tuple(entries)):
        omissions += [entry.without(why) for entry, why in objections.items()]
        entries = [entry for entry in entries if entry not in objections]
    files = trial.drafting.files(entries) if entries else {}
    return Adoption(ground.host, files, tuple(sorted(omissions, key=lambda omission: omission.object)))


def _read(ground: Ground, domains: Iterable[Domain]) -> tuple[list[Entry], list[Omission]]:
    reading = Reading(ground.live)
    entries: list[Entry] = []
    omissions: list[Omission] = []
    for domain in domains:
        path = f"guests/{domain.name}.yaml"
        if path in (ground.files or {}) and not ground.force:
            hint = "with --force its file is replaced"
            omissions.append(Omission(f"guest/{domain.name}", f"the site has {path}", hint, missing=False))
        else:
            found, lost = reading.guest(domain)
            entries += found
            omissions += lost
    return entries, omissions


class _Trial:
    """Puts interfaces into the site and looks what becomes of them."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._files = ground.files or {}
        self.drafting = Drafting(ground)

    def objections(self, entries: tuple[Entry, ...]) -> Objections:
        """To some of the entries, where there is any; the others may get theirs when these are gone."""
        if not entries:
            return {}
        return conflicts(entries, self._other_guests(entries)) or self._homeless(entries) or self._on_trial(entries)

    def _other_guests(self, entries: Iterable[Entry]) -> tuple[Guest, ...]:
        """Of the site, less those whose file is replaced."""
        names = {entry.guest for entry in entries}
        return (
            tuple(guest for guest in self._ground.site.guests if guest.name not in names) if self._ground.site else ()
        )

    def _homeless(self, entries: tuple[Entry, ...]) -> Objections:
        segments = self.drafting.segments(entries)
        found: dict[Entry, Inexpressible] = {}
        for entry in entries:
            try:
                place(entry, segments)
            except Inexpressible as why:
                found[entry] = why
        return found

    def _on_trial(self, entries: tuple[Entry, ...]) -> Objections:
        desired, errors = self._examined(entries)
        if desired is None:
            return self._at_fault(entries, errors)
        found = diff(desired, self._ground.live, self._ground.host)
        # A new guest cannot stand in our own table yet; to put it there disturbs nobody.
        drift = [each for each in found if ".supplement." not in each.field]
        return {entry: _drifting(each) for each in reversed(drift) for entry in self._concerned(each, entries)}

    def _examined(self, entries: Iterable[Entry]) -> tuple[Desired | None, tuple[Problem, ...]]:
        desired, problems = examine({**self._files, **self.drafting.files(entries)}, "a draft")
        return desired, tuple(problem for problem in problems if problem.severity is Severity.ERROR)

    def _at_fault(self, entries: tuple[Entry, ...], errors: tuple[Problem, ...]) -> Objections:
        """Who brought the problems: by their place in a guest's new file, else by trying each interface alone."""
        found = {
            entry: _refused(error, entry) for error in reversed(errors) for entry in self._at_place(error, entries)
        }
        if found:
            return found
        places = {error.origin.path for error in errors}
        suspects = [e for e in entries if places & {f"filters/{name}.xml" for name in self.drafting.reached(e)}]
        alone = cache(lambda entry: self._examined([entry])[1])
        first = {_shape(entry): entry for entry in reversed(suspects)}
        for entry in suspects or entries:
            if faults := alone(first.get(_shape(entry), entry)):
                found[entry] = _refused(faults[0], entry)
        if not found:
            raise SiteError(errors)
        return found

    def _at_place(self, error: Problem, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        mine = tuple(entry for entry in entries if entry.path == error.origin.path)
        if not mine:
            return ()
        position = interface_at(self.drafting.guest(mine), error.origin.line)
        return mine if position is None else (mine[position],)

    def _concerned(self, drift: Drift, entries: Iterable[Entry]) -> Iterator[Entry]:
        kind, _, name = drift.object.partition("/")
        for entry in entries:
            if kind == "guest" and entry.guest == name:
                if drift.field.startswith(entry.mac):
                    yield entry
            elif kind == "filter" and (
                name == guard_name(entry.guest, entry.mac) or name in self.drafting.reached(entry)
            ):
                yield entry


def _shape(entry: Entry) -> object:
    """All of an interface on which it depends what a filter's rules do to it."""
    return entry.filter, len(entry.given.ipv4), len(entry.given.ipv6), entry.given.others


def _refused(error: Problem, entry: Entry) -> Inexpressible:
    where = f" ({error.origin})" if error.origin.path != entry.path else ""
    return Inexpressible(f"check would refuse it: {error.message}{where}", error.hint)


def _drifting(drift: Drift) -> Inexpressible:
    if drift.layer is Layer.KERNEL:
        reason = (
            "the rules in the kernel are not those that its filter makes"
            if "rules" in drift.field
            else "its port is closed"
        )
        return Inexpressible(reason, "restart the guest, or have libvirt build its rules anew, and adopt it again")
    if drift.field.split(".")[1:2] == ["binding"]:
        hint = "restart the guest, and adopt it again"
        return Inexpressible("libvirt's binding of its port is not what its XML says", hint)
    if drift.object.startswith("filter/"):
        reason = f"it reaches {drift.object}, which the site says otherwise ({drift.field})"
        return Inexpressible(reason, "apply the site first, or replace its file with --force")
    _, _, field = drift.field.partition(".")
    values = f"libvirt has {_shown(drift.actual)}, the site could only say {_shown(drift.desired)}"
    return Inexpressible(f"it would not be given back as it is: of {field or 'itself'} {values}", BY_HAND)


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"
