"""libvirt's test driver reads what was rewritten, and prints what is read again."""

from __future__ import annotations

from collections.abc import Iterator

import libvirt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sizes import examples

from reconciler.domain.parse import parse_domain
from reconciler.domain.rewrite import interface_xml, set_filterref
from reconciler.model.filter import FilterRef, canonical_parameters

MACS = ("52:54:00:00:00:01", "52:54:00:00:00:02")
GUEST = f"""<domain type='test'>
  <name>scratch</name>
  <uuid>d54df46f-1ab5-4a22-8618-4560ef5fac2c</uuid>
  <memory>8192</memory>
  <os><type>hvm</type></os>
  <devices>
    <interface type='network'><mac address='{MACS[0]}'/><source network='default'/></interface>
    <interface type='bridge'>
      <mac address='{MACS[1]}'/>
      <source bridge='br0'/>
      <filterref filter='old'>
        <parameter name='IP' value='10.0.0.1'/>
      </filterref>
    </interface>
  </devices>
</domain>
"""
NAMES = st.text("abcXYZ0129_", min_size=1, max_size=5)
VALUES = st.text("abcXYZ0129_.:", min_size=1, max_size=5)
FILTERREFS = st.none() | st.builds(
    lambda name, parameters: FilterRef(name, canonical_parameters(parameters)),
    st.text("abc012._-", min_size=1, max_size=20),
    st.lists(st.tuples(NAMES, VALUES), max_size=5),
)


@pytest.fixture(scope="module")
def connection() -> Iterator[libvirt.virConnect]:
    opened = libvirt.open("test:///default")
    yield opened
    opened.close()


@settings(
    max_examples=examples(60, 3000),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(first=FILTERREFS, second=FILTERREFS)
def test_libvirt_reads_what_was_written(
    connection: libvirt.virConnect, first: FilterRef | None, second: FilterRef | None
) -> None:
    xml = set_filterref(set_filterref(GUEST, MACS[0], first), MACS[1], second)
    dumped = connection.defineXML(xml).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    domain = parse_domain(dumped)
    assert [(nic.mac, nic.filterref) for nic in domain.nics] == [(MACS[0], first), (MACS[1], second)]
    assert (domain.name, domain.uuid) == ("scratch", "d54df46f-1ab5-4a22-8618-4560ef5fac2c")
    for nic in domain.nics:
        assert set_filterref(dumped, nic.mac, nic.filterref) == dumped
        assert interface_xml(dumped, nic.mac).startswith("<interface type='")
