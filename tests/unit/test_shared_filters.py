"""The shared filters do what their headers say: each named case turns when the filter's rules are turned."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from interfaces import INEXPRESSIBLE, ROUTER, SERVER, SHARED, SPECIAL, filterref, interface, shared_filters, special

from reconciler.model.filter import NwFilter, Rule
from reconciler.model.guest import Interface
from reconciler.nwfilter.battery import BatteryCase, battery
from reconciler.nwfilter.evaluate import Evaluator
from reconciler.nwfilter.expand import expand

FILTERS = shared_filters()
GUEST = interface(["10.0.0.10", "10.0.1.16/29"], ["2001:db8::10", "2001:db8:5::/64"])


LEAVES = {
    "guest-serves-dhcpv4": special("guest-dhcp-server", SERVER, parameters=()),
    "guest-serves-dhcpv6": special("guest-dhcp-server", SERVER, parameters=()),
    "guest-forwards-ipv4": special("guest-router", ROUTER),
    "guest-forwards-ipv6": special("guest-router", ROUTER),
    "guest-hears-dhcp-server": special("guest-dhcp-client", parameters=(("DHCPSERVER", "10.0.0.1"),)),
}


def passing(filters: Mapping[str, NwFilter], subject: Interface, cases: tuple[BatteryCase, ...]) -> set[str]:
    evaluator = Evaluator.of(expand(filters.get, filterref(subject), subject.mac, "p0"))
    return {case.id for case in cases if evaluator.case(case, "p0").passes}


def turned(name: str, action: str, into: str) -> dict[str, NwFilter]:
    """All filters, with every rule of one action in one of them turned into another."""
    entries = tuple(
        replace(entry, action=into) if isinstance(entry, Rule) and entry.action == action else entry
        for entry in FILTERS[name].entries
    )
    return {**FILTERS, name: replace(FILTERS[name], entries=entries)}


def named(filter: str, head: str) -> list[str]:
    """The case ids, or beginnings of ids, behind `Blocks:` or `Lets through:` in a filter's header."""
    header = (SHARED / f"{filter}.xml").read_text().partition("-->")[0]
    found = re.search(rf"{head}: ([^:]*?)(?=\n  \w|\n?$)", header)
    return found.group(1).split() if found else []


def test_every_filter_with_rules_names_the_cases_that_prove_it() -> None:
    with_rules = {name for name, f in FILTERS.items() if any(isinstance(entry, Rule) for entry in f.entries)}
    assert with_rules == {name for name in FILTERS if named(name, "Blocks") or named(name, "Lets through")}


@pytest.mark.parametrize(
    ("filter", "head", "action", "into"),
    [
        (name, head, action, into)
        for name in sorted(FILTERS)
        for head, action, into in (("Blocks", "drop", "accept"), ("Lets through", "accept", "drop"))
        if named(name, head)
    ],
)
def test_a_case_in_a_header_turns_with_the_filters_rules(filter: str, head: str, action: str, into: str) -> None:
    subject = LEAVES.get(filter, GUEST)
    cases = battery(subject)
    before = passing(FILTERS, subject, cases)
    after = passing(turned(filter, action, into), subject, cases)
    for word in named(filter, head):
        ids = {case.id for case in cases if case.id == word} or {c.id for c in cases if c.id.startswith(word)}
        assert ids, f"there is no case {word}"
        assert ids & before == (set() if head == "Blocks" else ids), f"{word} is not as the header says"
        assert ids & after == (ids if head == "Blocks" else set()), f"{word} is not decided by {filter}"


@pytest.mark.parametrize("subject", SPECIAL, ids=lambda subject: subject.filter)
def test_guests_with_a_role_may_do_that_and_no_more(subject: Interface) -> None:
    cases = battery(subject)
    passed = passing(FILTERS, subject, cases)
    wrong = {case.id for case in cases if (case.id in passed) != (case.expected == "pass")}
    assert wrong == ({case.id for case in cases if case.inexpressible} if subject.ipv6 else set())
    assert wrong <= INEXPRESSIBLE


@pytest.mark.parametrize("subject", SPECIAL[:8], ids=lambda subject: subject.filter)
def test_a_role_is_not_given_by_the_filter_alone(subject: Interface) -> None:
    cases = battery(replace(subject, roles=frozenset()))
    passed = passing(FILTERS, subject, cases)
    assert {case.id for case in cases if case.id in passed and case.expected == "drop"} - INEXPRESSIBLE
