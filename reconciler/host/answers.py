"""What a host answered at one look, as it was told, before anybody has understood any of it.

What a host is taken for follows from these answers alone (`libvirt_host.inspect`), and what is asked next only from
answers before. So whoever gets the same answers to the same questions need not understand them again.
"""

from __future__ import annotations

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
    """Filled while a host is read, by two threads that never give the same part.

    Of each guest and filter only a digest is kept: of ten thousand the texts would take a hundred megabytes.
    """

    def __init__(self, settings: str | None) -> None:
        self.settings = settings
        self.programs: dict[Command, str | None] = {}
        self.guests: list[bytes] = []
        self.bindings: tuple[str, ...] = ()
        self.files: tuple[str, ...] = ()
        self.filters: dict[str, bytes] = {}
        self.devices: frozenset[str] = frozenset()

    def note_guest(self, found: GuestTexts) -> bytes:
        """The digest by which the same texts are known again."""
        self.guests.append(digest := sha256(flat(found)).digest())
        return digest

    def note_filter(self, found: FilterText) -> bytes:
        """The digest by which the same texts are known again."""
        self.filters[found.name] = digest = sha256(flat(found)).digest()
        return digest

    def account(self) -> Account:
        """In an order of its own: which answer came first says nothing."""
        told = (
            self.settings,
            tuple(sorted(self.programs.items())),
            tuple(sorted(self.guests)),
            tuple(sorted(self.bindings)),
            self.files,
            tuple(sorted(self.filters.items())),
            tuple(sorted(self.devices)),
        )
        return Account(tuple(sorted(self.programs)), tuple(sorted(self.filters)), sha256(flat(told)).hexdigest())


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
