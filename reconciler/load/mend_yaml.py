"""YAML of a site with mechanical mistakes corrected: look-alike characters, and odd spellings of MACs and addresses.

Comments, order and layout stay byte for byte; only the scalars that are named by a mend change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar, cast

import yaml

from reconciler.load.findings import Findings, Invalid
from reconciler.load.node import Location, Node
from reconciler.load.scalar import TYPOGRAPHIC, is_decimal_mac
from reconciler.load.text import BYTE_ORDER_MARK
from reconciler.load.values import parse_gateway, parse_ipv4, parse_ipv6, parse_mac
from reconciler.load.yamlfile import read_yaml
from reconciler.model.mend import Mend
from reconciler.model.origin import Origin

if TYPE_CHECKING:
    from yaml.events import Event

T = TypeVar("T")
_Loader = cast("type[yaml.SafeLoader]", getattr(yaml, "CSafeLoader", yaml.SafeLoader))
_SPACES = "\u00a0\u2007\u202f\u3000"
_PLAIN_SIGNS = {**TYPOGRAPHIC, **dict.fromkeys(_SPACES, " ")}
_MAC_DIGITS = re.compile(r"[0-9A-Fa-f]{2}([:. -]?[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{4}([.:-][0-9A-Fa-f]{4}){2}")
_DOTTED_MASK = re.compile(r"[0-9.]+/[0-9]+(\.[0-9]+){3}")


@dataclass(frozen=True, slots=True)
class _Scalar:
    """A word of the file: `start` and `end` are its characters, quotes included."""

    start: int
    end: int
    line: int
    column: int
    style: str | None


_Replacement = tuple[_Scalar, str, str, str]
"""The scalar, the id of the mend, what was written, and what shall stand there."""


def mend_yaml(path: str, content: bytes) -> tuple[bytes, tuple[Mend, ...]]:
    """A file of the site, mended, and what was mended. What is no UTF-8 or no YAML stays as it is."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return content, ()
    mends: tuple[Mend, ...] = ()
    if text.startswith(BYTE_ORDER_MARK):
        text = text.removeprefix(BYTE_ORDER_MARK)
        mends = (Mend("byte-order-mark", Origin(path), "an invisible mark at the start", "nothing"),)
    for find in (_look_alikes, _misspelt):
        text, more = _mended(path, text, find)
        mends = (*mends, *more)
    return text.encode(), mends


def _mended(path: str, text: str, find: Callable[[str, str], list[_Replacement]]) -> tuple[str, tuple[Mend, ...]]:
    """All replacements at once where the file is then still YAML, else those one by one that leave it so."""
    found = find(path, text)
    together = _replaced(text, found)
    if found and _faults(path, together) <= _faults(path, text):
        return together, tuple(_mend(path, each) for each in found)
    mends: list[Mend] = []
    for each in reversed(found):
        alone = _replaced(text, [each])
        if _faults(path, alone) <= _faults(path, text):
            text, mends = alone, [_mend(path, each), *mends]
    return text, tuple(mends)


def _replaced(text: str, found: Iterable[_Replacement]) -> str:
    for scalar, _id, _before, after in sorted(found, key=lambda each: each[0].start, reverse=True):
        text = text[: scalar.start] + after + text[scalar.end :]
    return text


def _mend(path: str, replacement: _Replacement) -> Mend:
    scalar, id, before, after = replacement
    return Mend(id, Origin(path, scalar.line, scalar.column), before, after)


def _faults(path: str, text: str) -> int:
    """Problems of the file as YAML; a file of which nothing can be read has more than any other."""
    findings = Findings()
    node = read_yaml(path, text.encode(), findings)
    return len(findings.in_order()) + (0 if node else 1_000_000)


def _look_alikes(_path: str, text: str) -> list[_Replacement]:
    found: list[_Replacement] = []
    for scalar in _scalars(text):
        written = text[scalar.start : scalar.end]
        plain = "".join(_PLAIN_SIGNS.get(sign, sign) for sign in written)
        if not scalar.style and plain != written:
            found.append((scalar, "typographic-character", written, plain))
    return found


def _misspelt(path: str, text: str) -> list[_Replacement]:
    node = read_yaml(path, text.encode(), Findings())
    scalars = {(scalar.line, scalar.column): scalar for scalar in _scalars(text)}
    spelt = _spellings(path)
    found: list[_Replacement] = []
    for location, each in _leaves(node, ()) if node else ():
        scalar, spell = scalars.get(each.place), spelt.get(_pattern(location))
        if scalar is not None and spell is not None:
            written = text[scalar.start : scalar.end]
            mended = spell(each.data if isinstance(each.data, str) else written, written)
            if mended and mended[1] != written:
                found.append((scalar, mended[0], written, mended[1]))
    return found


