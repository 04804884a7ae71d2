"""Where the interfaces of a guest are in the text of its XML: byte ranges, found with expat.

A text search would also find interfaces in comments, CDATA and metadata.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat

from reconciler.domain.document import canonical_mac
from reconciler.domain.errors import DomainXmlError
from reconciler.model.filter import FilterRef, kept_parameters

_INTERFACE = ["domain", "devices", "interface"]
_TAG_END = re.compile(rb"""(?:[^"'>]|"[^"]*"|'[^']*')*>""")


@dataclass(slots=True)
class Child:
    """A child element of an interface; bytes from `start` up to `end`."""

    name: str
    start: int
    attributes: dict[str, str]
    end: int = -1
    parameters: list[tuple[str | None, str | None]] = field(default_factory=list)

    @property
    def filterref(self) -> FilterRef:
        return FilterRef(self.attributes.get("filter", ""), kept_parameters(self.parameters))


@dataclass(slots=True)
class InterfaceSpan:
    """An `<interface>` below `<devices>`; bytes from `start` up to `end`."""

    start: int
    end: int = -1
    children: list[Child] = field(default_factory=list)

    @property
    def mac(self) -> str:
        found = next((child for child in self.children if child.name == "mac"), None)
        return canonical_mac(found.attributes.get("address", "")) if found else ""


def find_interfaces(source: bytes) -> list[InterfaceSpan]:
    """The interfaces of a guest's XML in UTF-8, in order; DomainXmlError if it is malformed."""
    return _Finder(source).find()


class _Finder:
    def __init__(self, source: bytes) -> None:
        self._source = source
        self._path: list[str] = []
        self._found: list[InterfaceSpan] = []
        self._parser = expat.ParserCreate("utf-8")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._doctype

    def find(self) -> list[InterfaceSpan]:
        try:
            self._parser.Parse(self._source, True)
        except expat.ExpatError as error:
            raise DomainXmlError(f"the XML is malformed: {error}") from None
        finally:
            del self._parser  # it holds this finder too: the two would stay until garbage is looked for
        return self._found

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        depth = len(self._path)
        if depth < len(_INTERFACE) or self._path[:3] != _INTERFACE:
            return
        offset = self._parser.CurrentByteIndex
        if depth == 3:
            self._found.append(InterfaceSpan(offset))
        elif depth == 4:
            self._found[-1].children.append(Child(name, offset, attributes))
        elif depth == 5 and name == "parameter":
            pair = (attributes.get("name"), attributes.get("value"))
            self._found[-1].children[-1].parameters.append(pair)

    def _end(self, _name: str) -> None:
        depth = len(self._path)
        if depth in (3, 4) and self._path[:3] == _INTERFACE:
            span = self._found[-1] if depth == 3 else self._found[-1].children[-1]
            span.end = self._end_offset(span.start)
        self._path.pop()

    def _end_offset(self, start: int) -> int:
        """Behind the element. For an empty-element tag expat is there already, else before the closing tag."""
        offset = self._parser.CurrentByteIndex
        if offset == self._tag_end(start) and self._source.endswith(b"/>", start, offset):
            return offset
        return self._tag_end(offset)

    def _tag_end(self, start: int) -> int:
        match = _TAG_END.match(self._source, start)
        assert match is not None, "expat has read the tag to its end"
        return match.end()

    def _doctype(self, *_declaration: object) -> None:
        raise DomainXmlError("a DOCTYPE is not allowed in a guest's XML")
