"""Prove from the kernel's rules that an interface is held to its own addresses (promise P10).

Three questions, each answered by cases with a stable id: is the port behind its chains at all; is every own
address found in a rule of them; and do the frames that matter get the right verdict on these rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import ClassVar

from reconciler.model.guest import Interface
from reconciler.model.kernel import Backend, KernelRule, KernelRules, Ruleset
from reconciler.model.outcome import Case
from reconciler.model.supplement import Supplement
from reconciler.nwfilter.battery import BatteryCase, Direction, Question, Wanted, battery
from reconciler.nwfilter.evaluate import Evaluator
from reconciler.nwfilter.expand import expand
from reconciler.nwfilter.frame import BROADCAST_MAC, ETHERTYPES, Arp, Frame, Packet, Transport
from reconciler.nwfilter.guard import unguarded_filterref
from reconciler.nwfilter.instances import CannotInstantiate
from reconciler.nwfilter.variables import Lookup
from reconciler.nwfilter.walk import UnknownMatch

_HOOK = "PREROUTING"
_ROUTER_MAC = "02:00:00:00:00:01"
_FOREIGN_MAC = "02:00:00:00:00:66"
BOTH_FAMILIES = frozenset({4, 6})
_SOURCE_OPTIONS = {4: ("ip-src", "ip-source", "ip saddr"), 6: ("ip6-src", "ip6-source", "ip6 saddr")}


@dataclass(frozen=True, slots=True)
class Probe:
    """A frame with the verdict that it must get, built without scapy."""

    id: str
    frame: Frame
    expected: Wanted

    direction: ClassVar[Direction] = Direction.OUT
    inexpressible: ClassVar[bool] = False


def port_rules(ruleset: Ruleset, port: str) -> tuple[KernelRule, ...]:
    """Every rule that a frame from this port can meet behind the hook, in the order of the walk."""
    found: dict[str, tuple[KernelRule, ...]] = {}
    waiting = [rule.target for rule in jumps_of(ruleset, port)]
    while waiting:
        chain = ruleset.chain(waiting.pop(0))
        if chain is not None and chain.name not in found:
            found[chain.name] = chain.rules
            waiting.extend(rule.target for rule in chain.rules)
    return tuple(rule for rules in found.values() for rule in rules)


def jumps_of(ruleset: Ruleset, port: str) -> tuple[KernelRule, ...]:
    """The hook's rules that send this port's frames into chains of its own."""
    hook = ruleset.chain(_HOOK)
    rules = hook.rules if hook else ()
    return tuple(rule for rule in rules if any(c.option == "in-interface" and c.value == port for c in rule.conditions))


def structure(
    ruleset: Ruleset, port: str, interface: Interface, visible: frozenset[int] = BOTH_FAMILIES
) -> tuple[Case, ...]:
    """Whether the port's chains exist and name every own address of the visible families (IP versions)."""
    rules = port_rules(ruleset, port)
    cases = [Case(interface.mac, "rules-installed", "present", "present" if rules else "absent")]
    if not rules:
        return tuple(cases)
    own: tuple[IPv4Network | IPv6Network, ...] = (*interface.ipv4, *interface.ipv6)
    for network in own:
        if network.version in visible:
            found = "present" if _names(rules, network) else "absent"
            cases.append(Case(interface.mac, f"address-{network}", "present", found))
    return tuple(cases)


def prove(
    ruleset: Ruleset,
    port: str,
    interface: Interface,
    visible: frozenset[int] = BOTH_FAMILIES,
    supplement: Supplement | None = None,
) -> tuple[Case, ...]:
    """All cases of one interface: its structure, then the verdicts on its probes."""
    cases = structure(ruleset, port, interface, visible)
    if not jumps_of(ruleset, port):
        return cases
    evaluator = Evaluator.on(KernelRules(ruleset, supplement=supplement))
    return (*cases, *judged(evaluator, port, interface.mac, probes(interface)))


def prove_all(
    rules: KernelRules,
    port: str,
    interface: Interface,
    neighbours: tuple[IPv4Address | IPv6Address, ...] = (),
    visible: frozenset[int] = BOTH_FAMILIES,
) -> tuple[Case, ...]:
    """As `prove`, with every case of the battery. Raises `UsageError` where scapy is not installed."""
    cases = structure(rules.ethernet, port, interface, visible)
    if not jumps_of(rules.ethernet, port):
        return cases
    return (*cases, *judged(Evaluator.on(rules), port, interface.mac, battery(interface, neighbours)))


def judged(evaluator: Evaluator, port: str, mac: str, cases: Iterable[Question]) -> Iterator[Case]:
    """The verdict on every case, and the rule that gave it."""
    for case in cases:
        try:
            decided = evaluator.case(case, port)
        except UnknownMatch as unknown:
            yield Case(mac, case.id, case.expected, "unknown", unknown.message, case.inexpressible)
            continue
        got = "pass" if decided.passes else "drop"
        yield Case(mac, case.id, case.expected, got, str(decided), case.inexpressible)


_KEPT_BY_BRIDGES = frozenset(f"01:80:c2:00:00:{last:02x}" for last in range(1, 16))
"""Groups that a bridge forwards to no other port (IEEE 802.1Q, table 8-1), whatever a filter says."""


