"""The bytes of a frame that `trace` describes; built with scapy, so imported only where one is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from ipaddress import IPv4Address, ip_address
from operator import truediv

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6Unknown,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import ARP, LLC, STP, Dot1Q, Dot3, Ether

from reconciler.errors import UsageError
from reconciler.model.guest import Interface
from reconciler.nwfilter.battery import ROUTER_MAC, Direction
from reconciler.nwfilter.battery_frames import (
    ANYWHERE_IPV4,
    ANYWHERE_IPV6,
    BROADCAST_MAC,
    ZERO_MAC,
    raw,
)
from reconciler.nwfilter.battery_frames import Layer as Packet
from reconciler.nwfilter.names import BRIDGE_GROUP
from reconciler.nwfilter.trace import Layer, Value

Fields = Mapping[str, Value]

_PROTOCOLS = {"udp": 17, "tcp": 6, "icmp": 1, "icmpv6": 58}
_MESSAGES = {
    128: ICMPv6EchoRequest, 129: ICMPv6EchoReply, 133: ICMPv6ND_RS, 134: ICMPv6ND_RA, 135: ICMPv6ND_NS,
    136: ICMPv6ND_NA, 137: ICMPv6ND_Redirect,
}  # fmt: skip
_TO_ALL_NODES = {*range(130, 133), *range(134, 138)}
_ALL_NODES, _ALL_ROUTERS, _MLD_ROUTERS = "ff02::1", "ff02::2", "ff02::16"


@dataclass(frozen=True, slots=True)
class _Ends:
    """What a frame has on both ends when its words do not say: the guest's own on one, a router's on the other."""

    interface: Interface
    to_guest: bool

    def own(self, word: str, field: str) -> str:
        """The interface's first address of a layer's family, for that field. UsageError where it has none."""
        networks = self.interface.ipv6 if word == "ipv6" else self.interface.ipv4
        if not networks:
            family = "IPv6" if word == "ipv6" else "IPv4"
            message = f"the interface {self.interface.mac} has no {family} address of its own; the frame must say one"
            raise UsageError(message, hint=f"write `{word} {field} ADDRESS`")
        return str(networks[0][0])

    def source_mac(self) -> str:
        return ROUTER_MAC if self.to_guest else self.interface.mac


def frame_of(layers: tuple[Layer, ...], interface: Interface, direction: Direction) -> bytes:
    """The bytes of a described frame. UsageError where it needs an own address that the interface does not have."""
    ends = _Ends(interface, direction is Direction.IN)
    mac = layers[0].fields if layers[0].word == "mac" else {}
    inner = layers[1:] if layers[0].word == "mac" else layers
    if inner and inner[0].word == "stp":
        return bytes(_bridge_message(mac, ends))
    tags = [layer.fields for layer in inner if layer.word == "vlan"]
    network = inner[len(tags) :]
    payload = _network(network, ends)
    header = Ether(src=mac.get("src", ends.source_mac()), dst=mac.get("dst") or _destination_mac(payload, ends))
    headers = [header, *(Dot1Q(vlan=tag["id"], prio=tag.get("prio", 0)) for tag in tags)]
    if network and network[0].word == "rarp":
        headers[-1].type = 0x8035
    for each, given in zip(headers, (mac, *tags), strict=True):
        if "ethertype" in given:
            each.type = given["ethertype"]
    return bytes(reduce(truediv, [*headers, payload]))


def _bridge_message(mac: Fields, ends: _Ends) -> Packet:
    source = mac.get("src", ends.source_mac())
    message = LLC() / STP(rootmac=ends.source_mac(), bridgemac=ends.source_mac())
    return Dot3(src=source, dst=mac.get("dst", BRIDGE_GROUP)) / message


def _destination_mac(payload: Packet, ends: _Ends) -> str:
    """The MAC of a group or of all where the packet goes there, else that of the guest or of a router."""
    if isinstance(payload, ARP) and payload.op in (1, 3):
        return BROADCAST_MAC
    target = ip_address(payload.dst) if isinstance(payload, IP | IPv6) else None
    if target == IPv4Address("255.255.255.255"):
        return BROADCAST_MAC
    if target is not None and target.is_multicast:
        number = int(target) & 0xFFFFFFFF
        number = 0x333300000000 | number if target.version == 6 else 0x01005E000000 | number & 0x7FFFFF
        return number.to_bytes(6, "big").hex(":")
    return ends.interface.mac if ends.to_guest else ROUTER_MAC


def _network(layers: tuple[Layer, ...], ends: _Ends) -> Packet:
    if not layers:
        return raw("trace")
    first, *rest = layers
    match first.word:
        case "arp" | "rarp":
            return _arp(first, ends)
        case "ip":
            return _ipv4(first.fields, rest, ends)
        case _:
            return _ipv6(first.fields, rest, ends)


def _arp(layer: Layer, ends: _Ends) -> Packet:
    """An ARP between the two ends, or QEMU's announcement of a MAC, which names no address."""
    given = layer.fields
    reverse = layer.word == "rarp"
    operation = given.get("operation", 3 if reverse else 1)
    near, far = ("target", "sender") if ends.to_guest else ("sender", "target")
    addresses = {name: given.get(name) for name in (near, far)}
    addresses[near] = addresses[near] or ("0.0.0.0" if reverse else ends.own("arp", near))
    addresses[far] = addresses[far] or ("0.0.0.0" if reverse else ANYWHERE_IPV4)
    length = int(given.get("mac-length", 6))
    return ARP(
        op=operation,
        hwlen=length,
        hwsrc=_hardware(given.get("sender-mac", ends.source_mac()), length),
        psrc=str(addresses["sender"]),
        hwdst=_hardware(given.get("target-mac", ends.source_mac() if reverse else ZERO_MAC), length),
        pdst=str(addresses["target"]),
    )


