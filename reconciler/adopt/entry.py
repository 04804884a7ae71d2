"""One interface as the site will say it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from reconciler.model.adoption import Omission
from reconciler.model.guest import Attach

Network = IPv4Network | IPv6Network

BY_HAND = (
    "write it into the guest's file by hand: the first apply then changes its filterref, with its port closed meanwhile"
)


class Inexpressible(Exception):
    """The site cannot say this exactly: a sentence, and whose turn it is."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Variables:
    """The variables of a filterref by their meaning; link-local addresses are part of `ipv6`."""

    ipv4: tuple[IPv4Network, ...] = ()
    ipv6: tuple[IPv6Network, ...] = ()
    segment: tuple[Network, ...] = ()
    others: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """An interface of a guest, its filter, and what that filter is given."""

    guest: str
    mac: str
    filter: str
    attach: Attach
    bridge: str | None = None
    given: Variables = Variables()

    @property
    def path(self) -> str:
        return f"guests/{self.guest}.yaml"

    @property
    def object(self) -> str:
        return f"guest/{self.guest}/{self.mac}"

    def without(self, why: Inexpressible) -> Omission:
        return Omission(self.object, why.reason, why.hint)
