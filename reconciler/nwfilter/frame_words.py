"""A frame in one line: the words of `trace`, so that what is said of a frame can be traced again."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address

from reconciler.nwfilter.decode import HEADER, decode
from reconciler.nwfilter.frame import Arp, Bpdu, Frame, Packet, Transport

_TAG, _SERVICE_TAG = 0x8100, 0x88A8
_IPV6_HEADER = 40
_EXTENSIONS = {0: "hop-by-hop", 60: "destination-options", 44: "fragment"}
_BEHIND_IPV4 = {1: "icmp", 6: "tcp", 17: "udp"}
_BEHIND_IPV6 = {58: "icmpv6", 6: "tcp", 17: "udp"}
_FLAGS = "FSRPAU"
_OPERATIONS = {1: "request", 2: "reply", 3: "request-reverse", 4: "reply-reverse"}
_ZERO_MAC = "00:00:00:00:00:00"
_TARGET = 8
_OPTIONS = {133: 8, 134: 16, 135: 24, 136: 24, 137: 40}
"""Where the options of a message of Neighbour Discovery begin (RFC 4861)."""


def words_of(data: bytes) -> str:
    """As far as the grammar can say it: what no rule can match, as a payload, has no words."""
    tags, bare = _without_tags(data)
    frame = decode(bare)
    within = ("ethertype", f"{frame.ethertype:#06x}") if tags and frame.payload is None else ()
    return " ".join((*_link_words(data, frame), *tags, *within, *_payload_words(frame, bare[HEADER:])))


def _without_tags(data: bytes) -> tuple[list[str], bytes]:
    """The words of all VLAN tags, and the frame as it is without them."""
    words: list[str] = []
    header, rest = data[:12], data[12:]
    while len(rest) >= 6 and struct.unpack_from("!H", rest)[0] in (_TAG, _SERVICE_TAG):
        (tag,) = struct.unpack_from("!H", rest, 2)
        words += ["vlan", str(tag & 0x0FFF), *(["prio", str(tag >> 13)] if tag >> 13 else [])]
        rest = rest[4:]
    return words, header + rest


def _link_words(data: bytes, bare: Frame) -> Iterator[str]:
    yield from ("mac", "src", bare.source, "dst", bare.destination)
    (outermost,) = struct.unpack_from("!H", data, 12)
    if outermost != _TAG and (bare.payload is None or outermost == _SERVICE_TAG):
        yield from ("ethertype", f"{outermost:#06x}")


def _payload_words(frame: Frame, data: bytes) -> Iterator[str]:
    match frame.payload:
        case Arp() as arp:
            yield from _arp_words("rarp" if frame.ethertype == 0x8035 else "arp", arp, data[4])
        case Bpdu():
            yield "stp"
        case Packet(fragment_of=fragment_of) as packet if frame.ethertype == 0x86DD:
            extensions, message = _extensions(data)
            yield from (*_addresses("ipv6", packet), *extensions)
            number = packet.transport.protocol if fragment_of is None else fragment_of
            yield from _transport_words(packet.transport, number, _BEHIND_IPV6)
            yield from _discovery_words(packet.transport, message)
        case Packet() as packet:
            yield from (*_addresses("ip", packet), *_fragment_words(data))
            yield from _transport_words(packet.transport, packet.transport.protocol, _BEHIND_IPV4)


def _arp_words(word: str, arp: Arp, mac_length: int) -> Iterator[str]:
    yield from (word, _OPERATIONS.get(arp.operation, str(arp.operation)))
    fields = {
        "sender": arp.sender_ip, "sender-mac": arp.sender_mac, "target": arp.target_ip, "target-mac": arp.target_mac
    }  # fmt: skip
    for name, value in fields.items():
        if value not in (None, _ZERO_MAC):
            yield from (name, str(value))
    if mac_length != 6:
        yield from ("mac-length", str(mac_length))


def _addresses(word: str, packet: Packet) -> Iterator[str]:
    yield from (word, "src", str(packet.source), "dst", str(packet.destination))
    if packet.tos:
        yield from ("tos", str(packet.tos))


def _fragment_words(data: bytes) -> Iterator[str]:
    (bits,) = struct.unpack_from("!H", data, 6)
    if bits & 0x3FFF:
        yield from ("fragment", "later" if bits & 0x1FFF else "first")


def _extensions(data: bytes) -> tuple[list[str], bytes]:
    """The words of an IPv6 packet's extension headers, and what follows them."""
    words: list[str] = []
    following, offset = data[6], _IPV6_HEADER
    while following in _EXTENSIONS and len(data) >= offset + 8:
        words.append(_EXTENSIONS[following])
        length = (data[offset + 1] + 1) * 8
        if following == 44:
            later = bool(struct.unpack_from("!H", data, offset + 2)[0] & ~0x7)
            words.append("later" if later else "first")
            length = 8
        following, offset = data[offset], offset + length
    return words, data[offset:]


def _transport_words(transport: Transport, number: int | None, names: Mapping[int, str]) -> Iterator[str]:
    if number is None:
        return
    if number not in names:
        yield from ("protocol", str(number))
        return
    yield names[number]
    if transport.source_port is not None:
        yield from (str(transport.source_port), str(transport.destination_port))
    if transport.tcp_flags:
        yield from ("flags", "".join(letter for bit, letter in enumerate(_FLAGS) if transport.tcp_flags >> bit & 1))
    if transport.icmp_type is not None:
        yield from (str(transport.icmp_type), *((str(transport.icmp_code),) if transport.icmp_code else ()))


def _discovery_words(transport: Transport, message: bytes) -> Iterator[str]:
    """What Neighbour Discovery says behind type and code, which nwfilter does not see."""
    kind = transport.icmp_type
    if transport.protocol != 58 or kind not in _OPTIONS:
        return
    if kind in (135, 136, 137) and len(message) >= _TARGET + 16:
        yield from ("target", str(IPv6Address(message[_TARGET : _TARGET + 16])))
    option = message[_OPTIONS[kind] :]
    if len(option) >= 8 and option[0] in (1, 2):
        yield from ("link-layer", option[2:8].hex(":"))