def foretold_cases(
    lookup: Lookup,
    interface: Interface,
    cases: Iterable[BatteryCase],
    passed: Mapping[str, bool],
    backend: Backend = Backend.IPTABLES,
    supplement: Supplement | None = None,
) -> Iterator[Case]:
    """Cases by what their frames really did; where that was foretold otherwise the rule says so."""
    try:
        expected = expand(lookup, unguarded_filterref(interface), interface.mac, "port", backend)
    except CannotInstantiate:
        expected = None
    evaluator = Evaluator.of(expected, supplement) if expected else None
    for case in cases:
        got = "pass" if passed[case.id] else "drop"
        decided = evaluator.case(case, "port") if evaluator else None
        kept = case.frame.destination in _KEPT_BY_BRIDGES and got == "drop"
        agrees = decided is None or decided.passes == passed[case.id] or kept
        rule = str(decided or "") if agrees else f"foretold otherwise: {decided}"
        yield Case(interface.mac, case.id, case.expected, got, rule, case.inexpressible)


def _names(rules: Iterable[KernelRule], network: IPv4Network | IPv6Network) -> bool:
    return any(
        condition.option in _SOURCE_OPTIONS[network.version] and _is_network(condition.value, network)
        for rule in rules
        for condition in rule.conditions
        if not condition.negated
    )


def _is_network(value: str, network: IPv4Network | IPv6Network) -> bool:
    """nft also has sets and ranges of addresses, which libvirt does not make of an interface's own."""
    try:
        return ip_network(value, strict=False) == network
    except ValueError:
        return False


def probes(interface: Interface) -> Iterator[Probe]:
    """The frames that decide whether an interface is held to what it owns."""
    mac = interface.mac
    for network in interface.ipv4:
        for address in {network[0]: None, network[-1]: None}:
            yield Probe(f"ipv4-own-{address}", _udp4(mac, address), "pass")
            yield Probe(f"arp-own-{address}", _arp(mac, mac, address), "pass")
    for network6 in interface.ipv6:
        for address6 in {network6[0]: None, network6[-1]: None}:
            yield Probe(f"ipv6-own-{address6}", _udp6(mac, address6), "pass")
    foreign4, foreign6 = foreign_ipv4(interface.ipv4), foreign_ipv6(interface.ipv6)
    yield Probe("ipv4-foreign-source", _udp4(mac, foreign4), "drop")
    yield Probe("arp-foreign-sender", _arp(mac, mac, foreign4), "drop")
    yield Probe("ipv6-foreign-source", _udp6(mac, foreign6), "drop")
    yield Probe("ipv6-router-advertisement", _icmp6(mac, _link_local(interface) or foreign6, 134), "drop")
    yield Probe("mac-foreign-source", Frame(_FOREIGN_MAC, BROADCAST_MAC, ETHERTYPES["ARP"]), "drop")
    if not interface.ipv4:
        yield Probe("ipv4-none-dhcp", _dhcp(mac), "drop")
        yield Probe("ipv4-none-arp-probe", _arp(mac, mac, IPv4Address(0)), "drop")
    if not interface.ipv6:
        yield Probe("ipv6-none-solicitation", _icmp6(mac, IPv6Address(0), 135), "drop")


def foreign_ipv4(own: tuple[IPv4Network, ...]) -> IPv4Address:
    """The address just past an own prefix, as a neighbour's would be; a documentation address where there is none."""
    candidates = (
        network.broadcast_address + 1 for network in own if network.broadcast_address != IPv4Address("255.255.255.255")
    )
    return next((c for c in candidates if not any(c in n for n in own)), IPv4Address("192.0.2.66"))


def foreign_ipv6(own: tuple[IPv6Network, ...]) -> IPv6Address:
    """As `foreign_ipv4`; own link-local addresses are not looked at."""
    candidates = (network.broadcast_address + 1 for network in own if not network.is_link_local)
    return next((c for c in candidates if not any(c in n for n in own)), IPv6Address("2001:db8:ffff::66"))


def _link_local(interface: Interface) -> IPv6Address | None:
    return next((network[0] for network in interface.ipv6 if network.is_link_local), None)


def _udp4(mac: str, source: IPv4Address) -> Frame:
    packet = Packet(source, IPv4Address("198.51.100.1"), Transport(17, 40000, 40001))
    return Frame(mac, _ROUTER_MAC, ETHERTYPES["IPv4"], packet)


def _dhcp(mac: str) -> Frame:
    packet = Packet(IPv4Address(0), IPv4Address("255.255.255.255"), Transport(17, 68, 67))
    return Frame(mac, BROADCAST_MAC, ETHERTYPES["IPv4"], packet)


def _udp6(mac: str, source: IPv6Address) -> Frame:
    packet = Packet(source, IPv6Address("2001:db8:fffe::1"), Transport(17, 40000, 40001))
    return Frame(mac, _ROUTER_MAC, ETHERTYPES["IPv6"], packet)


def _icmp6(mac: str, source: IPv6Address, kind: int) -> Frame:
    packet = Packet(source, IPv6Address("ff02::1"), Transport(58, icmp_type=kind, icmp_code=0))
    return Frame(mac, "33:33:00:00:00:01", ETHERTYPES["IPv6"], packet)


def _arp(mac: str, sender: str, address: IPv4Address) -> Frame:
    arp = Arp(1, sender, address, "00:00:00:00:00:00", IPv4Address("198.51.100.1"))
    return Frame(mac, BROADCAST_MAC, ETHERTYPES["ARP"], arp)
