"""XML as a small tree that knows where each element and attribute was written.

Read with expat: no DTD, so no entity can be declared, expanded or fetched.
"""

from __future__ import annotations

import codecs
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from xml.parsers import expat

from reconciler.model.origin import Origin
from reconciler.nwfilter.syntax import FilterSyntax

_ENCODING = re.compile(rb"<\?xml[^>]*?\sencoding\s*=\s*[\"']([A-Za-z][\w.-]*)[\"']")
MAX_DEPTH = 32
_OPEN_ENCODINGS = re.compile("utf-8|ascii|iso8859-.+|cp125[0-9]|koi8-.")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_TYPOGRAPHIC_QUOTES = tuple("‘’‚‛“”„‟′″«»")
_TYPOGRAPHIC_DASH = re.compile("<![‐-―−]|[‐-―−]>")
_ATTRIBUTE = re.compile(rb"""\s+([^\s=<>/"']+)\s*=\s*("[^"]*"|'[^']*')""")
_TAG_NAME = re.compile(rb"<[^\s/>]+")
_CONTINUATION_BYTE = re.compile(rb"[\x80-\xbf]")
_ENTITY = re.compile("&(?!(?:amp|lt|gt|quot|apos);)[^&;]+;")
_STRAIGHT_QUOTES = "write straight quotes: ' or \""
_UNDEFINED = expat.errors.codes[expat.errors.XML_ERROR_UNDEFINED_ENTITY]
_MISMATCH = expat.errors.codes[expat.errors.XML_ERROR_TAG_MISMATCH]


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
    """A well-formed document; `source` is its text in UTF-8.

    Places are looked up in tables: a search from the start of the file for each would be quadratic.
    """

    root: Element
    source: bytes
    path: str = ""
    _lines: Sequence[int] = field(init=False, repr=False, compare=False)
    _continuations: Sequence[int] = field(init=False, repr=False, compare=False)
    _values: dict[int, dict[str, int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lines = accumulate((len(line) + 1 for line in self.source.split(b"\n")), initial=0)
        continuations = () if self.source.isascii() else _CONTINUATION_BYTE.finditer(self.source)
        object.__setattr__(self, "_lines", tuple(lines))
        object.__setattr__(self, "_continuations", tuple(match.start() for match in continuations))
        object.__setattr__(self, "_values", {})

    def origin(self, element: Element, attribute: str | None = None) -> Origin:
        """Where an element starts, or the value of one of its attributes."""
        offset = element.start
        if attribute is not None:
            offset = self._value_offsets(element).get(attribute, offset)
        return self._position(offset)

    def value_span(self, element: Element, attribute: str) -> tuple[int, int]:
        """The bytes of an attribute's value as it is written, without its quotes."""
        start = self._value_offsets(element)[attribute]
        return start, self.source.index(self.source[start - 1 : start], start)

    def _value_offsets(self, element: Element) -> dict[str, int]:
        """Where the values of an element's attributes start; the first of a name, as in `_without_prefixes`."""
        offsets = self._values.get(element.start)
        if offsets is None:
            offsets = self._values[element.start] = {}
            tag = _TAG_NAME.match(self.source, element.start)
            position = tag.end() if tag else element.start
            while match := _ATTRIBUTE.match(self.source, position):
                offsets.setdefault(_local(match[1].decode()), match.start(2) + 1)
                position = match.end()
        return offsets

    def _position(self, offset: int) -> Origin:
        line = bisect_right(self._lines, offset)
        start = self._lines[line - 1]
        hidden = bisect_left(self._continuations, offset) - bisect_left(self._continuations, start)
        return Origin(self.path, line, offset - start - hidden + 1)


def read_document(text: bytes | str, path: str = "") -> Document:
    """Parse XML; malformed text and a DOCTYPE raise FilterSyntax."""
    source = _as_utf8(text, path)
    builder = _Builder(source, path)
    try:
        root = builder.build()
    except expat.ExpatError as error:
        raise _malformed(source, error, builder.innermost, path) from None
    return Document(root, source, path)


class _Builder:
    """Collects the tree from expat's events."""

    def __init__(self, source: bytes, path: str) -> None:
        self._source = source
        self._path = path
        self._root: Element | None = None
        self._open: list[Element] = []
        self._parser = expat.ParserCreate("utf-8")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._doctype

    def build(self) -> Element:
        try:
            self._parser.Parse(self._source, True)
        finally:
            del self._parser  # it holds this builder too: the two would stay until garbage is looked for
        assert self._root is not None, "expat accepts no document without a root"
        return self._root

    @property
    def innermost(self) -> Element | None:
        """The element that is open where reading stopped."""
        return self._open[-1] if self._open else None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) == MAX_DEPTH:
            line, column = self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1
            hint = "a filter has rules, and rules have matches: remove the other levels"
            message = f"more than {MAX_DEPTH} elements are nested"
            raise FilterSyntax(message, line, column, hint, "xml-malformed", self._path)
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
        line, column = _line_and_column(self._source.decode(), self._source.decode().find("<!DOCTYPE"))
        hint = "remove the <!DOCTYPE …> declaration and write entities out"
        raise FilterSyntax("a DOCTYPE is not allowed in a filter", line, column, hint, "xml-doctype", self._path)


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
        return text.decode(_encoding(text)).removeprefix("\ufeff").encode()
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


def _encoding(text: bytes) -> str:
    """The declared one. Raises `LookupError` where plain letters may be others than they look like, as in UTF-7."""
    declared = _ENCODING.match(text.lstrip(b"\xef\xbb\xbf"))
    encoding = declared[1].decode() if declared else "utf-8"
    if not _OPEN_ENCODINGS.fullmatch(codecs.lookup(encoding).name):
        raise LookupError(f"{encoding} can hide in plain letters what it means")
    return encoding


def _malformed(source: bytes, error: expat.ExpatError, unclosed: Element | None, path: str) -> FilterSyntax:
    text = source.decode()
    line, column = error.lineno, error.offset + 1
    if error.code == _MISMATCH:
        column -= len("</")
    start = _offset(text, line, column)
    if text[start : start + 1] in _TYPOGRAPHIC_QUOTES:
        message = f"typographic quote {text[start]} around an attribute's value"
        return FilterSyntax(message, line, column, _STRAIGHT_QUOTES, "xml-typographic-quotes", path)
    if dash := _TYPOGRAPHIC_DASH.search(text, text.rfind("\n", 0, start) + 1):
        line, column = _line_and_column(text, dash.start())
        message = f"typographic dash in the comment mark {dash[0]}"
        return FilterSyntax(message, line, column, "write comments as <!-- … -->", "xml-typographic-dashes", path)
    from reconciler.nwfilter.mend_text import typographic_quotes  # its patterns are for what is no XML

    if quote := next(typographic_quotes(text), None):
        line, column = _line_and_column(text, quote[0])
        message = f"typographic quote {text[quote[0]]} around an attribute's value"
        return FilterSyntax(message, line, column, _STRAIGHT_QUOTES, "xml-typographic-quotes", path)
    if error.code == _UNDEFINED and (entity := _ENTITY.search(text, start)):
        line, column = _line_and_column(text, entity.start())
    message = f"the XML is malformed: {expat.errors.messages[error.code]}"
    hint = f"<{unclosed.name}> is open here" if unclosed else ""
    return FilterSyntax(message, line, column, hint, "xml-malformed", path)


def _offset(text: str, line: int, column: int) -> int:
    return sum(len(each) + 1 for each in text.split("\n")[: line - 1]) + column - 1


def _line_and_column(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
