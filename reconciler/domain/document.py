"""Reading libvirt's XML with lxml: no network, no entities, no DTD."""

from __future__ import annotations

import re

from lxml import etree

from reconciler.domain.errors import DomainXmlError
from reconciler.model.filter import FilterRef, kept_parameters

_MAC = re.compile(r"[0-9a-f]{1,2}(?::[0-9a-f]{1,2}){5}")


def read_root(xml: str, name: str) -> etree._Element:
    """The root element, which must have this name."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, encoding="utf-8")
    try:
        root = etree.fromstring(xml.encode(), parser)
    except (etree.XMLSyntaxError, UnicodeEncodeError) as error:
        raise DomainXmlError(f"the XML is malformed: {error}") from None
    if root.tag != name:
        raise DomainXmlError(f"the XML is of <{root.tag}>, not of <{name}>")
    return root


def attribute(element: etree._Element, path: str, name: str) -> str | None:
    """An attribute of the first element at a path."""
    found = element.find(path)
    return None if found is None else found.get(name)


def read_filterref(parent: etree._Element) -> FilterRef | None:
    """The `<filterref>` below an element with the parameters that libvirt keeps; None without a filter's name."""
    element = parent.find("filterref")
    name = None if element is None else element.get("filter")
    if element is None or name is None:
        return None
    parameters = ((found.get("name"), found.get("value")) for found in element.iterfind("parameter"))
    return FilterRef(name, kept_parameters(parameters))


def canonical_mac(text: str) -> str:
    """Lower case, zero-padded, as libvirt prints it; text that is no MAC stays as it is, in lower case."""
    lower = text.strip().lower()
    if not _MAC.fullmatch(lower):
        return lower
    return ":".join(byte.zfill(2) for byte in lower.split(":"))
