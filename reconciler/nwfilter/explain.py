"""Why a frame passes or does not: of a case that was judged, or of a frame that somebody describes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from reconciler.errors import UsageError, did_you_mean
from reconciler.model.filter import NwFilter
from reconciler.model.guest import Guest, Interface
from reconciler.model.kernel import KernelRules
from reconciler.model.live import Live, Nic
from reconciler.model.outcome import Case, InterfaceProof
from reconciler.model.site import Desired
from reconciler.model.trace import Trace
from reconciler.nwfilter.battery import BatteryCase, Direction, battery, only_build_frames
from reconciler.nwfilter.decode import decode
from reconciler.nwfilter.expand import expand
from reconciler.nwfilter.floods import CASE as FLOOD
from reconciler.nwfilter.frame_words import words_of
from reconciler.nwfilter.instances import CannotInstantiate
from reconciler.nwfilter.path import rules_of, way, with_sources
from reconciler.nwfilter.stock import STOCK_FILTERS
from reconciler.nwfilter.subjects import PORT, find_guest, find_interface, foretold, running_nic, with_neighbours
from reconciler.nwfilter.supplement import supplement_for
from reconciler.nwfilter.trace import parse_frame
from reconciler.nwfilter.variables import closure

_CLOSEST = 3


@dataclass(frozen=True, slots=True)
class Wish:
    """The cases to explain; of one guest, or of every one that has them."""

    ids: frozenset[str]
    guest: str | None = None

    def concerns(self, guest: Guest) -> bool:
        return self.guest in (None, guest.name)


def check_wish(wish: Wish, guests: tuple[Guest, ...], *, with_structure: bool, with_limit: bool = False) -> None:
    """Raises UsageError for a guest that the site does not have, or a case that none of its interfaces has."""
    if wish.guest is not None:
        find_guest(guests, wish.guest)
    known = dict.fromkeys(_ids(wish, guests, with_structure))
    if with_structure and with_limit:
        known[FLOOD] = None
    for id in sorted(wish.ids - known.keys()):
        whose = f"no interface of {wish.guest}" if wish.guest else "no interface here"
        hint = did_you_mean(id, known, _CLOSEST) or "`verify --output json` lists all cases"
        raise UsageError(f"{whose} has a case '{id}'", hint=hint)


def _ids(wish: Wish, guests: tuple[Guest, ...], with_structure: bool) -> Iterator[str]:
    for guest, interface, neighbours in with_neighbours(guests):
        if not wish.concerns(guest):
            continue
        yield from (case.id for case in battery(interface, neighbours))
        if with_structure:
            yield "rules-installed"
            yield from (f"address-{network}" for network in (*interface.ipv4, *interface.ipv6))


RulesOf = Callable[[Guest, Interface, str], tuple[KernelRules, str] | None]
"""The rules on which an interface's frames are explained, and its port there; None where they are not known."""


def explain(
    proofs: Iterable[InterfaceProof], guests: tuple[Guest, ...], wish: Wish, rules_of_port: RulesOf
) -> tuple[InterfaceProof, ...]:
    """Proofs whose wanted cases say by which frame they were judged, and have their path."""
    known = {(guest.name, i.mac): (guest, i, neighbours) for guest, i, neighbours in with_neighbours(guests)}
    found: list[InterfaceProof] = []
    for proof in proofs:
        guest, interface, neighbours = known.get((proof.guest, proof.mac), (None, None, ()))
        wanted = wish.ids & {case.case for case in proof.cases}
        if guest and interface and proof.port and wish.concerns(guest) and wanted:
            frames = {case.id: case for case in battery(interface, neighbours) if case.id in wanted}
            rules = rules_of_port(guest, interface, proof.port)
            proof = replace(proof, cases=tuple(_explained(case, wanted, frames, rules) for case in proof.cases))
        found.append(proof)
    return tuple(found)


def _explained(
    case: Case, wanted: frozenset[str], frames: Mapping[str, BatteryCase], rules: tuple[KernelRules, str] | None
) -> Case:
    """A case that judges no frame, but searches the rules, has no step, and so has one whose rules are not known."""
    if case.case not in wanted:
        return case
    frame = frames.get(case.case)
    if frame is None:
        return replace(case, path=())
    path = way(rules[0], frame.frame, frame.direction, rules[1]).path if rules else ()
    return replace(case, frame=words_of(frame.data), path=path)


