"""The battery: what it asks, and that the shared filters answer every case rightly, leaks named."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import IPv4Address, IPv6Address
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interfaces import INEXPRESSIBLE, filterref, interface, random_interface, shared_filters
from sizes import examples

from reconciler.errors import UsageError
from reconciler.model.guest import Interface
from reconciler.nwfilter.battery import BatteryCase, Direction, battery, outside_of, subject_of
from reconciler.nwfilter.evaluate import Evaluator
from reconciler.nwfilter.expand import expand
from reconciler.nwfilter.frame import Packet

SHARED = shared_filters()
DUAL = interface(["10.0.0.10", "10.0.1.16/29"], ["2001:db8::10", "2001:db8:5::/64"])
FORMS = {"dual": DUAL, "ipv4": interface(["10.0.0.10"]), "ipv6": interface(ipv6=["2001:db8::10"]), "none": interface()}


def verdicts(subject: Interface, cases: tuple[BatteryCase, ...]) -> dict[str, str]:
    evaluator = Evaluator.of(expand(SHARED.get, filterref(subject), subject.mac, "p0"))
    return {case.id: "pass" if evaluator.case(case, "p0").passes else "drop" for case in cases}


@pytest.mark.parametrize("form", FORMS)
def test_ids_and_frames_are_unique(form: str) -> None:
    cases = battery(FORMS[form])
    assert len({case.id for case in cases}) == len(cases)
    assert len({(case.data, case.direction) for case in cases}) == len(cases)


def test_ids_are_stable() -> None:
    assert [case.id for case in battery(DUAL)] == [case.id for case in battery(DUAL)]


def test_what_no_rule_can_tell() -> None:
    assert {case.id for case in battery(DUAL) if case.inexpressible} == INEXPRESSIBLE


def test_groups_of_each_form() -> None:
    groups = {form: {case.group for case in battery(subject)} for form, subject in FORMS.items()}
    assert groups == {
        "dual": {"l2", "rarp", "to-guest", "arp", "ipv4", "dhcpv4", "ipv6", "nd", "extensions", "dhcpv6"},
        "ipv4": {"l2", "rarp", "to-guest", "arp", "ipv4", "dhcpv4", "families"},
        "ipv6": {"l2", "rarp", "to-guest", "ipv6", "nd", "extensions", "dhcpv6", "families"},
        "none": {"l2", "rarp", "to-guest", "families"},
    }


def test_positive_cases_count_as_much() -> None:
    wanted = [case.expected for case in battery(DUAL)]
    assert min(wanted.count("pass"), wanted.count("drop")) > len(wanted) / 3


def test_without_a_family_nothing_of_it_is_expected_to_pass() -> None:
    cases = [case for case in battery(FORMS["ipv4"]) if isinstance(case.frame.payload, Packet)]
    outgoing = [case for case in cases if case.direction is Direction.OUT and case.frame.ethertype == 0x86DD]
    assert outgoing
    assert all(case.expected == "drop" for case in outgoing)


def test_neighbours_are_the_foreign_ones() -> None:
    neighbours = (
        IPv4Address("10.0.1.17"),
        IPv4Address("10.0.0.77"),
        IPv6Address("fe80::77"),
        IPv6Address("2001:db8::77"),
    )
    subject = subject_of(DUAL, neighbours)
    assert subject.foreign_ipv4 == IPv4Address("10.0.0.77"), "an own address is no neighbour's"
    assert subject.foreign_ipv6 == IPv6Address("2001:db8::77")
    assert subject.foreign_link_local == IPv6Address("fe80::77")


def test_next_to_own_addresses_where_no_neighbour_is_known() -> None:
    assert subject_of(DUAL).foreign_ipv4 == IPv4Address("10.0.0.11")
    assert subject_of(DUAL).foreign_ipv6 == IPv6Address("2001:db8::11")
    everything = interface(["0.0.0.0/0"])
    assert outside_of(everything.ipv4[0]) == ()


@pytest.mark.parametrize("form", FORMS)
def test_only_what_cannot_be_told_leaks(form: str) -> None:
    cases = battery(FORMS[form])
    got = verdicts(FORMS[form], cases)
    assert {case.id for case in cases if got[case.id] != case.expected} == {c.id for c in cases if c.inexpressible}


@settings(max_examples=examples(15, 2000))
@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_any_addresses(seed: int, has_ipv4: bool, has_ipv6: bool) -> None:
    subject = random_interface(Random(seed), has_ipv4=has_ipv4, has_ipv6=has_ipv6)
    cases = battery(subject)
    got = verdicts(subject, cases)
    assert {case.id for case in cases if got[case.id] != case.expected} == {c.id for c in cases if c.inexpressible}


def test_without_scapy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scapy.config", None)
    with pytest.raises(UsageError, match="scapy"):
        battery(DUAL)


def test_building_frames_asks_the_kernel_for_no_routes() -> None:
    program = """
from reconciler.nwfilter.battery import only_build_frames
only_build_frames()
from reconciler.nwfilter import battery_ipv4, battery_ipv6, battery_link
from scapy.config import conf
print(conf.route.routes, conf.route6.routes)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["[]", "[]"]
