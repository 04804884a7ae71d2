"""Bindings: libvirt's own additions do not count, all else does."""

from __future__ import annotations

import pytest

from reconciler.domain.binding import binding_xml, parse_binding, parse_binding_owner_uuid, set_binding_filterref
from reconciler.domain.errors import DomainXmlError
from reconciler.model.filter import FilterRef
from reconciler.model.live import Binding

UUID = "d54df46f-1ab5-4a22-8618-4560ef5fac2c"
GUARD = FilterRef("guard-web01-7b3593", (("CTRL_IP_LEARNING", "none"),))
BINDING = Binding("vnet0", "web01", "52:54:00:7b:35:93", GUARD)


def dump(parameters: str) -> str:
    """As libvirt prints a binding."""
    return f"""<filterbinding>
  <owner>
    <name>web01</name>
    <uuid>{UUID}</uuid>
  </owner>
  <portdev name='vnet0'/>
  <mac address='52:54:00:7b:35:93'/>
  <filterref filter='guard-web01-7b3593'>
    <parameter name='CTRL_IP_LEARNING' value='none'/>
{parameters}  </filterref>
</filterbinding>
"""


def test_the_mac_that_libvirt_adds_is_dropped() -> None:
    assert parse_binding(dump("    <parameter name='MAC' value='52:54:00:7B:35:93'/>\n")) == BINDING


@pytest.mark.parametrize(
    ("parameters", "added"),
    [
        ("<parameter name='MAC' value='52:54:00:00:00:01'/>", (("MAC", "52:54:00:00:00:01"),)),
        ("<parameter name='IP' value='10.0.0.1'/>", (("IP", "10.0.0.1"),)),
    ],
    ids=["another-mac", "learned-address"],
)
def test_what_widens_is_kept(parameters: str, added: tuple[tuple[str, str], ...]) -> None:
    assert parse_binding(dump(parameters)).filterref == FilterRef(GUARD.filter, GUARD.parameters + added)


def test_what_is_written_is_read() -> None:
    xml = binding_xml(BINDING, UUID)
    assert xml == dump("")
    assert parse_binding(xml) == BINDING
    assert parse_binding_owner_uuid(xml) == UUID


def test_another_filterref_keeps_port_and_guest() -> None:
    other = FilterRef("x")
    assert set_binding_filterref(dump("<parameter name='IP' value='10.0.0.1'/>"), other) == binding_xml(
        Binding("vnet0", "web01", "52:54:00:7b:35:93", other), UUID
    )


@pytest.mark.parametrize("missing", ["portdev", "mac", "filterref", "name"])
def test_an_incomplete_binding_is_refused(missing: str) -> None:
    xml = dump("").replace(f"<{missing}", "<other").replace(f"</{missing}", "</other")
    with pytest.raises(DomainXmlError, match="the binding has no"):
        parse_binding(xml)
