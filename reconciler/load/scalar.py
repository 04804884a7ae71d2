"""What an unquoted word of YAML means: the core types of YAML 1.2, less where other tools would differ."""

from __future__ import annotations

import re
from collections.abc import Mapping

from reconciler.load.findings import Invalid, shown

_WORDS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# YAML 1.2 would read 0777 as 777; YAML 1.1 as 511. It stays the text that was written.
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]{0,17})(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_NUMBER_START = frozenset("-+.0123456789")
_DECIMAL_MAC = re.compile(r"[0-9]{1,2}(:[0-9]{1,2}){5}")

TYPOGRAPHIC: Mapping[str, str] = {
    **dict.fromkeys("“”„‟«»", '"'),
    **dict.fromkeys("‘’‚‛‹›", "'"),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    **dict.fromkeys("\u00a0\u2007\u202f\u3000", "a space"),
    **dict.fromkeys("：", ":"),
    **dict.fromkeys("，", ","),
}
_TYPOGRAPHIC_CHARACTER = re.compile(f"[{''.join(TYPOGRAPHIC)}]")


def plain_value(text: str) -> object:
    """The value of an unquoted scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_START:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def refuse_misread(text: str) -> None:
    """Raise for an unquoted scalar that people or other YAML readers take for something else."""
    typographic = _TYPOGRAPHIC_CHARACTER.search(text)
    if typographic:
        character = typographic.group()
        raise Invalid(
            "typographic-character",
            f"{shown(text)} contains the typographic character {character} (U+{ord(character):04X})",
            f"type {TYPOGRAPHIC[character]} instead; word processors and web pages replace it",
        )
    if is_decimal_mac(text):
        raise Invalid(
            "mac-unquoted",
            f"the MAC {text} has only decimal digits and is not quoted, so YAML 1.1 tools read it as a number",
            f'write it in quotes: "{text}"',
        )


def is_decimal_mac(text: str) -> bool:
    """Whether a MAC without quotes is a number to base 60 for some readers."""
    return _DECIMAL_MAC.fullmatch(text) is not None
