"""The model has every element and attribute of libvirt's filter language, and no other: asked of libvirt itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
from lxml import etree
from samples.odd_filters import rule

from reconciler.lab import cache
from reconciler.lab.handle import Lab
from reconciler.nwfilter.document import read_document
from reconciler.nwfilter.protocols import IPSET_PROTOCOLS, PROTOCOLS
from reconciler.nwfilter.values import Kind

pytestmark = pytest.mark.lab

VALUES = {
    Kind.MAC: "52:54:00:00:00:01", Kind.MAC_MASK: "ff:ff:ff:00:00:00", Kind.IPV4: "10.0.0.1", Kind.IPV4_MASK: "24",
    Kind.IPV6: "2001:db8::1", Kind.IPV6_MASK: "64", Kind.ETHERTYPE: "0x88cc", Kind.ENCAPSULATED: "ipv4",
    Kind.ARP_OPCODE: "Reply", Kind.IP_PROTOCOL: "udp", Kind.STATE: "NEW", Kind.TCP_FLAGS: "SYN/SYN",
    Kind.IPSET: "peers", Kind.IPSET_FLAGS: "src", Kind.BOOLEAN: "true", Kind.COMMENT: "a note",
}  # fmt: skip
NUMBER = "7"
NAMES = sorted({name for table in PROTOCOLS.values() for name in table})
LOST = {
    protocol: {"ipset", "ipsetflags"} & table.keys()
    for protocol, table in PROTOCOLS.items()
    if protocol not in IPSET_PROTOCOLS
}
"""What is in libvirt's tables and dropped all the same."""
ONLY_IN_THE_SCHEMA = {"tcp-ipv6": {"flags"}}
"""What the schema has and the parser does not."""

SCHEMA = "usr/share/libvirt/schemas/nwfilter.rng"
SCHEMAS = [Path("/") / SCHEMA, *sorted(cache.folder().glob(f"trees/*/{SCHEMA}"))]
RNG = {"r": "http://relaxng.org/ns/structure/1.0"}


@pytest.fixture(scope="module")
def connection(shared_lab: Lab) -> Iterator[libvirt.virConnect]:
    found = libvirt.open(shared_lab.uri)
    yield found
    found.close()


def kept(connection: libvirt.virConnect, protocol: str, attributes: dict[str, str]) -> set[str]:
    """The attributes that libvirt prints of one element."""
    written = " ".join(f"{name}='{value}'" for name, value in attributes.items())
    defined = connection.nwfilterDefineXML(rule(f"<{protocol} {written}/>"))
    printed = read_document(defined.XMLDesc(0)).root
    defined.undefine()
    [entry] = [child for child in printed.children if child.name == "rule"]
    return {name for element in entry.children for name in element.attributes}


def value_of(protocol: str, name: str) -> str:
    return VALUES.get(PROTOCOLS[protocol][name], NUMBER)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_libvirt_keeps_every_attribute_of_the_model(connection: libvirt.virConnect, protocol: str) -> None:
    written = {name: value_of(protocol, name) for name in PROTOCOLS[protocol]}
    assert kept(connection, protocol, written) == written.keys() - LOST.get(protocol, set())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_libvirt_drops_every_other_attribute(connection: libvirt.virConnect, protocol: str) -> None:
    others = {name: "x" for name in NAMES if name not in PROTOCOLS[protocol]}
    assert kept(connection, protocol, others) == set()


@pytest.mark.parametrize("path", SCHEMAS, ids=str)
def test_the_model_has_all_that_a_release_has_in_its_schema(path: Path) -> None:
    """The machine's own release, and those whose labs were built here; from 9.0 to 12.8 the schema is the same."""
    schema = _attributes_of_elements(path)
    assert schema.keys() == PROTOCOLS.keys()
    for protocol, names in schema.items():
        assert names - PROTOCOLS[protocol].keys() - {"match"} == ONLY_IN_THE_SCHEMA.get(protocol, set()), protocol


def _attributes_of_elements(path: Path) -> dict[str, set[str]]:
    root = etree.parse(path).getroot()
    parts = {part.get("name"): part for part in root.iterfind("r:define", RNG)}

    def names(part: etree._Element) -> set[str]:
        own = {str(each.get("name")) for each in part.iterfind(".//r:attribute", RNG)}
        inner = (parts[each.get("name")] for each in part.iterfind(".//r:ref", RNG) if each.get("name") in parts)
        return own.union(*map(names, inner))

    [entry] = parts["filter"].xpath(".//r:element[@name='rule']", namespaces=RNG)
    return {str(each.get("name")): names(each) for each in entry.iterfind(".//r:element", RNG)}
