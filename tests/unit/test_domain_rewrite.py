"""Only the filterref of one interface changes; every other byte stays."""

from __future__ import annotations

import difflib
from dataclasses import replace
from itertools import product

import pytest
from test_domain_parse import CLEAN_TRAFFIC, GUEST

from reconciler.domain.errors import DomainXmlError, InterfaceAmbiguous, InterfaceMissing
from reconciler.domain.parse import parse_nics
from reconciler.domain.rewrite import interface_xml, set_filterref
from reconciler.model.filter import FilterRef
from reconciler.model.live import FILTERED_KINDS, Nic

MACS = tuple(nic.mac for nic in parse_nics(GUEST))
GUARD = FilterRef("guard-web01-000001", (("CTRL_IP_LEARNING", "none"),))
REFS = (None, FilterRef("x"), GUARD, FilterRef("it's <&>", (("IP", "10.0.0.2"), ("IP", "10.0.0.1"))))


def changes(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line for line in lines if line[0] in "+-"]


@pytest.mark.parametrize(("mac", "filterref"), list(product(MACS, REFS)))
def test_only_that_interface_is_other(mac: str, filterref: FilterRef | None) -> None:
    nics = parse_nics(GUEST)
    expected = tuple(replace(nic, filterref=_kept(nic, filterref)) if nic.mac == mac else nic for nic in nics)
    changed = set_filterref(GUEST, mac, filterref)
    assert parse_nics(changed) == expected
    before, after = interface_xml(GUEST, mac), interface_xml(changed, mac)
    assert changed == GUEST.replace(before, after)


def _kept(nic: Nic, filterref: FilterRef | None) -> FilterRef | None:
    """libvirt drops the filterref of interfaces that it cannot filter."""
    return filterref if nic.kind in FILTERED_KINDS else None


def test_a_filterref_with_parameters_is_replaced_in_its_place() -> None:
    assert sorted(changes(GUEST, set_filterref(GUEST, MACS[0], GUARD))) == [
        "+       <filterref filter='guard-web01-000001'>\n",
        "-         <!-- a second one -->\n",
        "-         <parameter name='IP' value='10.0.0.1'/>\n",
        "-         <parameter name='IP' value='10.0.0.2'/>\n",
        "-       <filterref filter='clean-traffic'>\n",
    ]


def test_a_filterref_is_added_behind_the_model_with_the_indentation_around_it() -> None:
    assert changes(GUEST, set_filterref(GUEST, MACS[1], GUARD)) == [
        "+ \t\t<filterref filter='guard-web01-000001'>\n",
        "+ \t\t\t<parameter name='CTRL_IP_LEARNING' value='none'/>\n",
        "+ \t\t</filterref>\n",
    ]


def test_an_interface_in_one_line_stays_in_one_line() -> None:
    changed = set_filterref(GUEST, MACS[2], FilterRef("x", (("IP", "1"),)))
    inserted = "<filterref filter='x'><parameter name='IP' value='1'/></filterref>"
    assert changed == GUEST.replace("<model type='e1000'/>", f"<model type='e1000'/>{inserted}")


def test_removing_takes_the_line_and_every_filterref() -> None:
    assert changes(GUEST, set_filterref(GUEST, MACS[4], None)) == [
        "-       <filterref filter='a'/>\n",
        "-       <filterref filter='b'/>\n",
    ]
    assert set_filterref(GUEST, MACS[5], None) == GUEST


def test_one_of_several_filterrefs_stays_when_set() -> None:
    assert changes(GUEST, set_filterref(GUEST, MACS[4], FilterRef("a"))) == ["-       <filterref filter='b'/>\n"]


def test_an_equal_filterref_keeps_its_text_however_it_is_written() -> None:
    shuffled = replace(CLEAN_TRAFFIC, parameters=CLEAN_TRAFFIC.parameters[1:] + CLEAN_TRAFFIC.parameters[:1])
    assert set_filterref(GUEST, MACS[0], shuffled) == GUEST
    assert set_filterref(GUEST, MACS[3], FilterRef("guard-web01-000004")) == GUEST


def test_adding_and_removing_gives_the_text_back() -> None:
    assert set_filterref(set_filterref(GUEST, MACS[1], GUARD), MACS[1], None) == GUEST


@pytest.mark.parametrize("mac", MACS)
def test_line_breaks_of_windows_stay(mac: str) -> None:
    text = GUEST.replace("\n", "\r\n")
    changed = set_filterref(text, mac, GUARD)
    assert changed.replace("\r\n", "\n") == set_filterref(GUEST, mac, GUARD)
    assert "\n" not in changed.replace("\r\n", "")


def test_the_mac_may_be_written_in_any_way() -> None:
    assert set_filterref(GUEST, "52:54:0:0:0:1", GUARD) == set_filterref(GUEST, MACS[0], GUARD)
    assert interface_xml(GUEST, "52:54:00:00:00:03").startswith("<interface type='direct'>")
    assert interface_xml(GUEST, "52:54:00:00:00:04").endswith("</interface >")


def test_a_mac_that_nobody_has_is_refused() -> None:
    with pytest.raises(InterfaceMissing, match="52:54:00:00:00:99"):
        set_filterref(GUEST, "52:54:00:00:00:99", GUARD)


def test_a_mac_in_comments_and_metadata_is_no_interface() -> None:
    text = GUEST.replace(interface_xml(GUEST, MACS[1]), "")
    with pytest.raises(InterfaceMissing):
        interface_xml(text, MACS[1])


def test_a_mac_of_two_interfaces_is_refused() -> None:
    text = GUEST.replace(interface_xml(GUEST, MACS[0]), interface_xml(GUEST, MACS[0]) * 2)
    with pytest.raises(InterfaceAmbiguous, match="2 interfaces"):
        set_filterref(text, MACS[0], GUARD)


@pytest.mark.parametrize("xml", ["<domain", "<!DOCTYPE domain [<!ENTITY x 'y'>]><domain/>"])
def test_what_cannot_be_read_is_refused(xml: str) -> None:
    with pytest.raises(DomainXmlError):
        set_filterref(xml, MACS[0], GUARD)
