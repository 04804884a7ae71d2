"""The desired state of all hosts: site.yaml, guests and shared filters, compiled."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from reconciler.model.filter import NwFilter
from reconciler.model.guest import Guest
from reconciler.model.ignore import Ignore
from reconciler.model.problem import Problem


class Disruption(IntEnum):
    """How much a change interrupts, from least to most (DISRUPTION_NAMES gives the words of the YAML)."""

    NONE = 0
    REBUILD = 1
    DAEMON_RESTART = 2
    GUEST_RESTART = 3

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")

    @classmethod
    def parse(cls, text: str) -> Disruption:
        return cls[text.upper().replace("-", "_")]


@dataclass(frozen=True, slots=True)
class Segment:
    """A network that guests are attached to. Gateways belong to nobody."""

    name: str
    bridge: str | None = None
    ipv4: tuple[IPv4Network, ...] = ()
    ipv6: tuple[IPv6Network, ...] = ()
    gateways: tuple[IPv4Address | IPv6Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """What a run may do unasked. `disruption` is the most; more waits for `--allow`.

    `forbid_widening` makes `check --base` refuse a change that lets more frames through without saying why.
    """

    disruption: Disruption = Disruption.REBUILD
    prune: bool = False
    forbid_widening: bool = False


@dataclass(frozen=True, slots=True)
class Desired:
    """A whole site, valid. `source` tells where it was read: a commit or a folder."""

    guests: tuple[Guest, ...] = ()
    filters: tuple[NwFilter, ...] = ()
    segments: tuple[Segment, ...] = ()
    hosts: tuple[str, ...] = ()
    policy: Policy = Policy()
    ignore: tuple[Ignore, ...] = ()
    source: str = ""
    warnings: tuple[Problem, ...] = field(default=(), compare=False)

    def guests_on(self, host: str) -> tuple[Guest, ...]:
        """Guests that may run on a host; a guest without `hosts` may run anywhere."""
        return tuple(guest for guest in self.guests if not guest.hosts or host in guest.hosts)
