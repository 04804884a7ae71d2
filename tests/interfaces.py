"""Interfaces as the site's loader makes them, for tests of filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from random import Random

from reconciler.model.filter import FilterRef, NwFilter, canonical_parameters
from reconciler.model.guest import Interface, Role
from reconciler.nwfilter.parse import parse_filter

SHARED = Path(__file__).parent.parent / "state" / "filters"
MAC = "52:54:00:00:00:01"
LINK_LOCAL = IPv6Network("fe80::5054:ff:fe00:1")
FORMS = {(True, True): "guest-dual-stack", (True, False): "guest-ipv4", (False, True): "guest-ipv6"}


def shared_filters() -> dict[str, NwFilter]:
    filters = (parse_filter(path.read_bytes(), path.name) for path in sorted(SHARED.glob("*.xml")))
    return {definition.name: definition for definition in filters}


def interface(ipv4: Sequence[str | IPv4Network] = (), ipv6: Sequence[str | IPv6Network] = ()) -> Interface:
    """An interface under the shared filter for its families; with IPv6 it has its link-local address too."""
    networks4 = tuple(IPv4Network(each) for each in ipv4)
    networks6 = (*(IPv6Network(each) for each in ipv6), LINK_LOCAL) if ipv6 else ()
    variables = [(f"IP{suffix}", value) for n in networks4 for suffix, value in _pair(n)]
    variables += [(f"IPV6{suffix}", value) for n in networks6 for suffix, value in _pair(n)]
    form = FORMS.get((bool(ipv4), bool(ipv6)), "guest-locked")
    return Interface(MAC, form, networks4, networks6, canonical_parameters(variables))


def _pair(network: IPv4Network | IPv6Network) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("", str(network.network_address)), ("MASK", str(network.prefixlen))


def filterref(of: Interface) -> FilterRef:
    return FilterRef(of.filter, canonical_parameters((*of.parameters, ("CTRL_IP_LEARNING", "none"))))


def random_interface(random: Random, *, has_ipv4: bool, has_ipv6: bool) -> Interface:
    """One to three addresses and prefixes of each family."""
    ipv4 = [_network4(random) for _ in range(random.randint(1, 3))] if has_ipv4 else []
    ipv6 = [_network6(random) for _ in range(random.randint(1, 3))] if has_ipv6 else []
    return interface(ipv4, ipv6)


def _network4(random: Random) -> IPv4Network:
    address = random.randrange(0x0B000000, 0x7E000000)
    return IPv4Network((address, random.choice((32, 32, 29, 24, 20))), strict=False)


def _network6(random: Random) -> IPv6Network:
    address = (0x20010DB8 << 96) | random.getrandbits(96)
    return IPv6Network((address, random.choice((128, 128, 112, 64))), strict=False)


SEGMENT = (IPv4Network("10.0.0.0/8"), IPv6Network("2001:db8::/40"))
SEGMENT_VARIABLES = (("SEGMENT", "10.0.0.0"), ("SEGMENTMASK", "8"), ("SEGMENT6", "2001:db8::"), ("SEGMENT6MASK", "40"))


def special(form: str, *roles: Role, parameters: tuple[tuple[str, str], ...] = SEGMENT_VARIABLES) -> Interface:
    """An interface with a special filter, with the families that the filter's name says."""
    family = form.rpartition("-")[2]
    own = interface(
        ["10.0.0.10", "10.0.1.16/29"] if family != "ipv6" else [],
        ["2001:db8::10", "2001:db8:5::/64"] if family != "ipv4" else [],
    )
    variables = canonical_parameters((*own.parameters, *parameters))
    return replace(own, filter=form, roles=frozenset(roles), surroundings=SEGMENT, parameters=variables)


ROUTER, SERVER = Role.ROUTER, Role.DHCP_SERVER
SPECIAL = [
    *(special(f"guest-router{family}", ROUTER) for family in ("", "-ipv4", "-ipv6")),
    *(special(f"guest-dhcp-server{family}", SERVER, parameters=()) for family in ("", "-ipv4", "-ipv6")),
    *(special(f"guest-gateway{family}", ROUTER, SERVER) for family in ("", "-ipv4")),
    *(special(f"guest-dhcp-client{f}", parameters=(("DHCPSERVER", "10.0.0.1"),)) for f in ("", "-ipv4")),
]

INEXPRESSIBLE = {
    "nd-na-foreign-target",
    "nd-na-foreign-option",
    "nd-ns-foreign-option",
    "nd-rs-foreign-option",
    "nd-dad-foreign-target",
    "nd-na-foreign-second-option",
    "nd-na-foreign-target-hop-by-hop",
    "nd-na-foreign-target-destination",
    "nd-na-foreign-target-fragment",
    "nd-ns-cut",
    "nd-na-cut",
    "ext-hidden-message",
    "ext-hidden-datagram",
}
"""Cases that leak under every filter which lets an own IPv6 address pass."""
