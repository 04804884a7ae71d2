"""The XML of nwfilter bindings: libvirt's record of a filter on one port.

Source: libvirt's virnwfilterbindingdef.c (virNWFilterBindingDefParseXML).
"""

from __future__ import annotations

from dataclasses import replace

from lxml import etree

from reconciler.domain.document import attribute, canonical_mac, read_filterref, read_root
from reconciler.domain.errors import DomainXmlError
from reconciler.domain.write import escape, filterref_text
from reconciler.model.filter import FilterRef
from reconciler.model.live import Binding


def parse_binding(xml: str) -> Binding:
    """A binding without the MAC parameter that libvirt adds; an IP that it learned is kept, nothing else shows it."""
    root = _read(xml)
    mac = canonical_mac(_required(attribute(root, "mac", "address"), "<mac address='…'>"))
    filterref = read_filterref(root)
    if filterref is None:
        raise DomainXmlError("the binding has no <filterref filter='…'>")
    return Binding(
        port=_required(attribute(root, "portdev", "name"), "<portdev name='…'>"),
        owner=_required(root.findtext("owner/name"), "<owner><name>"),
        mac=mac,
        filterref=_without_own_mac(filterref, mac),
    )


def parse_binding_owner_uuid(xml: str) -> str:
    """The uuid of the guest, which `binding_xml` needs again."""
    return _required(_read(xml).findtext("owner/uuid"), "<owner><uuid>").strip().lower()


def binding_xml(binding: Binding, owner_uuid: str) -> str:
    """XML for virNWFilterBindingCreateXML; libvirt adds the MAC parameter itself."""
    lines = (
        "<filterbinding>",
        "  <owner>",
        f"    <name>{escape(binding.owner)}</name>",
        f"    <uuid>{escape(owner_uuid)}</uuid>",
        "  </owner>",
        f"  <portdev name='{escape(binding.port)}'/>",
        f"  <mac address='{escape(binding.mac)}'/>",
        "  " + filterref_text(binding.filterref, "\n    ", "\n  "),
        "</filterbinding>",
        "",
    )
    return "\n".join(lines)


def set_binding_filterref(xml: str, filterref: FilterRef) -> str:
    """XML of the same port and guest with another filterref: what to create after the binding is deleted."""
    return binding_xml(replace(parse_binding(xml), filterref=filterref), parse_binding_owner_uuid(xml))


def _read(xml: str) -> etree._Element:
    return read_root(xml, "filterbinding")


def _required(text: str | None, what: str) -> str:
    if not text:
        raise DomainXmlError(f"the binding has no {what}")
    return text


def _without_own_mac(filterref: FilterRef, mac: str) -> FilterRef:
    """Only libvirt's own: another MAC, or two of them, was set by someone and counts."""
    if tuple(map(canonical_mac, filterref.values("MAC"))) != (mac,):
        return filterref
    return replace(filterref, parameters=tuple(pair for pair in filterref.parameters if pair[0] != "MAC"))
