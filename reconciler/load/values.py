"""The words of a site's YAML, one at a time: text in, a value or `Invalid` out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from reconciler.load.findings import Invalid, shown

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

SHARED_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
GUEST_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
BRIDGE_NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,14}$"
PARAMETER_NAME = r"^[A-Za-z0-9_]+$"
PARAMETER_VALUE = r"^[A-Za-z0-9_.:]+$"
REASON = r"^.*[A-Za-z0-9].*$"
MAC = r"^[0-9A-Fa-f]{1,2}([:-][0-9A-Fa-f]{1,2}){5}$"

CLOCK_TIME = r"^([01][0-9]|2[0-4]):[0-5][0-9]$"
END_OF_DAY = 24 * 60
_MACHINES_OWN_ZONE = re.compile("localtime|posixrules|Factory|(posix|right)/.*")

SEGMENT_VARIABLES = {4: ("SEGMENT", "SEGMENTMASK"), 6: ("SEGMENT6", "SEGMENT6MASK")}
"""Carry the networks of an interface's segment, by IP version, where a filter uses them."""

TYPED_VARIABLES = frozenset(
    {"MAC", "IP", "IPMASK", "IPV6", "IPV6MASK", "CTRL_IP_LEARNING", *SEGMENT_VARIABLES[4], *SEGMENT_VARIABLES[6]}
)

_IPV4_TEXT = re.compile(r"[0-9.]+(/[0-9]{1,2})?")
_IPV6_TEXT = re.compile(r"[0-9A-Fa-f:.]+(/[0-9]{1,3})?")
OWN = "own"
LINK_LOCAL = IPv6Network("fe80::/10")
_BEHIND_THE_PREFIX = LINK_LOCAL.max_prefixlen - LINK_LOCAL.prefixlen
_LINK_LOCAL_PREFIX = int(LINK_LOCAL.network_address) >> _BEHIND_THE_PREFIX


def bounds(network: IPNetwork) -> tuple[int, int]:
    """First and last address of a network as numbers, which compare much faster than the objects."""
    first = int(network.network_address)
    return first, first | int(network.hostmask)


def lies_in_link_local(network: IPNetwork) -> bool:
    if network.version != LINK_LOCAL.version or network.prefixlen < LINK_LOCAL.prefixlen:
        return False
    return int(network.network_address) >> _BEHIND_THE_PREFIX == _LINK_LOCAL_PREFIX


def _reserved(text: str, kind: str) -> tuple[int, int, int, str]:
    network = ip_network(text)
    return (network.version, *bounds(network), f"{kind} space ({network})")


_NOT_FOR_GUESTS = (
    _reserved("0.0.0.0/8", "unspecified"),
    _reserved("127.0.0.0/8", "loopback"),
    _reserved("224.0.0.0/4", "multicast"),
    _reserved("255.255.255.255/32", "broadcast"),
    _reserved("::/128", "unspecified"),
    _reserved("::1/128", "loopback"),
    _reserved("::ffff:0:0/96", "IPv4-mapped"),
    _reserved("ff00::/8", "multicast"),
)


def matching(pattern: str, id: str, what: str) -> Callable[[str], str]:
    """A check that a text matches a pattern, which is written as JSON Schema wants it: with its ends."""
    expression = re.compile(pattern.removeprefix("^").removesuffix("$"))

    def check(text: str) -> str:
        if not expression.fullmatch(text):
            raise Invalid(id, f"{shown(text)} is not {what}")
        return text

    return check


def parse_clock_time(text: str) -> int:
    """Minutes since midnight; 24:00 is the end of the day."""
    hours, _, minutes = text.partition(":")
    if not re.fullmatch(CLOCK_TIME, text) or (hours == "24" and minutes != "00"):
        raise Invalid("time-invalid", f"{shown(text)} is no time of day")
    return int(hours) * 60 + int(minutes)


