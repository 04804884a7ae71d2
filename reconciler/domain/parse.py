"""A guest's XML as data: identity and interfaces."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from reconciler.domain.document import attribute, canonical_mac, read_filterref, read_root
from reconciler.domain.errors import DomainXmlError
from reconciler.domain.settings import read_settings
from reconciler.model.live import FILTERED_KINDS, Nic

_SOURCE_ATTRIBUTES = {
    "bridge": "bridge",
    "direct": "dev",
    "ethernet": "dev",
    "hostdev": "dev",
    "internal": "name",
    "network": "network",
    "vdpa": "dev",
    "vds": "switchid",
    "vhostuser": "path",
}
"""Attribute of `<source>` that names what an interface of a type is attached to (libvirt's domain_conf.c)."""


@dataclass(frozen=True, slots=True)
class DomainXml:
    """What a guest's XML says of its identity and network."""

    name: str
    uuid: str
    nics: tuple[Nic, ...]


def parse_domain(xml: str) -> DomainXml:
    """Identity and interfaces in one reading; the uuid is empty where the XML has none yet."""
    root = read_root(xml, "domain")
    return DomainXml(_name(root), _uuid(root), _nics(root))


def parse_nics(xml: str) -> tuple[Nic, ...]:
    """The interfaces of a guest in the order of its XML; one without a MAC has an empty one."""
    return _nics(read_root(xml, "domain"))


def snapshot_definitions(xml: str) -> tuple[str, ...]:
    """The guest's definitions in a snapshot's XML: the one that ran, and the one that was stored, where it has them."""
    root = read_root(xml, "domainsnapshot")
    found = (element for name in ("domain", "inactiveDomain") for element in root.iterfind(name))
    return tuple(_as_domain(element) for element in found)


def _as_domain(element: etree._Element) -> str:
    element.tag = "domain"
    return etree.tostring(element, encoding="unicode", with_tail=False)


def parse_domain_name(xml: str) -> str:
    return _name(read_root(xml, "domain"))


def parse_domain_uuid(xml: str) -> str:
    """The guest's uuid in lower case, empty where the XML has none yet."""
    return _uuid(read_root(xml, "domain"))


def _name(root: etree._Element) -> str:
    name = root.findtext("name")
    if not name:
        raise DomainXmlError("the guest's XML has no <name>")
    return name


def _uuid(root: etree._Element) -> str:
    return (root.findtext("uuid") or "").strip().lower()


def _nics(root: etree._Element) -> tuple[Nic, ...]:
    return tuple(_nic(element) for element in root.iterfind("devices/interface"))


def _nic(element: etree._Element) -> Nic:
    kind = element.get("type", "")
    return Nic(
        mac=canonical_mac(attribute(element, "mac", "address") or ""),
        kind=kind,
        source=_source(element, kind),
        port=attribute(element, "target", "dev"),
        # libvirt drops the filterref of all others without a word.
        filterref=read_filterref(element) if kind in FILTERED_KINDS else None,
        settings=read_settings(element, _SOURCE_ATTRIBUTES.get(kind)),
        trusts_guest=element.get("trustGuestRxFilters") == "yes",
    )


def _source(element: etree._Element, kind: str) -> str | None:
    name = _SOURCE_ATTRIBUTES.get(kind)
    if name is not None:
        return attribute(element, "source", name)
    address, port = (attribute(element, "source", key) for key in ("address", "port"))
    return f"{address or ''}:{port}" if port else address