def on_kernel(desired: Desired, live: Live) -> RulesOf:
    """What was read back, with the filters' rules that asked for it."""
    definitions = _definitions(desired, live)

    def rules(guest: Guest, interface: Interface, port: str) -> tuple[KernelRules, str]:
        return _sourced(live.kernel, definitions, running_nic(guest.name, interface.mac, live)), port

    return rules


def as_foretold(desired: Desired) -> RulesOf:
    filters = {definition.name: definition for definition in desired.filters}

    def rules(_guest: Guest, interface: Interface, _port: str) -> tuple[KernelRules, str] | None:
        try:
            expected = foretold(filters, interface)
        except CannotInstantiate:
            return None
        return (rules_of(expected, supplement_for(desired, interface)), PORT) if expected else None

    return rules


def _definitions(desired: Desired, live: Live) -> dict[str, NwFilter]:
    """Filters as libvirt holds them; of those that are as the site has them the site's own, which know their file."""
    held = {f.definition.name: f.definition for f in live.filters}
    return held | {each.name: each for each in desired.filters if held.get(each.name) == each}


def _sourced(rules: KernelRules, definitions: dict[str, NwFilter], nic: Nic | None) -> KernelRules:
    if nic is None or nic.port is None or nic.filterref is None:
        return rules
    try:
        return with_sources(rules, expand(definitions.get, nic.filterref, nic.mac, nic.port, rules.backend))
    except CannotInstantiate:
        return rules


@dataclass(frozen=True, slots=True)
class Described:
    """A frame that somebody asks about; without a MAC of the guest's only interface."""

    guest: str
    words: str
    mac: str | None = None
    to_guest: bool = False

    @property
    def direction(self) -> Direction:
        return Direction.IN if self.to_guest else Direction.OUT


def trace_on_site(desired: Desired, asked: Described) -> Trace:
    """Judged on the rules that the site's filters will make. Raises UsageError, also where they are not known."""
    guest, interface = find_interface(desired.guests, asked.guest, asked.mac)
    data = _bytes(asked, interface)
    filters = {definition.name: definition for definition in desired.filters}
    expected = foretold(filters, interface)
    if expected is None:
        unknown = [name for name in closure(filters.get, interface.filter) if name not in filters]
        raise UsageError(
            f"{guest.name}'s filter {interface.filter} {_is_foreign(interface.filter, unknown)}; "
            "only a host knows what that does",
            hint="while the guest runs, `trace --live` judges on the rules that the kernel has for it",
        )
    return _trace(guest, interface, asked, data, "site", (rules_of(expected, supplement_for(desired, interface)), PORT))


def trace_on_host(desired: Desired, live: Live, host: str, asked: Described) -> Trace:
    """Judged on the rules that the kernel has for the running guest's port. Raises UsageError."""
    guest, interface = find_interface(desired.guests_on(host), asked.guest, asked.mac)
    data = _bytes(asked, interface)
    nic = running_nic(guest.name, interface.mac, live)
    if nic is None or nic.port is None:
        message = (
            f"{guest.name}'s interface {interface.mac} does not run on this host, so the kernel has no rules of it"
        )
        raise UsageError(message, hint="without --live the site's filters are asked")
    rules = _sourced(live.kernel, _definitions(desired, live), nic)
    return _trace(guest, interface, asked, data, "kernel", (rules, nic.port))


def _is_foreign(name: str, unknown: list[str]) -> str:
    owner = "libvirt's own" if all(each in STOCK_FILTERS for each in unknown) else "the host's"
    return f"is {owner}" if name in unknown else f"needs {owner} {', '.join(unknown)}"


def _bytes(asked: Described, interface: Interface) -> bytes:
    layers = parse_frame(asked.words)
    only_build_frames()
    from reconciler.nwfilter.trace_frames import frame_of

    return frame_of(layers, interface, asked.direction)


def _trace(
    guest: Guest, interface: Interface, asked: Described, data: bytes, layer: str, rules: tuple[KernelRules, str]
) -> Trace:
    found = way(rules[0], decode(data), asked.direction, rules[1])
    return Trace(guest.name, interface.mac, words_of(data), asked.to_guest, layer, found)
