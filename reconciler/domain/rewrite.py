"""Changing the filterref, the MAC or the bridge of one interface in a guest's XML: every other byte stays."""

from __future__ import annotations

import re

from reconciler.domain.document import canonical_mac
from reconciler.domain.errors import InterfaceAmbiguous, InterfaceMissing
from reconciler.domain.spans import Child, InterfaceSpan, find_interfaces
from reconciler.domain.write import escape, filterref_text
from reconciler.model.filter import FilterRef, canonical_parameters

_BEFORE_FILTERREF = ("mac", "source", "target", "model", "driver")
_ATTRIBUTE = rb"""\s%s\s*=\s*("[^"]*"|'[^']*')"""
_BLANK_BEFORE = re.compile(rb"(?:\r\n|\n|\r)[ \t]*\Z")
_DEFAULT_STEP = "  "


def interface_xml(xml: str, mac: str) -> str:
    """The text of the interface with this MAC, as updateDeviceFlags takes it."""
    source = xml.encode()
    span = _interface(source, mac)
    return source[span.start : span.end].decode()


def set_filterref(xml: str, mac: str, filterref: FilterRef | None) -> str:
    """The guest's XML with the filterref of one interface replaced, added, or removed (None).

    The text is returned unchanged where the interface has this filterref already, however it is written.
    InterfaceMissing or InterfaceAmbiguous if the MAC does not name exactly one interface.
    """
    source = xml.encode()
    span = _interface(source, mac)
    present = [child for child in span.children if child.name == "filterref"]
    if _already(present, filterref):
        return xml
    edits = [(*_with_blank_before(source, child), b"") for child in present]
    if filterref is not None:
        place = present[0] if present else _anchor(span)
        layout = _Layout(source, span, place)
        text = layout.filterref(filterref)
        if present:
            edits[0] = (place.start, place.end, text.encode())
        else:
            edits.append((place.end, place.end, (layout.before + text).encode()))
    return _splice(source, edits).decode()


def set_mac(xml: str, mac: str, wanted: str) -> str:
    """The guest's XML with another MAC for one interface. Errors as `set_filterref`."""
    if mac == wanted or canonical_mac(mac) == canonical_mac(wanted):
        return xml
    return _set_attribute(xml, mac, "mac", "address", wanted)


def set_bridge(xml: str, mac: str, bridge: str) -> str:
    """The guest's XML with one interface of type bridge on another bridge. Errors as `set_filterref`."""
    return _set_attribute(xml, mac, "source", "bridge", bridge)


def _set_attribute(xml: str, mac: str, element: str, attribute: str, value: str) -> str:
    source = xml.encode()
    child = next((child for child in _interface(source, mac).children if child.name == element), None)
    match = child and re.compile(_ATTRIBUTE % attribute.encode()).search(source, child.start, child.end)
    if not match:
        raise InterfaceMissing(
            f"interface {mac} has no <{element} {attribute}='…'>", hint="the guest's XML was not changed"
        )
    start, end = match.span(1)
    quote = source[start : start + 1].decode()
    text = escape(value) if quote == "'" else escape(value).replace('"', "&quot;")
    return _splice(source, [(start + 1, end - 1, text.encode())]).decode()


def _interface(source: bytes, mac: str) -> InterfaceSpan:
    wanted = canonical_mac(mac)
    found = [span for span in find_interfaces(source) if span.mac == wanted]
    if not found:
        raise InterfaceMissing(f"the guest has no interface with MAC {wanted}", hint="its XML was not changed")
    if len(found) > 1:
        raise InterfaceAmbiguous(
            f"the guest has {len(found)} interfaces with MAC {wanted}", hint="its XML was not changed"
        )
    return found[0]


def _already(present: list[Child], filterref: FilterRef | None) -> bool:
    if filterref is None:
        return not present
    canonical = FilterRef(filterref.filter, canonical_parameters(filterref.parameters))
    return len(present) == 1 and present[0].filterref == canonical


def _anchor(span: InterfaceSpan) -> Child:
    """The child after which a filterref is added; there is a `<mac>`, the interface was found by it."""
    return [child for child in span.children if child.name in _BEFORE_FILTERREF][-1]


def _with_blank_before(source: bytes, child: Child) -> tuple[int, int]:
    match = _BLANK_BEFORE.search(source, 0, child.start)
    return (match.start() if match else child.start), child.end


def _splice(source: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for start, end, text in sorted(edits, reverse=True):
        source = source[:start] + text + source[end:]
    return source


class _Layout:
    """Line breaks and indentation as the interface has them; one line where it is written in one line."""

    def __init__(self, source: bytes, span: InterfaceSpan, sibling: Child) -> None:
        self.before = _blank_before(source, sibling.start)
        outer = _blank_before(source, span.start)
        step = self.before.removeprefix(outer) if outer else ""
        self._inner = self.before + (step or _DEFAULT_STEP) if self.before else ""

    def filterref(self, filterref: FilterRef) -> str:
        return filterref_text(filterref, self._inner, self.before)


def _blank_before(source: bytes, offset: int) -> str:
    match = _BLANK_BEFORE.search(source, 0, offset)
    return match[0].decode() if match else ""
