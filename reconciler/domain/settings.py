"""What an interface says besides its MAC, its attachment and its filter, in one form however it is written.

The vocabulary is libvirt's (domain_conf.c, virDomainNetDefParseXML) and grows with each of its releases, so nothing is
enumerated here: every attribute and text is read.
"""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

_READ_ELSEWHERE = frozenset({"mac", "filterref"})
_GIVEN_BY_LIBVIRT = frozenset({"alias", "address"})

Settings = tuple[tuple[str, str], ...]


def read_settings(interface: etree._Element, source_attribute: str | None) -> Settings:
    """Pairs of `path@attribute` (`path` alone for text) and value, sorted; a repeated element is numbered from 1.

    What names the attachment (`source_attribute` of `<source>`, the port of `<target>`) is left out: it is read by
    itself, and a port's name is chosen anew at each start.
    """
    left_out = {f"source@{source_attribute}", "target@dev", "source@portid"}
    found = {pair for child in interface if _is_setting(child) for pair in _leaves(child, _path("", child))}
    return tuple(sorted(pair for pair in found if pair[0] not in left_out))


def _is_setting(element: etree._Element) -> bool:
    return isinstance(element.tag, str) and element.tag not in _READ_ELSEWHERE | _GIVEN_BY_LIBVIRT


def _leaves(element: etree._Element, path: str) -> Iterator[tuple[str, str]]:
    for name, value in element.attrib.items():
        yield f"{path}@{name!s}", str(value).strip()
    text = (element.text or "").strip()
    children = [child for child in element if isinstance(child.tag, str)]
    if text or not (children or element.attrib):
        yield path, text
    for child in children:
        yield from _leaves(child, _path(f"{path}/", child))


def _path(before: str, element: etree._Element) -> str:
    parent = element.getparent()
    twins = [] if parent is None else [child for child in parent if child.tag == element.tag]
    number = f"[{twins.index(element) + 1}]" if len(twins) > 1 else ""
    return f"{before}{element.tag}{number}"
