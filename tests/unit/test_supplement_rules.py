"""The supplement: its text, how it is read back, and what its rules do with frames, foretold."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interfaces import INEXPRESSIBLE, LINK_LOCAL, MAC, SPECIAL, filterref, interface, random_interface, shared_filters
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from sizes import examples

from reconciler.model.guest import Interface
from reconciler.model.kernel import Ruleset
from reconciler.model.supplement import Supplement
from reconciler.nwfilter.battery import battery
from reconciler.nwfilter.decode import decode
from reconciler.nwfilter.evaluate import OUTSIDE, Evaluator
from reconciler.nwfilter.expand import expand
from reconciler.nwfilter.frame import Frame
from reconciler.nwfilter.supplement import RULES, commands, elements_of, with_rules
from reconciler.nwfilter.supplement_compare import supplement_differences
from reconciler.nwfilter.supplement_read import closed_ports, parse_supplement
from reconciler.nwfilter.supplement_walk import SupplementWalker

SHARED = shared_filters()
SAMPLES = Path(__file__).parents[1] / "samples"
DUAL = interface(["10.0.0.10"], ["2001:db8::10", "2001:db8:5::/64"])


def of(*interfaces: Interface) -> Supplement:
    return with_rules(element for each in interfaces for element in elements_of(each))


def wrong(subject: Interface, supplement: Supplement | None) -> set[str]:
    evaluator = Evaluator.of(expand(SHARED.get, filterref(subject), subject.mac, "p0"), supplement)
    return {c.id for c in battery(subject) if evaluator.case(c, "p0").passes != (c.expected == "pass")}


def test_its_text_reads_as_written() -> None:
    """After a wanted change: look at the text, then write it anew."""
    text = "\n".join((*commands(of(DUAL)), ""))
    assert text == (SAMPLES / "supplement.nft").read_text()


def test_what_nft_lists_is_read_as_what_was_written() -> None:
    listed = (SAMPLES / "supplement.json").read_text()
    assert parse_supplement(listed) == of(DUAL)
    assert closed_ports(listed) == {"vnet7"}


def test_a_gate_without_its_rule_closes_nothing() -> None:
    listed = json.loads((SAMPLES / "supplement.json").read_text())
    listed["nftables"] = [i for i in listed["nftables"] if i.get("rule", {}).get("chain") != "gate"]
    assert closed_ports(json.dumps(listed)) == frozenset()


def test_the_gate_alone_is_no_supplement() -> None:
    listed = json.loads((SAMPLES / "supplement.json").read_text())
    of_gate = ("gate", "closed")
    listed["nftables"] = [
        item
        for item in listed["nftables"]
        if any(each.get("chain", each.get("name")) in of_gate for each in item.values())
    ]
    assert parse_supplement(json.dumps(listed)) is None


def changed(change: object) -> Supplement:
    listed = json.loads((SAMPLES / "supplement.json").read_text())
    change(listed["nftables"])  # type: ignore[operator]
    found = parse_supplement(json.dumps(listed))
    assert found is not None
    return found


def fields(found: Supplement | None) -> set[str]:
    return {each.field for each in supplement_differences(of(DUAL), found)}


def drop_first(kind: str, **keys: str) -> object:
    def change(items: list[dict[str, dict[str, str]]]) -> None:
        items.remove(
            next(i for i in items if kind in i and all(i[kind].get(key) == value for key, value in keys.items()))
        )

    return change


def append(item: dict[str, object]) -> object:
    return lambda items: items.append(item)


FOREIGN_RULE = {"rule": {"chain": "supplement-na", "handle": 99, "expr": [{"accept": None}]}}
FOREIGN_CHAIN = {"chain": {"name": "theirs", "handle": 99}}
FOREIGN_GATE = {"rule": {"chain": "gate", "handle": 99, "expr": [{"accept": None}]}}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (drop_first("rule", chain="supplement"), "supplement.rules.supplement"),
        (drop_first("rule", chain="supplement-na"), "supplement.rules.supplement-na"),
        (drop_first("chain", name="supplement-rs"), ""),
        (append(FOREIGN_RULE), "supplement.rules.supplement-na"),
        (append(FOREIGN_CHAIN), "supplement.others"),
        (append(FOREIGN_GATE), "supplement.others"),
    ],
)
def test_a_missing_changed_or_foreign_rule_is_drift_of_its_chain(change: object, field: str) -> None:
    assert fields(changed(change)) == ({field} if field else set())


def test_a_base_chain_whose_policy_or_hook_is_another_is_not_ours() -> None:
    def change(items: list[dict[str, dict[str, object]]]) -> None:
        next(i for i in items if i.get("chain", {}).get("name") == "supplement")["chain"]["prio"] = 300

    assert "supplement.others" in fields(changed(change))


def test_no_table_at_all_is_one_difference() -> None:
    assert fields(None) == {"supplement"}


def test_without_it_exactly_the_listed_cases_leak_and_with_it_none() -> None:
    assert wrong(DUAL, None) == INEXPRESSIBLE
    assert wrong(DUAL, of(DUAL)) == set()


def sent(message: Packet, source: str = str(LINK_LOCAL[0]), **fields: int) -> Frame:
    return decode(bytes(Ether(src=MAC, dst="33:33:00:00:00:01") / IPv6(src=source, dst="ff02::1", **fields) / message))


NONCE = Raw(b"\x0e\x01nonce!")
ODD = [
    sent(ICMPv6ND_RS()),
    sent(ICMPv6ND_NA(tgt="2001:db8::10")),
    sent(ICMPv6ND_NS(tgt="2001:db8::99")),
    sent(ICMPv6ND_NS(tgt="2001:db8::10") / NONCE, "::"),
    sent(ICMPv6ND_NS(tgt="2001:db8::99") / ICMPv6NDOptSrcLLAddr(lladdr=MAC) / NONCE),
    sent(Raw(b""), nh=59),
    sent(Raw(b"cut off"), nh=17, plen=100),
]
"""What own guests may send beside the battery, and one whose headers break off."""

FAST_PATH = {("supplement", 0), ("supplement", 1)}


def test_what_own_guests_may_send_beside_the_battery_passes() -> None:
    walker = SupplementWalker(of(DUAL))
    assert [walker.dropped_by(frame) is None for frame in ODD] == [True] * 6 + [False]


@pytest.mark.parametrize("rule", [(chain, n) for chain, rules in RULES for n in range(len(rules))], ids=str)
def test_every_rule_decides_some_frame(rule: tuple[str, int]) -> None:
    """Without it a case of the battery, or one of the frames below, gets another verdict."""
    chain, place = rule
    fewer = tuple((name, tuple(r for n, r in enumerate(rules) if (name, n) != (chain, place))) for name, rules in RULES)
    elements = of(DUAL).elements
    whole, without = (
        Evaluator(Ruleset(), supplement=SupplementWalker(Supplement(elements, r))) for r in (RULES, fewer)
    )
    frames = [case.frame for case in battery(DUAL)] + ODD
    changes = [
        f for f in frames if whole.forwarded(f, "p0", OUTSIDE).passes != without.forwarded(f, "p0", OUTSIDE).passes
    ]
    assert changes or rule in FAST_PATH


def advertisement(source: IPv6Address, target: IPv6Address, mac: str, *, mac_of_frame: str = MAC) -> bytes:
    message = ICMPv6ND_NA(tgt=str(target)) / ICMPv6NDOptDstLLAddr(lladdr=mac)
    return bytes(
        Ether(src=mac_of_frame, dst="33:33:00:00:00:01") / IPv6(src=str(source), dst="ff02::1", hlim=255) / message
    )


@settings(max_examples=examples(15, 300), deadline=None)
@given(st.randoms(use_true_random=False))
def test_an_own_target_passes_and_a_foreign_one_does_not(random: Random) -> None:
    subject = random_interface(random, has_ipv4=random.random() < 0.5, has_ipv6=True)
    walker = SupplementWalker(of(subject))
    source = LINK_LOCAL[0]
    for network in subject.ipv6:
        for target in (network[0], network[-1], network[random.randrange(network.num_addresses)]):
            assert walker.dropped_by(decode(advertisement(source, target, MAC))) is None
            assert walker.dropped_by(decode(advertisement(source, target, "02:00:00:00:00:66"))) is not None
        for number in (int(network[0]) - 1, int(network[-1]) + 1):
            target = IPv6Address(number)
            is_own = any(target in own for own in subject.ipv6)
            assert (walker.dropped_by(decode(advertisement(source, target, MAC))) is None) is is_own


@settings(max_examples=examples(12, 200), deadline=None)
@given(st.randoms(use_true_random=False))
def test_no_case_leaks_and_none_is_stopped_for_any_addresses(random: Random) -> None:
    subject = random_interface(random, has_ipv4=random.random() < 0.5, has_ipv6=True)
    assert wrong(subject, of(subject)) == set()


@pytest.mark.parametrize("subject", SPECIAL, ids=lambda subject: subject.filter)
def test_roles_keep_what_they_may(subject: Interface) -> None:
    assert wrong(subject, of(subject)) == set()


def test_guests_that_it_does_not_know_are_not_its_concern() -> None:
    other = replace(DUAL, mac="52:54:00:00:00:02")
    assert wrong(DUAL, of(other)) == INEXPRESSIBLE


def test_another_guests_target_and_mac_are_not_own() -> None:
    other = replace(interface(ipv6=["2001:db8::20"]), mac="52:54:00:00:00:02")
    walker = SupplementWalker(of(DUAL, other))
    theirs = IPv6Address("2001:db8::20")
    assert walker.dropped_by(decode(advertisement(LINK_LOCAL[0], theirs, MAC)))
    assert walker.dropped_by(decode(advertisement(theirs, theirs, other.mac, mac_of_frame=other.mac))) is None
    assert walker.dropped_by(decode(advertisement(theirs, theirs, MAC, mac_of_frame=other.mac)))


def test_a_thousand_guests_have_as_many_rules_as_one() -> None:
    many = of(*(replace(DUAL, mac=f"52:54:00:00:{n >> 8:02x}:{n & 255:02x}") for n in range(1000)))
    assert many.rules == of(DUAL).rules
    rules = [line for line in commands(many) if line.startswith("add rule")]
    assert len(rules) == sum(len(each) for _, each in RULES)


def test_overlapping_addresses_are_one_element() -> None:
    subject = replace(DUAL, ipv6=(IPv6Network("2001:db8::/64"), IPv6Network("2001:db8::1")))
    assert [e.value for e in elements_of(subject) if e.set == "targets"] == ["2001:db8::/64"]
