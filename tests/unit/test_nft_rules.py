"""Rules of nft: one form for what does the same, and tests that never guess."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from reconciler.model.filter import FilterRef
from reconciler.model.kernel import Backend, Condition, KernelChain, KernelRule, Ruleset
from reconciler.nwfilter.expand import expand
from reconciler.nwfilter.frame import ETHERTYPES, Flow, Frame, Packet, State, Transport, Vlan
from reconciler.nwfilter.instances import CannotInstantiate
from reconciler.nwfilter.nftables import parse_nftables
from reconciler.nwfilter.parse import parse_filter
from reconciler.nwfilter.walk import UnknownMatch, Walker

OWN, ROUTER = "52:54:00:00:00:01", "02:00:00:00:00:01"


def rule(*statements: dict[str, Any]) -> KernelRule:
    """What the reader makes of one rule of the first table."""
    place = {"family": "bridge", "table": "libvirt_nwfilter_ethernet"}
    chain = {"chain": {**place, "name": "c"}}
    listed = {"rule": {**place, "chain": "c", "expr": [*statements, {"drop": None}]}}
    ethernet, _ = parse_nftables(json.dumps({"nftables": [chain, listed]}))
    [found] = ethernet.chains[0].rules
    return found


def match(protocol: str, field: str, right: object, operator: str = "==") -> dict[str, Any]:
    return {"match": {"op": operator, "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}}


def passes(of: KernelRule, frame: Frame, flow: Flow | None = None) -> bool:
    _, inet = parse_nftables('{"nftables": []}')
    chains = (KernelChain("PREROUTING", "ACCEPT", (of,)),)
    return Walker(Ruleset(chains, inet.family)).verdict(frame, "p0", "PREROUTING", flow=flow).passes


def ipv4(transport: Transport, *, source: str = "10.0.0.1", tos: int = 0) -> Frame:
    packet = Packet(IPv4Address(source), IPv4Address("10.0.0.2"), transport, tos)
    return Frame(OWN, ROUTER, ETHERTYPES["IPv4"], packet)


def ipv6(transport: Transport, next_header: int | None = None) -> Frame:
    packet = Packet(IPv6Address("fe80::1"), IPv6Address("ff02::1"), transport, next_header=next_header)
    return Frame(OWN, ROUTER, ETHERTYPES["IPv6"], packet)


DNS = Transport(17, 40000, 53)
TAGGED = Frame(OWN, ROUTER, ETHERTYPES["802_1Q"], Vlan(7, 0, 0x0800))


@pytest.mark.parametrize(
    ("statements", "conditions"),
    [
        ([match("ether", "type", "ip"), match("ip", "saddr", "10.0.0.1")], {("ip saddr", "10.0.0.1")}),
        ([match("ether", "type", "arp"), match("arp", "operation", "request")], {("arp operation", "1")}),
        ([match("ip", "saddr", {"prefix": {"addr": "0.0.0.0", "len": 0}})], {("ether type", "0x0800")}),
        ([match("udp", "dport", {"range": [53, 53]})], {("udp dport", "53")}),
        ([match("ip", "dscp", "af12")], {("ip dscp", "12")}),
        ([match("ip", "saddr", {"set": ["10.0.0.2", "10.0.0.1"]})], {("ip saddr", "{10.0.0.1, 10.0.0.2}")}),
        ([match("tcp", "flags", "syn", "!")], {("tcp flags & 0x02", "0x00")}),
        ([{"counter": {"packets": 1, "bytes": 60}}, {"log": None}], set()),
    ],
)
def test_rules_that_do_the_same_have_one_form(
    statements: list[dict[str, Any]], conditions: set[tuple[str, str]]
) -> None:
    assert {(each.option, each.value) for each in rule(*statements).conditions} == conditions


def test_raw_fields_side_by_side_are_one() -> None:
    def raw(offset: int, length: int, value: int) -> dict[str, Any]:
        left = {"payload": {"base": "nh", "offset": offset, "len": length}}
        return {"match": {"op": "==", "left": left, "right": value}}

    whole = rule(raw(48, 32, 0x00030102))
    assert rule(raw(64, 16, 0x0102), raw(48, 16, 3)) == whole
    assert rule(raw(80, 16, 0x0102), raw(48, 16, 3)) != whole


def test_the_next_header_hides_what_stands_behind_it() -> None:
    """The rule that libvirt makes of <ipv6 protocol='icmpv6' type='134'/>."""
    advertisement = Transport(58, icmp_type=134, icmp_code=0)
    of = rule(match("ip6", "nexthdr", "ipv6-icmp"), match("icmpv6", "type", "nd-router-advert"))
    assert not passes(of, ipv6(advertisement))
    assert passes(of, ipv6(advertisement, next_header=0))
    assert not passes(rule(match("icmpv6", "type", "nd-router-advert")), ipv6(advertisement, next_header=0))


def test_a_field_of_another_protocol_matches_neither_as_it_is_nor_inverted() -> None:
    for operator in ("==", "!="):
        assert passes(rule(match("ip6", "saddr", "fe80::1", operator)), ipv4(DNS))
        assert passes(rule(match("tcp", "dport", 53, operator)), ipv4(DNS))
        assert passes(rule(match("ip", "saddr", "10.0.0.1", operator)), TAGGED)


def test_a_masked_address_is_compared_as_it_is_written() -> None:
    """ebtables masks both sides; nft one, so an address with bits outside of its mask matches nothing."""
    left = {"&": [{"payload": {"protocol": "ether", "field": "saddr"}}, "ff:ff:ff:00:00:00"]}
    for address, dropped in (("52:54:00:00:00:00", True), ("52:54:00:00:00:01", False)):
        masked = rule({"match": {"op": "==", "left": left, "right": address}})
        assert passes(masked, ipv4(DNS)) is not dropped


def test_states_and_directions_of_connections() -> None:
    state = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["new", "established"]}}
    direction = {"match": {"op": "==", "left": {"ct": {"key": "direction"}}, "right": "original"}}
    of = rule(direction, state)
    assert not passes(of, ipv4(DNS), Flow(State.NEW))
    assert passes(of, ipv4(DNS), Flow(State.INVALID))
    assert passes(of, ipv4(DNS), Flow(State.ESTABLISHED, answer=True))


FIRST_BYTE = {"match": {"op": "==", "left": {"payload": {"base": "nh", "offset": 0, "len": 8}}, "right": 69}}


@pytest.mark.parametrize(
    ("of", "frame"),
    [
        (rule({"limit": {"rate": 5, "per": "second"}}), ipv4(DNS)),
        (rule(match("ip", "ttl", 64)), ipv4(DNS)),
        (rule(match("udp", "dport", 53)), TAGGED),
        (rule(FIRST_BYTE), ipv4(DNS)),
        (rule(match("ether", "type", "ip", "!="), match("ip", "protocol", "udp", "!=")), TAGGED),
    ],
    ids=["a limit", "an unknown field", "a port behind a tag", "bytes that are not known", "IPv4 behind a tag"],
)  # fmt: skip
def test_what_is_not_understood_is_no_verdict(of: KernelRule, frame: Frame) -> None:
    with pytest.raises(UnknownMatch):
        passes(of, frame)


def test_what_is_not_understood_is_asked_last() -> None:
    assert passes(rule({"limit": {"rate": 5}}, match("ip", "saddr", "10.9.9.9")), ipv4(DNS))


@pytest.mark.parametrize(
    "element",
    [
        "<tcp match='no' srcipaddr='10.0.0.1'/>",
        "<tcp flags='SYN,ACK/SYN'/>",
        "<tcp option='5'/>",
        "<all-ipv6 dscp='3'/>",
        "<tcp dstportstart='9' dstportend='5'/>",
        "<rarp arpsrcipaddr='10.0.0.1' arpsrcipmask='24'/>",
        "<rarp gratuitous='true'/>",
        "<udp-ipv6 srcipaddr='$IPV6'/>",
        "<stp root-address='52:54:00:00:00:01' root-address-mask='ff:ff:ff:00:00:00'/>",
    ],
)
def test_what_nft_refuses_is_foretold_for_nft_alone(element: str) -> None:
    definition = parse_filter(f"<filter name='f'><rule action='drop' direction='out'>{element}</rule></filter>")
    reference = FilterRef("f", (("IPV6", "2001:db8::1"),))
    ebtables_takes = not element.startswith(("<tcp dstportstart='9'", "<stp"))
    if ebtables_takes:
        expand({"f": definition}.get, reference, OWN, "p0")
    with pytest.raises(CannotInstantiate, match="nft would refuse it"):
        expand({"f": definition}.get, reference, OWN, "p0", Backend.NFTABLES)


def test_an_empty_filter_has_its_chains_in_both_tables() -> None:
    expected = expand({"f": parse_filter("<filter name='f'/>")}.get, FilterRef("f", ()), OWN, "p0", Backend.NFTABLES)
    for ruleset in expected.rules.rulesets:
        assert [chain.name for chain in ruleset.chains] == ["PREROUTING", "POSTROUTING", "p0-in", "p0-out"]
        assert ruleset.chains[0].rules[0].conditions == (Condition("in-interface", "p0"),)
