"""From bytes to text that every tool reads alike: UTF-8, no hidden or ambiguous characters."""

from __future__ import annotations

import re
from unicodedata import is_normalized, normalize

from reconciler.load.findings import Findings
from reconciler.model.origin import Origin

MAX_BYTES = 1 << 20

BYTE_ORDER_MARK = "\ufeff"
INDENTATION_TAB = re.compile(r"^ *\t", re.MULTILINE)
# Bidirectional controls and other line ends than LF and CRLF are legal YAML and XML, but show a reviewer another text
# than is read: behind a lone CR a comment ends, and no forge shows that.
HIDDEN = re.compile(
    r"\r(?!\n)|[^\t\n\r\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    r"|[\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def read_text(path: str, content: bytes, findings: Findings) -> str | None:
    """The text of a YAML file, or None when nothing in it can be trusted."""
    if len(content) > MAX_BYTES:
        findings.report(
            "file-too-large",
            Origin(path),
            f"the file has {len(content)} bytes, more than the {MAX_BYTES} that are read",
        )
        return None
    text = _decoded(path, content, findings)
    if text is None:
        return None
    if text.startswith(BYTE_ORDER_MARK):
        findings.report("byte-order-mark", Origin(path), "the file starts with a byte order mark")
        text = text[1:]
    return text if _is_clean(path, text, findings) else None


def _decoded(path: str, content: bytes, findings: Findings) -> str | None:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        findings.report(
            "not-utf8",
            place_in(path, before, len(before)),
            f"byte 0x{content[error.start]:02x} is not UTF-8",
        )
        return None


def hides_nothing(path: str, text: str, findings: Findings) -> bool:
    """Whether people see all that is read; the first character that they do not see is reported."""
    hidden = HIDDEN.search(text)
    if hidden:
        findings.report(
            "control-character",
            place_in(path, text, hidden.start()),
            f"the invisible character U+{ord(hidden.group()):04X} is not allowed",
        )
    return not hidden


def _is_clean(path: str, text: str, findings: Findings) -> bool:
    is_open = hides_nothing(path, text, findings)
    tab = INDENTATION_TAB.search(text)
    if tab:
        findings.report("yaml-tab", place_in(path, text, tab.end() - 1), "a tab is used for indentation")
    composed = text.isascii() or is_normalized("NFC", text)
    if not composed:
        index = _first_decomposed(text)
        findings.report(
            "not-composed", place_in(path, text, index), f"U+{ord(text[index]):04X} is not in composed form"
        )
    return is_open and not tab and composed


def _first_decomposed(text: str) -> int:
    """Where the text begins to differ from its composed form."""
    pairs = zip(text, normalize("NFC", text), strict=False)
    return next((index for index, (one, other) in enumerate(pairs) if one != other), len(text) - 1)


def place_in(path: str, text: str, index: int) -> Origin:
    line_start = text.rfind("\n", 0, index) + 1
    return Origin(path, text.count("\n", 0, index) + 1, index - line_start + 1)
