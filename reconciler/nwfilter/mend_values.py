"""Values of attributes in the one way that everybody reads alike."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from reconciler.nwfilter.protocols import ACTIONS, DIRECTIONS, PRIORITIES, PROTOCOLS
from reconciler.nwfilter.values import Kind, canonical_value, integer

_DASH = re.compile("[‐-―−]")
_SPACED = str.maketrans(dict.fromkeys("\u00a0\u2007\u202f\u3000", " "))
_ADDRESSES = frozenset({Kind.IPV4, Kind.IPV6})
_MACS = frozenset({Kind.MAC, Kind.MAC_MASK})


def plain_value(protocol: str, name: str, text: str) -> str | None:
    """What libvirt takes the text for, in decimal parts; a zone has no such form."""
    kind = PROTOCOLS[protocol][name]
    return None if "%" in text else canonical_value(kind, text)


def corrected_value(protocol: str, name: str, text: str) -> str | None:
    """A value that libvirt takes instead of one that it refuses, where only marks and blanks are wrong."""
    kind = PROTOCOLS[protocol][name]
    return next((each for each in _corrections(kind, text) if _is_taken(kind, each)), None)


def _corrections(kind: Kind, text: str) -> Iterator[str]:
    stripped = _DASH.sub("-", text.translate(_SPACED)).strip()
    yield stripped
    if kind in _MACS:
        yield stripped.replace("-", ":")


def _is_taken(kind: Kind, text: str) -> bool:
    try:
        canonical_value(kind, text)
    except ValueError:
        return False
    return True


def corrected_choice(name: str, text: str) -> str | None:
    """Words in the case that libvirt knows, numbers with a straight minus sign."""
    plain = _DASH.sub("-", text).strip()
    if name == "priority":
        number = integer(plain)
        return plain if number is not None and number in PRIORITIES else None
    return plain.lower() if plain.lower() in {"action": ACTIONS, "direction": DIRECTIONS}.get(name, ()) else None


def mask_beside(protocol: str, name: str, text: str, given: Collection[str]) -> tuple[str, str, str] | None:
    """An address with a prefix length as the address, the mask's attribute, and its value: `10.0.0.0/8`.

    Nothing where the rule has a mask already, and for a length of 0, which would match every address.
    """
    table = PROTOCOLS[protocol]
    kind, mask_name = table[name], name.replace("addr", "mask")
    address, _, length = text.strip().partition("/")
    if mask_name == name or mask_name not in table or mask_name in given or kind not in _ADDRESSES:
        return None
    if not _is_taken(kind, address) or not _is_taken(table[mask_name], length) or length.startswith("$"):
        return None
    mask = canonical_value(table[mask_name], length)
    return None if mask == "0" else (canonical_value(kind, address), mask_name, mask)