def _hardware(mac: Value, length: int) -> Value | bytes:
    """A MAC in a field of another length than six is cut off or filled up."""
    return mac if length == 6 else bytes.fromhex(str(mac).replace(":", "")).ljust(length, b"\0")[:length]


def _ipv4(given: Fields, rest: list[Layer], ends: _Ends) -> Packet:
    source, target = _addresses("ip", given, ANYWHERE_IPV4, ends)
    header = IP(src=source, dst=target, tos=given.get("tos", 0))
    if rest and rest[0].word == "fragment":
        part = rest.pop(0).fields.get("part")
        header.flags, header.frag, header.id = ("", 100, 1) if part == "later" else ("MF", 0, 1)
        return _behind([header], rest, ends, later=part == "later")
    return _behind([header], rest, ends)


def _ipv6(given: Fields, rest: list[Layer], ends: _Ends) -> Packet:
    source, target = _addresses("ipv6", given, ANYWHERE_IPV6 if ends.to_guest else _usual_target(rest), ends)
    headers = [IPv6(src=source, dst=target, tc=given.get("tos", 0), hlim=_hop_limit(rest))]
    later = False
    while rest and rest[0].word in _EXTENSIONS:
        extension = rest.pop(0)
        later = later or extension.fields.get("part") == "later"
        headers.append(_EXTENSIONS[extension.word](later))
    return _behind(headers, rest, ends, later=later)


_EXTENSIONS: Mapping[str, Callable[[bool], Packet]] = {
    "hop-by-hop": lambda _later: IPv6ExtHdrHopByHop(options=[RouterAlert()]),
    "destination-options": lambda _later: IPv6ExtHdrDestOpt(),
    "fragment": lambda later: IPv6ExtHdrFragment(offset=8 * later, m=int(not later), id=1),
}


def _behind(headers: list[Packet], rest: list[Layer], ends: _Ends, *, later: bool = False) -> Packet:
    """What follows IP and its extension headers; of a later fragment only the protocol's number does."""
    layer = rest[0] if rest else Layer("udp")
    if not later and layer.word != "protocol":
        return reduce(truediv, [*headers, _transport(layer, ends)])
    number = layer.fields.get("number", _PROTOCOLS.get(layer.word))
    setattr(headers[-1], "proto" if isinstance(headers[-1], IP) else "nh", number)
    return reduce(truediv, [*headers, raw("trace")])


def _addresses(word: str, given: Fields, anywhere: str, ends: _Ends) -> tuple[str, str]:
    near, far = ("dst", "src") if ends.to_guest else ("src", "dst")
    found = {far: str(given.get(far) or anywhere), near: str(given.get(near) or ends.own(word, near))}
    return found["src"], found["dst"]


def _message_type(rest: list[Layer]) -> int | None:
    last = rest[-1] if rest else None
    return int(str(last.fields.get("type", 128))) if last and last.word == "icmpv6" else None


def _usual_target(rest: list[Layer]) -> str:
    kind = _message_type(rest)
    if kind in (133, 143):
        return _ALL_ROUTERS if kind == 133 else _MLD_ROUTERS
    return _ALL_NODES if kind in _TO_ALL_NODES else ANYWHERE_IPV6


def _hop_limit(rest: list[Layer]) -> int:
    kind = _message_type(rest) or 0
    return 255 if 133 <= kind <= 137 else 64


def _transport(layer: Layer, ends: _Ends) -> Packet:
    given = layer.fields
    match layer.word:
        case "udp":
            return UDP(sport=given.get("sport", 40000), dport=given.get("dport", 40001)) / raw("trace")
        case "tcp":
            flags = str(given.get("flags", "s")).upper()
            return TCP(sport=given.get("sport", 40000), dport=given.get("dport", 443), flags=flags) / raw("trace")
        case "icmp":
            return ICMP(type=given.get("type", 8), code=given.get("code", 0)) / raw("trace")
        case _:
            return _icmpv6(given, ends)


def _icmpv6(given: Fields, ends: _Ends) -> Packet:
    kind = int(str(given.get("type", 128)))
    message = _MESSAGES[kind]() if kind in _MESSAGES else ICMPv6Unknown(type=kind, msgbody=b"\0" * 4)
    message.code = given.get("code", 0)
    if kind in (135, 136, 137):
        own = ends.interface.ipv6[0][0] if ends.interface.ipv6 else ANYWHERE_IPV6
        message.tgt = str(given.get("target", own))
    if "link-layer" not in given:
        return message
    option = ICMPv6NDOptDstLLAddr if kind in (136, 137) else ICMPv6NDOptSrcLLAddr
    return message / option(lladdr=given["link-layer"])
