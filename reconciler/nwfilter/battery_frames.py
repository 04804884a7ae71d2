"""Bytes of test frames, built with scapy: the only importer of it among the pure parts."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw
from scapy.utils import checksum

from reconciler.nwfilter.battery import ROUTER_MAC

BROADCAST_MAC = "ff:ff:ff:ff:ff:ff"
ALL_NODES_MAC = "33:33:00:00:00:01"
ZERO_MAC = "00:00:00:00:00:00"
ANYWHERE_IPV4 = "198.51.100.1"
ANYWHERE_IPV6 = "2001:db8:fffe::1"

Layer = Any
"""A scapy packet; scapy has no types."""


def ether(source: str, payload: Layer, destination: str = ROUTER_MAC, ethertype: int | None = None) -> bytes:
    header = Ether(src=source, dst=destination)
    if ethertype is not None:
        header.type = ethertype
    header.add_payload(payload)  # scapy's / copies both
    return bytes(header)


def raw(label: str) -> Layer:
    """A payload that tells one case's frame from all others."""
    return Raw(label.encode())


def ipv4(source: IPv4Address | str, payload: Layer, destination: str = ANYWHERE_IPV4, **fields: Any) -> Layer:
    return IP(src=str(source), dst=destination, **fields) / payload


def ipv6(source: IPv6Address | str, payload: Layer, destination: str = ANYWHERE_IPV6, **fields: Any) -> Layer:
    return IPv6(src=str(source), dst=destination, **fields) / payload


def udp(label: str, source: int = 40000, destination: int = 40001) -> Layer:
    return UDP(sport=source, dport=destination) / raw(label)


def tcp(label: str) -> Layer:
    return TCP(sport=40000, dport=443, flags="S") / raw(label)


def arp(label: str, operation: int, sender: str, address: IPv4Address | str, target: IPv4Address | str) -> Layer:
    """An ARP packet that asks for or tells `target`, padded with a label."""
    packet = ARP(op=operation, hwsrc=sender, psrc=str(address), hwdst=ZERO_MAC, pdst=str(target))
    return packet / raw(label)


def igmp_report(group: str = "224.0.0.251") -> Layer:
    """An IGMPv2 report; a bridge that snoops drops a malformed one itself."""
    message = b"\x16\0\0\0" + IPv4Address(group).packed
    return Raw(message[:2] + checksum(message).to_bytes(2, "big") + message[4:])


def tagged(payload: Layer, identifier: int, ethertype: int | None = None) -> Layer:
    return (Dot1Q(vlan=identifier) if ethertype is None else Dot1Q(vlan=identifier, type=ethertype)) / payload


def hop_by_hop(payload: Layer) -> Layer:
    """Behind a hop-by-hop header with a router alert, as MLD needs it."""
    return IPv6ExtHdrHopByHop(options=[RouterAlert()]) / payload


def destination_options(payload: Layer) -> Layer:
    return IPv6ExtHdrDestOpt() / payload


def first_fragment(payload: Layer, identifier: int, *, more: bool = True) -> Layer:
    return IPv6ExtHdrFragment(offset=0, m=int(more), id=identifier) / payload


def cut_fragment(protocol: int, identifier: int) -> Layer:
    """A first fragment that ends within destination options of 264 bytes, before what they announce."""
    padding = bytes((protocol, 32, 1, 252)) + b"\0" * 252
    return IPv6ExtHdrFragment(offset=0, m=1, id=identifier, nh=60) / Raw(padding)


def first_piece(message: Layer, protocol: int, identifier: int) -> Layer:
    """A first fragment that ends within a message, after 16 of its bytes."""
    message.cksum = 0  # no one can compute it without the rest
    return IPv6ExtHdrFragment(offset=0, m=1, id=identifier, nh=protocol) / Raw(bytes(message)[:16])


def later_fragment(label: str, protocol: int, identifier: int) -> Layer:
    return IPv6ExtHdrFragment(offset=8, m=0, id=identifier, nh=protocol) / raw(label)
