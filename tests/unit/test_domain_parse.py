"""A guest's XML as data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.domain.errors import DomainXmlError
from reconciler.domain.parse import parse_domain, parse_domain_name, parse_domain_uuid, parse_nics
from reconciler.model.filter import FilterRef
from reconciler.model.live import Nic

GUEST = (Path(__file__).parent.parent / "samples" / "guest.xml").read_text()
CLEAN_TRAFFIC = FilterRef("clean-traffic", (("CTRL_IP_LEARNING", "none"), ("IP", "10.0.0.1"), ("IP", "10.0.0.2")))


def test_all_types_of_interfaces_are_read() -> None:
    assert tuple(replace(nic, settings=()) for nic in parse_nics(GUEST)) == (
        Nic("52:54:00:00:00:01", "bridge", "br0", "vnet0", CLEAN_TRAFFIC),
        Nic("52:54:00:00:00:02", "network", "tenants"),
        Nic("52:54:00:00:00:03", "direct", "eth0"),
        Nic("52:54:00:00:00:04", "ethernet", None, "tap>4", FilterRef("guard-web01-000004")),
        Nic("52:54:00:00:00:05", "vhostuser", "/run/v'1"),
        Nic("52:54:00:00:00:06", "udp", "127.0.0.1:5558"),
    )


def test_all_else_that_an_interface_says_is_read_too() -> None:
    settings = [dict(nic.settings) for nic in parse_nics(GUEST)]
    assert settings[0] == {"model@type": "virtio"}
    assert settings[1] == {"source@bridge": "virbr0", "model@type": "virtio", "link@state": "up"}
    assert settings[2] == {"source@mode": "vepa", "model@type": "e1000"}
    assert settings[5]["source/local@port"] == "5557"


SETTINGS = """<vlan trunk='yes'><tag id='42'/><tag id='47' nativeMode='untagged'/></vlan>
  <virtualport type='openvswitch'><parameters interfaceid='09b11c53'/></virtualport>
  <bandwidth><inbound average='1000' peak='5000'/></bandwidth><mtu size='1400'/><port isolated='yes'/><boot order='2'/>
  <coalesce><rx><frames max='7'/></rx></coalesce><guest dev='eth7'/><tune><sndbuf>1600</sndbuf></tune>"""


def test_settings_are_the_same_however_they_are_laid_out() -> None:
    def settings(inner: str) -> tuple[tuple[str, str], ...]:
        xml = f"<domain><devices><interface type='bridge'>{inner}<alias name='net7'/></interface></devices></domain>"
        return parse_nics(xml)[0].settings

    laid_out = SETTINGS.replace("><", ">\n   <!-- x --> <").replace("'", '"').replace(">1600<", "> 1600 <")
    backwards = SETTINGS.replace("average='1000' peak='5000'", "peak='5000' average='1000'")
    assert settings(SETTINGS) == settings(laid_out) == settings(backwards)
    assert ("vlan/tag[2]@nativeMode", "untagged") in settings(SETTINGS)
    for value in ("42", "47", "09b11c53", "5000", "1400", "yes", "openvswitch", "7", "1600"):
        assert settings(SETTINGS) != settings(SETTINGS.replace(value, "1", 1)), value


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
        "<domain><name>a</name><devices><interface type='bridge'><filterref filter='f'>"
        "<parameter name='IP' value='10.0.0.0/24'/><parameter name='IP' value='10.0.0.1'/><parameter name='A'/>"
        "</filterref></interface><interface type='bridge'><filterref/></interface></devices></domain>"
    )
    assert parse_nics(xml) == (Nic("", "bridge", filterref=FilterRef("f", (("IP", "10.0.0.1"),))), Nic("", "bridge"))


@pytest.mark.parametrize("xml", ["", "<domain>", "<network/>", "<domain><name>\ud800</name></domain>"])
def test_what_is_no_guest_is_refused(xml: str) -> None:
    with pytest.raises(DomainXmlError):
        parse_nics(xml)


def test_a_guest_has_a_name() -> None:
    with pytest.raises(DomainXmlError, match="no <name>"):
        parse_domain_name("<domain><name/></domain>")


@pytest.mark.parametrize(
    ("said", "trusts"), [("", False), (" trustGuestRxFilters='no'", False), (" trustGuestRxFilters='yes'", True)]
)
def test_whether_the_guest_is_trusted_about_its_macs_is_read(said: str, trusts: bool) -> None:
    interface = f"<interface type='bridge'{said}><mac address='52:54:00:00:00:01'/><source bridge='br0'/></interface>"
    [nic] = parse_nics(f"<domain><name>a</name><devices>{interface}</devices></domain>")
    assert nic.trusts_guest is trusts
