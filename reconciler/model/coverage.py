"""How well an interface is held to what it owns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from reconciler.model.guest import Interface

if TYPE_CHECKING:
    from reconciler.model.outcome import Proof


class Flag(StrEnum):
    """What a reader should know of an interface's filter, worst first."""

    UNFILTERED = "unfiltered"
    DO_NOT_MIGRATE = "do-not-migrate"
    TRUSTS_GUEST = "trusts-guest"
    ADDRESS_LEARNING = "address-learning"
    IPV4_ONLY = "ipv4-only"
    NO_RA_GUARD = "no-ra-guard"
    NO_ND_GUARD = "no-nd-guard"
    NO_DHCP_SERVER_GUARD = "no-dhcp-server-guard"
    WIDE_PREFIX = "wide-prefix"


@dataclass(frozen=True, slots=True)
class Coverage:
    """The verdicts on an interface's battery, counted; cases that no nwfilter rule can express count as any other.

    `leaks` are the ids of cases that must be dropped and pass.
    """

    flags: tuple[Flag, ...]
    leaks: tuple[str, ...]
    right: int
    total: int

    @property
    def score(self) -> float:
        """The share of cases that are right, from 0 to 1."""
        return self.right / self.total


@dataclass(frozen=True, slots=True)
class FilterCoverage:
    """What a filter does wrong on the battery of the first of its interfaces of one kind, by case ids.

    `leaks` must be dropped and pass, `inexpressible` ones are those that no nwfilter rule can stop, `stops` must pass
    and are dropped. With a `total` of 0 nothing was judged.
    """

    filter: str
    guest: str
    interfaces: int
    total: int = 0
    leaks: tuple[str, ...] = ()
    inexpressible: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """The first interface of one kind, by which its filter is judged, and how many there are of that kind.

    `neighbours` are addresses that it does not own.
    """

    guest: str
    interface: Interface
    neighbours: tuple[IPv4Address | IPv6Address, ...]
    interfaces: int

    @property
    def unjudged(self) -> FilterCoverage:
        return FilterCoverage(self.interface.filter, self.guest, self.interfaces)


@dataclass(frozen=True, slots=True)
class InterfaceStatus:
    """One line of `status`. `state` is None where no host was asked, `coverage` where its rules are not known.

    `filter` is the shared filter behind a guard, and what the port really has where that is not the site's.
    `unsafe_migration` says why its guest must not be migrated now, empty where it may. `trusts_guest`: libvirt follows
    on the host what the guest says of its MACs, whatever the filter is.
    """

    guest: str
    mac: str
    filter: str | None
    state: Proof | None = None
    port: str | None = None
    coverage: Coverage | None = None
    unsafe_migration: str = ""
    trusts_guest: bool = False

    @property
    def flags(self) -> tuple[Flag, ...]:
        """Those of its filter, and beside it whether its guest has to stay where it is, and is trusted."""
        own = (Flag.DO_NOT_MIGRATE,) if self.unsafe_migration else ()
        trusted = (Flag.TRUSTS_GUEST,) if self.trusts_guest else ()
        return (*own, *trusted, *(self.coverage.flags if self.coverage else ()))


@dataclass(frozen=True, slots=True)
class Unmanaged:
    """What a host has and the site does not name: no drift, and nobody here looks after it.

    `interfaces` are those of managed guests, as guest and MAC. libvirt's own filters, as far as they were packaged, are
    left out.
    """

    guests: tuple[str, ...] = ()
    interfaces: tuple[tuple[str, str], ...] = ()
    filters: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.guests or self.interfaces or self.filters)
