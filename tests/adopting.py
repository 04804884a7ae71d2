"""Hosts that are adopted, and the promise that is made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sites import domain_xml, mac

from reconciler.adopt.choice import adopt
from reconciler.adopt.draft import Ground
from reconciler.diff import diff
from reconciler.domain.rewrite import set_filterref
from reconciler.host.memory import MemoryHost
from reconciler.load import load
from reconciler.model.adoption import Adoption
from reconciler.model.filter import FilterRef, canonical_parameters
from reconciler.model.guest import Guest, Interface
from reconciler.model.site import Desired
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.guard import interface_filterref, mark_uuid, without_learning
from reconciler.nwfilter.parse import parse_filter
from reconciler.nwfilter.wanted import wanted_filters
from reconciler.plan.build import make_plan

HOST = "kvm01"


def chain(name: str, *attributes: str, more: str = "") -> str:
    """A filter whose rules use the variables that it is given."""
    rules = "".join(f"<rule action='accept' direction='out'>{each}</rule>" for each in attributes)
    return f"<filter name='{name}' chain='root'>{more}{rules}<rule action='drop' direction='inout'/></filter>"


IP = "<ip srcipaddr='$IP'/>"
IP_MASK = "<ip srcipaddr='$IP' srcipmask='$IPMASK'/>"
IPV6 = "<ipv6 srcipaddr='$IPV6'/>"
STOCK = chain("clean-traffic", IP)
FILTERS = (
    STOCK,
    chain("own", IP, IPV6, more="<filterref filter='leaf'/>"),
    chain("leaf", "<mac srcmacaddr='$MAC'/>"),
    chain("masked", IP_MASK, IPV6),
    chain("six", IPV6),
    chain("segmented", IP, "<ip dstipaddr='$SEGMENT' dstipmask='$SEGMENTMASK'/>"),
    chain("dhcp", IP, "<ip srcipaddr='$DHCPSERVER' protocol='udp'/>"),
    chain("all-but", "<ip match='no' srcipaddr='$IP'/>"),
    chain("Shouting", IP),
)


def ref(filter: str, **variables: str | Iterable[str]) -> FilterRef:
    pairs = ((n, each) for n, v in variables.items() for each in ([v] if isinstance(v, str) else v))
    return FilterRef(filter, canonical_parameters(pairs))


def guest_xml(name: str, *references: FilterRef | None, first: int, kind: str = "bridge", bridge: str = "br0") -> str:
    macs = [mac(first + number) for number in range(len(references))]
    xml = domain_xml(Guest(name, tuple(Interface(each, "") for each in macs or [mac(first)])))
    for each, reference in zip(macs, references, strict=True):
        xml = set_filterref(xml, each, reference)
    return xml.replace("interface type='bridge'", f"interface type='{kind}'").replace("'br0'", f"'{bridge}'")


def brownfield(guests: Mapping[str, FilterRef | list[FilterRef | None] | None], *, running: bool = True) -> MemoryHost:
    """A host that never met the reconciler; MACs count from 1 in the order of its guests."""
    host = MemoryHost(packaged=(parse_filter(STOCK),))
    for place, xml in enumerate(FILTERS, 1):
        host.define_filter(xml.replace(">", f"><uuid>00000000-0000-4000-8000-{place:012}</uuid>", 1))
    number = 1
    for name, given_references in guests.items():
        references = given_references if isinstance(given_references, list) else [given_references]
        host.define_domain(guest_xml(name, *references, first=number))
        number += len(references)
        if running:
            host.start_domain(name)
    host.writes.clear()
    return host


def adopted(host: MemoryHost, files: Mapping[str, bytes] | None = None, *names: str, force: bool = False) -> Adoption:
    live = host.inspect()
    base = None if files is None else load(files)
    hosts = (HOST,) if base is None or base.hosts else ()
    ground = Ground(live, HOST, hosts, host.packaged_filters(), files, base, False, force)
    return adopt(ground, [domain for domain in live.domains if not names or domain.name in names])


def assert_given_back(host: MemoryHost, done: Adoption, before: Mapping[str, bytes] | None = None) -> Desired:
    """The promise: the site is valid, nothing differs, and apply has nothing to do."""
    desired = load({**(before or {}), **done.files})
    live = host.inspect()
    assert diff(desired, live, HOST) == ()
    plan = make_plan(desired, live, HOST)
    assert (plan.steps, plan.waiting) == ((), ())
    assert host.writes == []
    return desired


def reasons(done: Adoption) -> dict[str, str]:
    assert all(each.reason and each.hint and not each.reason.endswith(".") for each in done.omissions)
    return {each.object: each.reason for each in done.omissions}


def host_of(desired: Desired, foreign: frozenset[str] = frozenset(), *, running: bool = True) -> MemoryHost:
    """A host to which a site was applied; `foreign` interfaces lack our ban on learning."""
    host = MemoryHost()
    for definition in wanted_filters(desired, HOST):
        host.define_filter(format_filter(definition, mark_uuid(definition.name)))
    for guest in desired.guests:
        xml = domain_xml(guest)
        for interface in guest.interfaces:
            reference = interface_filterref(guest.name, interface)
            xml = set_filterref(
                xml, interface.mac, without_learning(reference) if interface.mac in foreign else reference
            )
        host.define_domain(xml)
        if running:
            host.start_domain(guest.name)
    host.writes.clear()
    return host
