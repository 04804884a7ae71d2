"""Guests whose files were found without a fault before: only the others are read again. Safe to delete.

One entry for each place that sites are read from has the guests of its last examination, and no others. A guest's part
of it is named by a digest of its path and its bytes, and made by exactly this program; what it depends on beside
them are its terms, which whoever asks compares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from reconciler.model.faultless import Faultless
from reconciler.records.kept import read_kept, write_kept
from reconciler.records.keys import key_of
from reconciler.records.plain import from_plain, to_plain


class KeptGuests:
    """A `Memory` below the state folder. One that does not write leaves what an examination of another site found."""

    def __init__(self, var: Path, place: str, *, writes: bool = True) -> None:
        self._folder = var / "guests"
        self._key = key_of(place.encode(errors="surrogateescape"))
        self._writes = writes
        self._parts: dict[str, bytes] = {}
        self._recalled: dict[str, Faultless] = {}

    def recall(self, files: Mapping[str, bytes]) -> Mapping[str, Faultless]:
        body = read_kept(self._folder, self._key) or b""
        self._parts = {name.decode(): part for name, _, part in (line.partition(b" ") for line in body.splitlines())}
        wanted = {path: part for path, content in files.items() if (part := self._parts.get(_name(path, content)))}
        with suppress(ValueError, TypeError, KeyError, RecursionError):
            plain = json.loads(b"[" + b",".join(wanted.values()) + b"]")
            self._recalled = {path: from_plain(Faultless, each) for path, each in zip(wanted, plain, strict=True)}
        return self._recalled

    def keep(self, files: Mapping[str, bytes], found: Mapping[str, Faultless]) -> None:
        if not self._writes:
            return
        parts = {_name(path, files[path]): self._part(path, files[path], each) for path, each in found.items()}
        if parts != self._parts:
            lines = (name.encode() + b" " + part for name, part in parts.items())
            write_kept(self._folder, self._key, b"\n".join(lines))

    def _part(self, path: str, content: bytes, guest: Faultless) -> bytes:
        """What was recalled need not be written anew."""
        if self._recalled.get(path) is guest:
            return self._parts[_name(path, content)]
        return json.dumps(to_plain(guest), separators=(",", ":")).encode()


def _name(path: str, content: bytes) -> str:
    return sha256(path.encode(errors="surrogateescape") + b"\0" + content).hexdigest()
