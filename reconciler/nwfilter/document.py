"""XML as a small tree that knows where each element and attribute was written.

Read with expat: no DTD, so no entity can be declared, expanded or fetched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat

from reconciler.model.origin import Origin
from reconciler.nwfilter.syntax import FilterSyntax

_ENCODING = re.compile(rb"<\?xml[^>]*?\sencoding\s*=\s*[\"']([A-Za-z][\w.-]*)[\"']")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_TYPOGRAPHIC_QUOTES = "‘’‚‛“”„‟′″«»"
_TYPOGRAPHIC_DASH_COMMENT = re.compile("<![‐-―−]|[‐-―−]>")
_ATTRIBUTE = re.compile(rb"""\s([^\s=<>/"']+)\s*=\s*("[^"]*"|'[^']*')""")
_QUOTES_HINT = "write straight quotes: ' or \""


@dataclass(slots=True)
class Element:
    """One element: names without namespace prefix, as libvirt compares them; `start` is a byte offset."""

    name: str
    attributes: dict[str, str]
    start: int
    children: list[Element] = field(default_factory=list)
    text: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A well-formed document; `source` is its text in UTF-8."""

    root: Element
    source: bytes
    path: str = ""

    def origin(self, element: Element, attribute: str | None = None) -> Origin:
        """Where an element starts, or the value of one of its attributes."""
        offset = element.start
        if attribute is not None:
            offset = self._value_offset(element, attribute)
        return self._position(offset)

    def _value_offset(self, element: Element, attribute: str) -> int:
        position = element.start
        while match := _ATTRIBUTE.search(self.source, position):
            if _local(match[1].decode()) == attribute:
                return match.start(2) + 1
            position = match.end()
        return element.start

    def _position(self, offset: int) -> Origin:
        line_start = self.source.rfind(b"\n", 0, offset) + 1
        line = self.source.count(b"\n", 0, offset) + 1
        return Origin(self.path, line, len(self.source[line_start:offset].decode(errors="replace")) + 1)


def read_document(text: bytes | str, path: str = "") -> Document:
    """Parse XML; malformed text and a DOCTYPE raise FilterSyntax."""
    source = _as_utf8(text, path)
    builder = _Builder(path)
    try:
        root = builder.build(source)
    except expat.ExpatError as error:
        raise _malformed(source, error, path) from None
    return Document(root, source, path)


class _Builder:
    """Collects the tree from expat's events."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._root: Element | None = None
        self._open: list[Element] = []
        self._parser = expat.ParserCreate("utf-8")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._doctype

    def build(self, source: bytes) -> Element:
        self._parser.Parse(source, True)
        assert self._root is not None, "expat accepts no document without a root"
        return self._root

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if ":" in name:
            name = _local(name)
        for key in attributes:
            if ":" in key:
                attributes = _without_prefixes(attributes)
                break
        element = Element(name, attributes, self._parser.CurrentByteIndex)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)

    def _end(self, _name: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        self._open[-1].text += text

    def _doctype(self, *_declaration: object) -> None:
        raise FilterSyntax(
            "a DOCTYPE is not allowed in a filter",
            self._parser.CurrentLineNumber,
            self._parser.CurrentColumnNumber + 1,
            "remove the <!DOCTYPE …> declaration and write entities out",
            "xml-doctype",
            self._path,
        )


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _without_prefixes(attributes: dict[str, str]) -> dict[str, str]:
    """Local names; libxml2's xmlGetProp takes the first of a name. Namespace declarations are no attributes."""
    local: dict[str, str] = {}
    for name, value in attributes.items():
        if name != "xmlns" and not name.startswith("xmlns:"):
            local.setdefault(_local(name), value)
    return local


def _as_utf8(text: bytes | str, path: str) -> bytes:
    try:
        if isinstance(text, str):
            return text.removeprefix("\ufeff").encode()
        if text.startswith(_UTF16_MARKS):
            return text.decode("utf-16").encode()
        declared = _ENCODING.match(text.lstrip(b"\xef\xbb\xbf"))
        encoding = declared[1].decode() if declared else "utf-8"
        return text.decode(encoding).removeprefix("\ufeff").encode()
    except (UnicodeError, LookupError) as error:
        offset = error.start if isinstance(error, UnicodeDecodeError) else 0
        before = bytes(text[:offset]) if isinstance(text, bytes) else b""
        raise FilterSyntax(
            f"the file is not text in its encoding: {error}",
            before.count(b"\n") + 1,
            len(before) - before.rfind(b"\n"),
            "save the file as UTF-8",
            "xml-encoding",
            path,
        ) from None


def _malformed(source: bytes, error: expat.ExpatError, path: str) -> FilterSyntax:
    line, column = error.lineno, error.offset + 1
    text = source.decode().split("\n")[line - 1 : line]
    rest = text[0][column - 1 :] if text else ""
    if rest[:1] and rest[0] in _TYPOGRAPHIC_QUOTES:
        message = f"typographic quote {rest[0]} around an attribute's value"
        return FilterSyntax(message, line, column, _QUOTES_HINT, "xml-typographic-quotes", path)
    if text and (dash := _TYPOGRAPHIC_DASH_COMMENT.search(text[0])):
        message = f"typographic dash in the comment mark {dash[0]}"
        hint = "write comments as <!-- … -->"
        return FilterSyntax(message, line, dash.start() + 1, hint, "xml-typographic-dashes", path)
    reason = expat.errors.messages[error.code]
    return FilterSyntax(f"the XML is malformed: {reason}", line, column, "", "xml-malformed", path)
