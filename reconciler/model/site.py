"""The desired state of all hosts: site.yaml, guests and shared filters, compiled."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from reconciler.model.disruption import Disruption
from reconciler.model.filter import NwFilter
from reconciler.model.guest import Guest
from reconciler.model.ignore import Ignore
from reconciler.model.problem import Problem
from reconciler.model.supplement import FloodLimit


@dataclass(frozen=True, slots=True)
class Segment:
    """A network that guests are attached to. Gateways belong to nobody."""

    name: str
    bridge: str | None = None
    ipv4: tuple[IPv4Network, ...] = ()
    ipv6: tuple[IPv6Network, ...] = ()
    gateways: tuple[IPv4Address | IPv6Address, ...] = ()


class OnTimeout(StrEnum):
    """What becomes of a guest that does not shut down in time: it stays up and the run ends, or it is killed."""

    ABORT = "abort"
    DESTROY = "destroy"


class Rollout(StrEnum):
    """How a changed shared filter reaches the guests: with the fewest rebuilds, or one guard after another."""

    CHEAPEST = "cheapest"
    CANARY = "canary"


class Strategy(StrEnum):
    """How changed filters come into force: while guests run, or by staged files and a restart of the daemon."""

    LIVE = "live"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Window:
    """Hours in which more is allowed: on these days (Monday is 0) from one time up to another, perhaps of the next day.

    Times are minutes since midnight on the clock of `zone` (an IANA name).
    """

    days: frozenset[int]
    begin: int
    end: int
    zone: str
    allow: Disruption


@dataclass(frozen=True, slots=True)
class Policy:
    """What a run may do unasked. `disruption` is the most; more waits for `--allow`, or for one of the `windows`.

    `forbid_widening` makes `check --base` refuse a change that lets more frames through without saying why.
    `shutdown_seconds` is how long a guest may take to shut down; `max_down` how many may be down at once.
    `supplement`: whether our own table has rules for what no rule of nwfilter can look at; `flood_limit`: how often a
    guest may say what it may say.
    """

    disruption: Disruption = Disruption.REBUILD
    prune: bool = False
    forbid_widening: bool = False
    windows: tuple[Window, ...] = ()
    shutdown_seconds: int = 120
    on_timeout: OnTimeout = OnTimeout.ABORT
    max_down: int = 1
    rollout: Rollout = Rollout.CHEAPEST
    strategy: Strategy = Strategy.LIVE
    supplement: bool = False
    flood_limit: FloodLimit | None = None


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
