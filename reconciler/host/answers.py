"""Everything that a host answered at one look, as it was told, before anybody has understood any of it.

What a host is taken for follows from these answers alone (`libvirt_host.inspect`), and what is asked next only from
answers before. So whoever gets the same answers to the same questions need not understand them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from reconciler.host.rule_programs import Command
from reconciler.model.account import Account

if TYPE_CHECKING:
    from reconciler.host.reading import GuestTexts


class FilterText(NamedTuple):
    """A filter as libvirt prints it and the bytes of its file: None where there is no such filter, or no file."""

    name: str
    xml: str | None
    file: bytes | None = None


class Answers:
    """Filled while a host is read, by two threads that never give the same part."""

    def __init__(self, settings: str | None) -> None:
        self.settings = settings
        self.programs: dict[Command, str | None] = {}
        self.guests: tuple[GuestTexts, ...] = ()
        self.bindings: tuple[str, ...] = ()
        self.files: tuple[str, ...] = ()
        self.filters: dict[str, FilterText] = {}
        self.devices: frozenset[str] = frozenset()

    def note(self, found: FilterText) -> FilterText:
        self.filters[found.name] = found
        return found

    def account(self) -> Account:
        digest = sha256()
        for part in self._parts():
            digest.update(flat(part))
        return Account(tuple(sorted(self.programs)), tuple(sorted(self.filters)), digest.hexdigest())

    def _parts(self) -> Iterator[object]:
        """In an order of their own: which answer came first says nothing."""
        yield self.settings
        yield tuple(sorted(self.programs.items()))
        yield len(self.guests)
        yield from sorted(self.guests)
        yield tuple(sorted(self.bindings))
        yield self.files
        yield from (self.filters[name] for name in sorted(self.filters))
        yield tuple(sorted(self.devices))


def flat(value: object) -> bytes:
    """What no other value is written as: lengths go before. `repr` would look at every letter of long texts."""
    into: list[bytes] = []
    _flatten(value, into)
    return b"".join(into)


def _flatten(value: object, into: list[bytes]) -> None:
    if isinstance(value, str):
        text = value.encode(errors="surrogatepass")
        into += (b"s%d:" % len(text), text)
    elif isinstance(value, bytes):
        into += (b"b%d:" % len(value), value)
    elif isinstance(value, tuple):
        into.append(b"t%d:" % len(value))
        for each in value:
            _flatten(each, into)
    else:
        into.append(b"%a:" % (value,))
