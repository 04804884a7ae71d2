"""Guests between their files and the model: what was written, and where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.load.files import GuestFile, InterfaceEntry
from reconciler.load.node import Node
from reconciler.load.shape import Shaped
from reconciler.load.values import link_local_of

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    from reconciler.load.values import IPNetwork


@dataclass(slots=True)
class InterfaceDraft:
    """One interface of a file. `ipv6` has its link-local address, last, unless the file says none."""

    guest: str
    entry: InterfaceEntry
    node: Node
    ipv4: tuple[IPv4Network, ...] = field(init=False)
    ipv6: tuple[IPv6Network, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.ipv4 = () if isinstance(self.entry.ipv4, str) else tuple(self.entry.ipv4)
        self.ipv6 = () if isinstance(self.entry.ipv6, str) else self._with_link_local(self.entry.ipv6)

    def _with_link_local(self, listed: list[IPv6Network]) -> tuple[IPv6Network, ...]:
        if isinstance(self.entry.link_local, str):
            return tuple(listed)
        link_local = self.entry.link_local or link_local_of(self.entry.mac)
        return tuple(listed) if any(map(link_local.subnet_of, listed)) else (*listed, link_local)

    def addresses(self) -> list[tuple[IPNetwork, Node]]:
        """Every address with the value that says it; for a derived link-local address that is the MAC."""
        link_local = self.node.at("link_local" if "link_local" in self.node.fields else "mac")
        ipv4, ipv6 = self.node.at("ipv4").items, self.node.at("ipv6").items
        return [
            *zip(self.ipv4, ipv4, strict=True),
            *zip(self.ipv6, (*ipv6, link_local), strict=False),
        ]


@dataclass(slots=True)
class GuestDraft:
    """One file of guests/."""

    file: GuestFile
    node: Node
    interfaces: tuple[InterfaceDraft, ...]

    @classmethod
    def of(cls, shaped: Shaped[GuestFile]) -> GuestDraft:
        nodes = shaped.node.at("interfaces").items
        entries = shaped.model.interfaces
        interfaces = (InterfaceDraft(shaped.model.name, e, n) for e, n in zip(entries, nodes, strict=True))
        return cls(shaped.model, shaped.node, tuple(interfaces))


def given_parameters(draft: InterfaceDraft) -> tuple[tuple[str, str], ...]:
    """Other variables as the file gives them, a list as one text."""
    return tuple((name, str(value)) for name, value in draft.entry.parameters.items())
