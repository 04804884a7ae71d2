"""Typographic quotes and dashes where XML needs straight ones: such a file is no XML, so it is read by its marks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reconciler.model.mend import Mend
from reconciler.model.origin import Origin

_QUOTES = "‘’‚‛“”„‟′″«»"
_DASHES = "‐-―−"
_COMMENT = re.compile(f"<!([-{_DASHES}]+)(.*?)([-{_DASHES}]+)>", re.DOTALL)
_ASIDE = re.compile(r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>", re.DOTALL)
_NAME = r"[A-Za-z_][\w.:-]*"
_STRAIGHT = rf"\s+{_NAME}\s*=\s*(?:\"[^\"<]*\"|'[^'<]*')"
_ANY_VALUE = rf"(\s+{_NAME}\s*=\s*)([\"'{_QUOTES}])([^\"'{_QUOTES}<>]*)([\"'{_QUOTES}])"
_STRAIGHT_TAG = re.compile(rf"<{_NAME}(?:{_STRAIGHT})*\s*/?>")
_ANY_TAG = re.compile(rf"<{_NAME}(?:{_ANY_VALUE})*\s*/?>")
_VALUE = re.compile(_ANY_VALUE)


def mend_marks(content: bytes, path: str) -> tuple[bytes, tuple[Mend, ...]]:
    """The text of a file in UTF-8 with straight comment marks and quotes, and what was put straight."""
    text = content.decode("utf-8")
    text, dashes = _replaced(text, path, "xml-typographic-dashes", list(_comments(text)))
    text, quotes = _replaced(text, path, "xml-typographic-quotes", list(typographic_quotes(text)))
    return text.encode(), (*dashes, *quotes)


_Spot = tuple[int, int, str]


def _replaced(text: str, path: str, id: str, spots: list[_Spot]) -> tuple[str, tuple[Mend, ...]]:
    mends = tuple(Mend(id, _origin(path, text, start), text[start:end], after) for start, end, after in spots)
    for start, end, after in reversed(spots):
        text = text[:start] + after + text[end:]
    return text, mends


def _origin(path: str, text: str, index: int) -> Origin:
    return Origin(path, text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _comments(text: str) -> Iterator[_Spot]:
    """The marks of comments of which one at least is typographic."""
    position = 0
    while match := _COMMENT.search(text, position):
        straight = _ASIDE.match(text, match.start())
        if straight and "<!" not in straight[0][2:]:
            position = straight.end()
            continue
        position = match.end()
        if "--" in match[2]:
            continue
        for group, mark in ((1, "<!--"), (3, "-->")):
            start, end = match.span(group)
            start, end = (start - 2, end) if group == 1 else (start, end + 1)
            if text[start:end] != mark:
                yield start, end, mark


def typographic_quotes(text: str) -> Iterator[_Spot]:
    """Values in tags that are no tags because of their quotes; text between tags and comments is left alone."""
    asides = [match.span() for match in _ASIDE.finditer(text)]
    for tag in _ANY_TAG.finditer(text):
        is_aside = any(start <= tag.start() < end for start, end in asides)
        if is_aside or _STRAIGHT_TAG.fullmatch(tag[0]):
            continue
        for value in _VALUE.finditer(text, tag.start(), tag.end()):
            if value[2] == value[4] and value[2] in "\"'":
                continue
            quote = value[2] if value[2] in "\"'" else "'"
            for group in (2, 4):
                if value[group] != quote:
                    yield (*value.span(group), quote)