def _scalars(text: str) -> Iterator[_Scalar]:
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.ScalarEvent) and event.style not in ("|", ">"):
                yield _scalar(event)
    except yaml.YAMLError:
        return


def _scalar(event: Event) -> _Scalar:
    start, end = event.start_mark, event.end_mark
    assert start is not None and end is not None, "a parser of a text gives every event its marks"
    return _Scalar(start.index, end.index, start.line + 1, start.column + 1, getattr(event, "style", None))


def _leaves(node: Node, location: Location) -> Iterator[tuple[Location, Node]]:
    for key, child in node.fields.items():
        yield from _leaves(child, (*location, key))
    for index, child in enumerate(node.items):
        yield from _leaves(child, (*location, index))
    if not node.fields and not node.items:
        yield location, node


_Spelling = Callable[[str, str], tuple[str, str] | None]
"""From a value and how it was written to the id of its mend and how to write it; None for what cannot be mended."""


def _pattern(location: Location) -> str:
    """`interfaces/*/ipv4/*`: indexes and the names of segments are anything."""
    steps = ["*" if isinstance(step, int) else step for step in location]
    if steps[:1] == ["segments"] and len(steps) > 1:
        steps[1] = "*"
    return "/".join(steps)


def _spellings(path: str) -> dict[str, _Spelling]:
    if path.startswith("guests/"):
        return {
            "interfaces/*/mac": _mac,
            "interfaces/*/ipv4/*": _ipv4,
            "interfaces/*/ipv6/*": _ipv6,
            "interfaces/*/link_local": _ipv6,
        }
    return {"segments/*/ipv4/*": _ipv4, "segments/*/ipv6/*": _ipv6, "segments/*/gateways/*": _gateway}


def _mac(value: str, written: str) -> tuple[str, str] | None:
    known = _read(parse_mac, value)
    canonical = known or _read(parse_mac, _with_colons(value))
    if canonical is None:
        return None
    if is_decimal_mac(written):
        return "mac-unquoted", f'"{canonical}"'
    return ("mac-spelling" if known else "mac-invalid"), _quoted(canonical, value, written)


def _with_colons(text: str) -> str:
    digits = re.sub("[^0-9A-Fa-f]", "", text) if _MAC_DIGITS.fullmatch(text.strip()) else ""
    return ":".join(digits[index : index + 2] for index in range(0, len(digits), 2))


def _ipv4(value: str, written: str) -> tuple[str, str] | None:
    known = _read(parse_ipv4, value)
    canonical = known or _read(parse_ipv4, _with_length(value.strip()))
    if canonical is None:
        return None
    text = str(canonical) if "/" in value else str(canonical.network_address)
    return ("address-spelling" if known else "address-invalid"), _kept(text, value, written)


def _with_length(text: str) -> str:
    """A dotted mask as a length; a mask that is none stays, and is refused."""
    if not _DOTTED_MASK.fullmatch(text):
        return text
    address, _, mask = text.partition("/")
    bits = f"{int(ip_address(mask)):032b}" if _read(ip_address, mask) else "01"
    return text if "01" in bits else f"{address}/{bits.count('1')}"


def _ipv6(value: str, written: str) -> tuple[str, str] | None:
    known = _read(parse_ipv6, value)
    canonical = known or _read(parse_ipv6, value.strip())
    if canonical is None:
        return None
    text = str(canonical) if "/" in value else str(canonical.network_address)
    return ("address-spelling" if known else "address-invalid"), _quoted(text, value, written)


def _gateway(value: str, written: str) -> tuple[str, str] | None:
    known = _read(parse_gateway, value)
    address = known or _read(parse_gateway, value.strip())
    if address is None:
        return None
    keep = _kept if address.version == 4 else _quoted
    return ("address-spelling" if known else "address-invalid"), keep(str(address), value, written)


def _read(parse: Callable[[str], T], text: str) -> T | None:
    try:
        return parse(text)
    except (Invalid, ValueError):
        return None


def _quoted(text: str, value: str, written: str) -> str:
    """In the quotes that are there, in double ones where there are none and the text is another."""
    if text == value:
        return written
    quote = written[0] if written[0] in "\"'" else '"'
    return f"{quote}{text}{quote}"


def _kept(text: str, value: str, written: str) -> str:
    """In the quotes that are there, if any: an IPv4 address needs none."""
    return _quoted(text, value, written) if written[0] in "\"'" else text
