"""A frame as rules see it: the fields that nwfilter can match, decoded, without bytes.

None stands for what the kernel cannot read, because the frame is cut off, a later fragment, or of another form: then
neither a match of that field holds nor its inversion.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

BROADCAST_MAC = "ff:ff:ff:ff:ff:ff"

ETHERTYPES = {"IPv4": 0x0800, "ARP": 0x0806, "RARP": 0x8035, "802_1Q": 0x8100, "IPv6": 0x86DD}


@dataclass(frozen=True, slots=True)
class Arp:
    """An ARP or RARP payload; `operation` 1 request, 2 reply, 3 reverse request."""

    operation: int
    sender_mac: str | None
    sender_ip: IPv4Address | None
    target_mac: str | None
    target_ip: IPv4Address | None
    hardware_type: int = 1
    protocol_type: int = 0x0800


@dataclass(frozen=True, slots=True)
class Transport:
    """What follows the IP header and its extension headers. Ports, or ICMP type and code.

    `protocol` is None where IPv6's chain of headers ends or breaks off before one; it is 44, the fragment header's
    own, on a later IPv6 fragment, as ipv6_skip_exthdr() has it.
    """

    protocol: int | None
    source_port: int | None = None
    destination_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    tcp_flags: int | None = None
    tcp_options: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Packet:
    """An IPv4 or IPv6 packet; `tos` is the whole byte, of IPv6 the traffic class.

    `fragment_of` is what a later IPv6 fragment is part of: iptables sees that protocol, ebtables does not.
    `next_header` is what the IPv6 header itself says follows it; None where that is the transport.
    """

    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    transport: Transport
    tos: int = 0
    fragment_of: int | None = None
    next_header: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Vlan:
    """The outer tag of a frame, and the type of what it wraps: another tag's, or 4 for a length (802.2)."""

    id: int
    priority: int
    encapsulated: int


@dataclass(frozen=True, slots=True)
class BpduConfig:
    """A configuration message of the spanning tree protocol, at the offsets that ebt_stp reads."""

    flags: int
    root_priority: int
    root_address: str
    root_cost: int
    sender_priority: int
    sender_address: str
    port: int
    message_age: int
    max_age: int
    hello_time: int
    forward_delay: int


@dataclass(frozen=True, slots=True)
class Bpdu:
    """A bridge's message that ebt_stp takes for one."""

    type: int
    config: BpduConfig | None


Payload = Arp | Packet | Vlan | Bpdu


@dataclass(frozen=True, slots=True)
class Frame:
    """An Ethernet frame. `ethertype` is that of the outermost header, below 0x600 a length.

    `network` are the bytes behind the Ethernet header and an outer tag, where they are known.
    """

    source: str
    destination: str
    ethertype: int
    payload: Payload | None = None
    network: bytes | None = field(default=None, compare=False, repr=False)


class State(StrEnum):
    """What connection tracking says of a packet."""

    NEW = "NEW"
    ESTABLISHED = "ESTABLISHED"
    RELATED = "RELATED"
    INVALID = "INVALID"
    UNTRACKED = "UNTRACKED"


@dataclass(frozen=True, slots=True)
class Flow:
    """The connection that a packet belongs to: its state, whether this is an answer, and how many its source has."""

    state: State = State.NEW
    answer: bool = False
    connections: int = 1