def check_time_zone(name: str) -> str:
    """An IANA name that this machine, or the package tzdata, knows."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        is_known = not _MACHINES_OWN_ZONE.fullmatch(name) and ZoneInfo(name) is not None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        is_known = False
    if not is_known:
        raise Invalid("time-zone-unknown", f"there is no time zone {shown(name)}")
    return name


def is_shared_name(text: str) -> bool:
    """Whether a filter, a host or a segment can be called so."""
    return re.fullmatch(SHARED_NAME, text) is not None


def check_reason(text: str) -> str:
    """A line of words, without the spaces around them."""
    if not re.fullmatch(REASON, text) or not text.isprintable():
        raise Invalid("ignore-reason", f"{shown(text)} is no reason that a person can read on one line")
    return text.strip()


_is_parameter_name = matching(PARAMETER_NAME, "parameter-name-invalid", "a name that libvirt keeps")


def check_parameter_name(name: str) -> str:
    if name in TYPED_VARIABLES:
        raise Invalid("parameter-reserved", f"the variable {name} is not set under parameters")
    return _is_parameter_name(name)


def parse_mac(text: str) -> str:
    """A unicast MAC as libvirt prints it: lower case, colons, two digits each."""
    octets = [int(part, 16) for part in re.split("[:-]", text)] if re.fullmatch(MAC, text) else []
    if not octets or len(set(re.findall("[:-]", text))) > 1:
        raise Invalid("mac-invalid", f"{shown(text)} is not a MAC address")
    if octets[0] & 1:
        raise Invalid("mac-not-unicast", f"{text} is a multicast MAC; a guest cannot own it")
    if not any(octets):
        raise Invalid("mac-not-unicast", f"{text} is the empty MAC; a guest cannot own it")
    if octets[0] == 0xFE:
        raise Invalid("mac-reserved", f"{text} starts with fe, which libvirt keeps for the host's end of a port")
    return ":".join(f"{octet:02x}" for octet in octets)


def parse_ipv4(text: str) -> IPv4Network:
    """An IPv4 address (as /32) or prefix."""
    if ":" in text:
        raise Invalid("address-invalid", f"{shown(text)} is not an IPv4 address", "put IPv6 addresses under ipv6")
    if not _IPV4_TEXT.fullmatch(text):
        raise Invalid("address-invalid", f"{shown(text)} is not an IPv4 address or prefix", _hint_at_none(text))
    try:
        network = IPv4Network(text, strict=False)
    except ValueError as error:
        raise Invalid("address-invalid", f"{shown(text)} is not an IPv4 address or prefix") from error
    _refuse_host_bits(text, network)
    return network


def parse_ipv6(text: str) -> IPv6Network:
    """An IPv6 address (as /128) or prefix."""
    if "." in text and ":" not in text:
        raise Invalid("address-invalid", f"{shown(text)} is not an IPv6 address", "put IPv4 addresses under ipv4")
    if not _IPV6_TEXT.fullmatch(text):
        raise Invalid("address-invalid", f"{shown(text)} is not an IPv6 address or prefix", _hint_at_none(text))
    try:
        network = IPv6Network(text, strict=False)
    except ValueError as error:
        raise Invalid("address-invalid", f"{shown(text)} is not an IPv6 address or prefix") from error
    _refuse_host_bits(text, network)
    return network


def _hint_at_none(text: str) -> str:
    return "for no addresses of the family write none alone, not in a list" if text.casefold() == "none" else ""


def _refuse_host_bits(text: str, network: IPNetwork) -> None:
    address, _, length = text.partition("/")
    if length and ip_address(address) != network.network_address:
        raise Invalid(
            "prefix-host-bits",
            f"{text} has bits set behind its prefix length",
            f"write {network} for the network or {address} for the one address",
        )


def parse_guest_ipv4(text: str) -> IPv4Network:
    network = parse_ipv4(text)
    _refuse_special(text, network)
    return network


def parse_guest_ipv6(text: str) -> IPv6Network:
    network = parse_ipv6(text)
    _refuse_special(text, network)
    return network


def _refuse_special(text: str, network: IPNetwork, owner: str = "guest") -> None:
    first, last = bounds(network)
    for version, reserved_first, reserved_last, kind in _NOT_FOR_GUESTS:
        if version == network.version and first <= reserved_last and reserved_first <= last:
            verb = "lies in" if reserved_first <= first and last <= reserved_last else "covers"
            raise Invalid("address-special", f"{text} {verb} {kind}, which no {owner} can own")


def parse_gateway(text: str) -> IPAddress:
    try:
        address = ip_address(text) if "%" not in text else None
    except ValueError:
        address = None
    if address is not None:
        _refuse_special(text, ip_network(address), "router")
        return address
    raise Invalid("address-invalid", f"{shown(text)} is not an IPv4 or IPv6 address")


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """What a probe asks: an address, or None for each of the guest's own."""

    address: IPAddress | None = None
    port: int | None = None


def parse_ping(text: str) -> ProbeTarget:
    if text == OWN:
        return ProbeTarget()
    try:
        address = ip_address(text) if "%" not in text else None
    except ValueError:
        address = None
    if address is None:
        raise Invalid("probe-invalid", f"{shown(text)} is neither an address nor {OWN}")
    if address in LINK_LOCAL:
        raise Invalid("probe-invalid", f"{address} is good on its link only, so the host cannot ask it")
    return ProbeTarget(address)


def parse_tcp(text: str) -> ProbeTarget:
    """ADDRESS:PORT, [ADDRESS]:PORT or own:PORT."""
    place, _, port = text.rpartition(":")
    is_bracketed = place.startswith("[") and place.endswith("]")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536 or (":" in place) != is_bracketed:
        raise Invalid("probe-invalid", f"{shown(text)} is no ADDRESS:PORT, [IPV6]:PORT or {OWN}:PORT")
    return ProbeTarget(parse_ping(place.strip("[]")).address, int(port))


def parse_link_local(text: str) -> IPv6Network:
    network = parse_ipv6(text)
    if network.prefixlen != network.max_prefixlen or not network.subnet_of(LINK_LOCAL):
        raise Invalid("link-local-invalid", f"{text} is not one link-local address (fe80::…)")
    return network


def link_local_of(mac: str) -> IPv6Network:
    """The address that a host derives from its MAC (RFC 4291, modified EUI-64)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    interface_id = bytes([octets[0] ^ 0x02, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return IPv6Network((b"\xfe\x80" + bytes(6) + interface_id, 128))
