"""Guests and their interfaces as the site wants them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

from reconciler.model.filter import Parameters
from reconciler.model.origin import Origin
from reconciler.model.probe import Probe


class Attach(StrEnum):
    """Where an interface's addresses are kept: in its guard filter, or on the guest's own filterref."""

    GUARD = "guard"
    DIRECT = "direct"


class Power(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"
    LEAVE = "leave"


class Role(StrEnum):
    """What an interface may do beyond speaking for itself: the site says it of a filter's name."""

    ROUTER = "router"
    DHCP_SERVER = "dhcp-server"


@dataclass(frozen=True, slots=True)
class Interface:
    """One NIC of a guest.

    `ipv4` and `ipv6` hold addresses (/32, /128) and prefixes in the order of the file; empty means that the
    site says `none` for that family. The link-local address is part of `ipv6`. `filter` is the form that the
    families select. `parameters` are the variables that the filter's closure needs, without libvirt's own MAC.
    `surroundings` are the networks of its segment. `forms` are the filters that the site has for the families that an
    interface may have (`dual`, `ipv4`, `ipv6`, `none`), where it has several for one name.
    """

    mac: str
    filter: str
    ipv4: tuple[IPv4Network, ...] = ()
    ipv6: tuple[IPv6Network, ...] = ()
    parameters: Parameters = ()
    attach: Attach = Attach.GUARD
    segment: str | None = None
    bridge: str | None = None
    roles: frozenset[Role] = frozenset()
    surroundings: tuple[IPv4Network | IPv6Network, ...] = ()
    forms: tuple[tuple[str, str], ...] = ()
    origin: Origin | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Guest:
    """One `guests/*.yaml`. `hosts` empty means every host of the site; `autostart` None is not owned.

    Guests of one `group` are never down at once. Nothing is done to a guest on `hold`, or to a filter that it uses.
    `health` is what it answers while it is well.
    """

    name: str
    interfaces: tuple[Interface, ...]
    hosts: tuple[str, ...] = ()
    power: Power = Power.LEAVE
    autostart: bool | None = None
    group: str | None = None
    hold: bool = False
    health: tuple[Probe, ...] = ()
    origin: Origin | None = field(default=None, compare=False)


def guard_name(guest: str, mac: str) -> str:
    """`guard-<guest>-<last six hex digits of the MAC>`, lower case as filter names are."""
    return f"guard-{guest.lower()}-{mac.replace(':', '')[-6:]}"
