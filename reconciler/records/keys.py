"""Names of what is kept: digests of all that an answer depends on, the program that found it included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

from reconciler.records.program import program_mark

if TYPE_CHECKING:
    from reconciler.model.problem import Oddity


def key_of(*parts: bytes) -> str:
    """Of these parts, in this order, read by this program."""
    digest = sha256()
    for part in (program_mark(), *parts):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def site_key(files: Mapping[str, bytes], source: str, odd: Iterable[Oddity]) -> str:
    """Of a site: its files, where they are from, and what else is in its folders."""
    return key_of(*_parts(files, source, odd))


def _parts(files: Mapping[str, bytes], source: str, odd: Iterable[Oddity]) -> Iterator[bytes]:
    yield source.encode()
    yield repr(sorted(map(repr, odd))).encode()
    for name in sorted(files):
        yield name.encode(errors="surrogateescape")
        yield files[name]
