"""A site's filters tried with real frames in a throw-away lab."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from reconciler.model.guest import Interface
from reconciler.model.outcome import Case, InterfaceProof
from reconciler.model.site import Desired
from reconciler.model.supplement import Supplement

if TYPE_CHECKING:
    from reconciler.lab.handle import Lab
    from reconciler.nwfilter.variables import Lookup

Address = IPv4Address | IPv6Address


def try_frames_of(desired: Desired, host: str) -> tuple[InterfaceProof, ...]:
    """Send every interface's battery as real frames through its filters in a throw-away lab: needs root and scapy.

    The host itself is not touched. A case whose frame did what was not foretold says so in its rule.
    """
    from reconciler.host.libvirt_host import open_host
    from reconciler.lab.labs import lab
    from reconciler.lab.trial import define_filters, with_stock_filters
    from reconciler.nwfilter.subjects import with_neighbours
    from reconciler.nwfilter.supplement import supplement_of
    from reconciler.nwfilter.wanted import wanted_filters

    pairs = tuple(with_neighbours(desired.guests_on(host)))
    found: list[InterfaceProof] = []
    with lab() as private:
        define_filters(private, wanted_filters(desired, host))
        known = with_stock_filters(private, desired.filters, (interface.filter for _, interface, _ in pairs))
        supplement = supplement_of(desired, host)
        if supplement is not None:
            open_host(private.uri).set_supplement(supplement)
        for guest, interface, neighbours in pairs:
            cases = _try_interface(private, known.get, interface, neighbours, supplement)
            found.append(InterfaceProof(guest.name, interface.mac, "lab", cases))
    return tuple(found)


def _try_interface(
    private: Lab, lookup: Lookup, interface: Interface, neighbours: tuple[Address, ...], supplement: Supplement | None
) -> tuple[Case, ...]:
    from reconciler.lab.trial import Subject, try_frames
    from reconciler.nwfilter.battery import Direction, battery
    from reconciler.nwfilter.guard import unguarded_filterref
    from reconciler.nwfilter.prove import foretold_cases
    from reconciler.nwfilter.wanted import has_packet_rules

    cases = battery(interface, neighbours)
    sent = [case for case in cases if case.direction is Direction.OUT]
    received = [case for case in cases if case.direction is Direction.IN]
    subject = Subject(
        interface.mac,
        unguarded_filterref(interface),
        tuple(case.data for case in sent),
        tuple(case.data for case in received),
        host_hears=private.system.of_nft or not has_packet_rules(lookup, interface.filter),
    )
    [heard] = try_frames(private, [subject])
    passed = dict(zip([case.id for case in (*sent, *received)], (*heard.sent, *heard.received), strict=True))
    return tuple(foretold_cases(lookup, interface, cases, passed, private.system.backend, supplement))
