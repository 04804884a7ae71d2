"""A frame as rules see it: the fields that nwfilter can match, decoded, without bytes."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

BROADCAST_MAC = "ff:ff:ff:ff:ff:ff"

ETHERTYPES = {"IPv4": 0x0800, "ARP": 0x0806, "RARP": 0x8035, "802_1Q": 0x8100, "IPv6": 0x86DD}


@dataclass(frozen=True, slots=True)
class Arp:
    """An ARP or RARP payload; `operation` 1 request, 2 reply, 3 reverse request."""

    operation: int
    sender_mac: str
    sender_ip: IPv4Address
    target_mac: str
    target_ip: IPv4Address


@dataclass(frozen=True, slots=True)
class Transport:
    """What follows the IP header and its extension headers. Ports, or ICMP type and code."""

    protocol: int
    source_port: int | None = None
    destination_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None


@dataclass(frozen=True, slots=True)
class Packet:
    """An IPv4 or IPv6 packet."""

    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    transport: Transport


@dataclass(frozen=True, slots=True)
class Frame:
    """An Ethernet frame that a guest sends."""

    source: str
    destination: str
    ethertype: int
    payload: Arp | Packet | None = None
