"""A guest's XML as data."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.domain.errors import DomainXmlError
from reconciler.domain.parse import parse_domain, parse_domain_name, parse_domain_uuid, parse_nics
from reconciler.model.filter import FilterRef
from reconciler.model.live import Nic

GUEST = (Path(__file__).parent.parent / "samples" / "guest.xml").read_text()
CLEAN_TRAFFIC = FilterRef("clean-traffic", (("CTRL_IP_LEARNING", "none"), ("IP", "10.0.0.1"), ("IP", "10.0.0.2")))


def test_all_types_of_interfaces_are_read() -> None:
    assert parse_nics(GUEST) == (
        Nic("52:54:00:00:00:01", "bridge", "br0", "vnet0", CLEAN_TRAFFIC),
        Nic("52:54:00:00:00:02", "network", "tenants"),
        Nic("52:54:00:00:00:03", "direct", "eth0"),
        Nic("52:54:00:00:00:04", "ethernet", None, "tap>4", FilterRef("guard-web01-000004")),
        Nic("52:54:00:00:00:05", "vhostuser", "/run/v'1", None, FilterRef("a")),
        Nic("52:54:00:00:00:06", "udp", "127.0.0.1:5558"),
    )


def test_identity() -> None:
    assert parse_domain_name(GUEST) == "web01"
    assert parse_domain_uuid(GUEST) == "d54df46f-1ab5-4a22-8618-4560ef5fac2c"
    domain = parse_domain(GUEST)
    assert (domain.name, domain.uuid, domain.nics) == ("web01", parse_domain_uuid(GUEST), parse_nics(GUEST))


def test_a_guest_without_uuid_or_devices() -> None:
    domain = parse_domain("<domain><name>a</name></domain>")
    assert (domain.uuid, domain.nics) == ("", ())


def test_parameters_that_libvirt_drops_are_dropped() -> None:
    xml = (
        "<domain><name>a</name><devices><interface type='user'><filterref filter='f'>"
        "<parameter name='IP' value='10.0.0.0/24'/><parameter name='IP' value='10.0.0.1'/><parameter name='A'/>"
        "</filterref></interface><interface type='user'><filterref/></interface></devices></domain>"
    )
    assert parse_nics(xml) == (Nic("", "user", filterref=FilterRef("f", (("IP", "10.0.0.1"),))), Nic("", "user"))


@pytest.mark.parametrize("xml", ["", "<domain>", "<network/>", "<domain><name>\ud800</name></domain>"])
def test_what_is_no_guest_is_refused(xml: str) -> None:
    with pytest.raises(DomainXmlError):
        parse_nics(xml)


def test_a_guest_has_a_name() -> None:
    with pytest.raises(DomainXmlError, match="no <name>"):
        parse_domain_name("<domain><name/></domain>")
