"""A frame described in words: `ipv6 src 2001:db8::99 icmpv6 136 target 2001:db8::1` to its layers.

The words go from the outside in. What a layer leaves out is filled in by who builds the frame (`trace_frames`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from reconciler.errors import UsageError, did_you_mean
from reconciler.nwfilter.names import ARP_OPERATIONS, ETHERTYPES, ICMP_TYPES, ICMPV6_TYPES, PROTOCOLS

GRAMMAR = """\
A frame is described from the outside in: each layer is a word, and its fields follow it, as name and value in any
order; what stands in capitals is a value without a name. All in brackets may be left out.

  mac    [src MAC] [dst MAC] [ethertype N]                 src: the guest's own; dst: as the packet needs it
  vlan   ID [prio N] [ethertype N]                         several for several tags
  arp    [OPERATION] [sender IP] [sender-mac MAC] [target IP] [target-mac MAC] [mac-length N]
  rarp   as arp                                            OPERATION: request, reply, request-reverse, or a number
  ip     [src IP] [dst IP] [tos N]                         src: the first own address; then udp, unless it says else
  ipv6   [src IP] [dst IP] [tos N]
  stp                                                      a bridge's message
    hop-by-hop                                             headers between ipv6 and what follows
    destination-options
    fragment [first|later]                                 of ip or ipv6; behind a later one stands only a protocol
  udp    [SPORT] [DPORT]
  tcp    [SPORT] [DPORT] [flags LETTERS]                   flags: S, the opening of a connection
  icmp   [TYPE] [CODE]                                     a number or a name, as echo-request
  icmpv6 [TYPE] [CODE] [target IP] [link-layer MAC]        as router-advertisement, or short: rs, ra, ns, na
  protocol N                                               any other, as 47 or gre

examples:
  ip src 192.168.0.9                                       a datagram from an address that is not its own
  ip src 192.168.0.9 dst 192.168.0.1 udp 67 68             an answer of a DHCP server
  ip src 0.0.0.0 dst 255.255.255.255 udp 68 67             a DHCP client that has no address yet
  arp request sender 192.168.0.9 target 192.168.0.1
  mac src 52:54:00:00:00:01 ip                             a forged MAC
  mac ethertype lldp
  vlan 5 ip
  ipv6 src 2001:db8::99 icmpv6 136 target 2001:db8::1
  ipv6 hop-by-hop icmpv6 router-advertisement
  ipv6 fragment first icmpv6 134
"""

Value = str | int | IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Layer:
    """A word of the description with those of its fields that were given."""

    word: str
    fields: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads a value; ValueError for one that is none. `names` are words that stand for one."""

    what: str
    read: Callable[[str], Value]
    names: Collection[str] = ()

    def takes(self, token: str) -> bool:
        """Whether a word without a field's name can only be such a value."""
        return token in self.names or token[:1].isdigit()


@dataclass(frozen=True, slots=True)
class _Kind:
    """A layer: the words that it may follow ("" is the start), its fields, and those that need no name, in order."""

    follows: tuple[str, ...]
    fields: Mapping[str, _Reader] = field(default_factory=dict)
    unnamed: tuple[str, ...] = ()
    required: str | None = None
    family: str | None = None


def _number(what: str, maximum: int, names: Mapping[str, int] | None = None) -> _Reader:
    known = names or {}

    def read(text: str) -> int:
        number = known[text] if text in known else int(text, 0)
        if not 0 <= number <= maximum:
            raise ValueError(text)
        return number

    return _Reader(f"{what} from 0 to {maximum}" if not known else f"{what}, a number or a name", read, known)


def _one_of(what: str, words: tuple[str, ...]) -> _Reader:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return _Reader(what, read, words)


def _matching(what: str, pattern: str) -> _Reader:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(text)
        return text

    return _Reader(what, read)


def _types(known: Mapping[str, tuple[int, int, int]]) -> dict[str, int]:
    """Names that say a type alone; one that says a code as well would be half a value."""
    return {name: kind for name, (kind, least, most) in known.items() if (least, most) == (0, 255)}


_MAC = _matching("a MAC address", "(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_IPV4 = _Reader("an IPv4 address", IPv4Address)
_IPV6 = _Reader("an IPv6 address", IPv6Address)
_ETHERTYPE = _number("an ethertype", 0xFFFF, ETHERTYPES)
_PORT, _BYTE = _number("a port", 65535), _number("a number", 255)
_SHORT_TYPES = {"rs": 133, "ra": 134, "ns": 135, "na": 136}
_OPERATIONS = {name.replace("_", "-"): number for name, number in ARP_OPERATIONS.items()}

_ARP_FIELDS = {
    "operation": _number("an ARP operation", 65535, _OPERATIONS),
    "sender": _IPV4, "sender-mac": _MAC, "target": _IPV4, "target-mac": _MAC,
    "mac-length": _number("a length", 255),
}  # fmt: skip
_PORTS = {"sport": _PORT, "dport": _PORT}
_EXTENSIONS = ("hop-by-hop", "destination-options", "fragment")
_BEFORE_NETWORK = ("", "mac", "vlan")
_BEFORE_TRANSPORT = ("ip", "ipv6", *_EXTENSIONS)

_KINDS: Mapping[str, _Kind] = {
    "mac": _Kind(("",), {"src": _MAC, "dst": _MAC, "ethertype": _ETHERTYPE}),
    "vlan": _Kind(
        _BEFORE_NETWORK,
        {"id": _number("a VLAN", 4095), "prio": _number("a priority", 7), "ethertype": _ETHERTYPE},
        ("id",),
        required="id",
    ),
    "arp": _Kind(_BEFORE_NETWORK, _ARP_FIELDS, ("operation",)),
    "rarp": _Kind(_BEFORE_NETWORK, _ARP_FIELDS, ("operation",)),
    "ip": _Kind(_BEFORE_NETWORK, {"src": _IPV4, "dst": _IPV4, "tos": _BYTE}),
    "ipv6": _Kind(_BEFORE_NETWORK, {"src": _IPV6, "dst": _IPV6, "tos": _BYTE}),
    "stp": _Kind(("", "mac")),
    "hop-by-hop": _Kind(("ipv6", *_EXTENSIONS), family="ipv6"),
    "destination-options": _Kind(("ipv6", *_EXTENSIONS), family="ipv6"),
    "fragment": _Kind(
        ("ip", "ipv6", *_EXTENSIONS[:2]), {"part": _one_of("first or later", ("first", "later"))}, ("part",)
    ),
    "udp": _Kind(_BEFORE_TRANSPORT, _PORTS, ("sport", "dport")),
    "tcp": _Kind(
        _BEFORE_TRANSPORT, {**_PORTS, "flags": _matching("letters of FSRPAU", "[fsrpau]+")}, ("sport", "dport")
    ),
    "icmp": _Kind(
        _BEFORE_TRANSPORT,
        {"type": _number("an ICMP type", 255, _types(ICMP_TYPES)), "code": _BYTE},
        ("type", "code"),
        family="ip",
    ),
    "icmpv6": _Kind(
        _BEFORE_TRANSPORT,
        {
            "type": _number("an ICMPv6 type", 255, _types(ICMPV6_TYPES) | _SHORT_TYPES),
            "code": _BYTE,
            "target": _IPV6,
            "link-layer": _MAC,
        },
        ("type", "code"),
        family="ipv6",
    ),
    "protocol": _Kind(_BEFORE_TRANSPORT, {"number": _number("a protocol", 255, PROTOCOLS)}, ("number",), "number"),
}
_ALIASES = {"ipv4": "ip", "ip4": "ip", "ip6": "ipv6", "icmp6": "icmpv6"}
_WITH_TARGET = (135, 136, 137)


def parse_frame(words: str) -> tuple[Layer, ...]:
    """The layers of a frame. Raises UsageError that names the first word that cannot be used, or is missing."""
    waiting = deque(_ALIASES.get(word, word) for word in words.lower().split())
    layers: list[Layer] = []
    while waiting:
        word = waiting.popleft()
        if word not in _KINDS:
            raise _unknown(word, layers)
        _check_place(word, layers)
        layers.append(Layer(word, _read_fields(word, waiting)))
        _check_fields(layers)
    if not layers or (layers[-1].word in ("mac", "vlan") and "ethertype" not in layers[-1].fields):
        missing = f"nothing is said after '{layers[-1].word}'" if layers else "the frame has no words"
        raise UsageError(f"{missing}, so there is no frame to judge", hint="add what it holds, as `ip` or `arp`")
    return tuple(layers)


def _read_fields(word: str, waiting: deque[str]) -> dict[str, Value]:
    kind = _KINDS[word]
    found: dict[str, Value] = {}
    while waiting:
        token = waiting[0]
        unnamed = next((name for name in kind.unnamed if name not in found), None)
        if token in kind.fields:
            found[token] = _named_value(word, token, waiting, found)
        elif unnamed and kind.fields[unnamed].takes(token):
            found[unnamed] = _value(word, unnamed, waiting.popleft())
        else:
            break
    if kind.required and kind.required not in found:
        wanted = kind.fields[kind.required].what
        raise UsageError(f"'{word}' needs {wanted} after it", hint="`reconciler trace --help` shows the grammar")
    return found


def _named_value(word: str, name: str, waiting: deque[str], found: Mapping[str, Value]) -> Value:
    waiting.popleft()
    if name in found:
        raise UsageError(f"'{name}' is said twice of '{word}'", hint="leave one of them out")
    if not waiting:
        wanted = _KINDS[word].fields[name].what
        raise UsageError(f"'{name}' has no value after it", hint=f"write {wanted}, or leave '{name}' out")
    return _value(word, name, waiting.popleft())


def _value(word: str, name: str, token: str) -> Value:
    reader = _KINDS[word].fields[name]
    try:
        return reader.read(token)
    except (AddressValueError, ValueError):
        raise UsageError(
            f"'{token}' is not {reader.what}, which '{name}' of '{word}' must be", hint=_hint_at(token, reader)
        ) from None


def _hint_at(token: str, reader: _Reader) -> str:
    if reader in (_IPV4, _IPV6):
        other, network = (_IPV6, "ipv6") if reader is _IPV4 else (_IPV4, "ip")
        try:
            other.read(token)
        except ValueError:
            return "a single address, without a prefix length" if "/" in token else "write one address in full"
        return f"it belongs to '{network}'"
    return did_you_mean(token, reader.names) or "`reconciler trace --help` shows the grammar"


def _unknown(word: str, layers: list[Layer]) -> UsageError:
    """What was meant is most likely a word that could stand here."""
    last = layers[-1].word if layers else ""
    place = f"after '{last}'" if last else "at the start"
    kind = _KINDS.get(last, _Kind(()))
    layers_here = [name for name, each in _KINDS.items() if last in each.follows]
    names = [name for field in kind.unnamed for name in kind.fields[field].names]
    similar = did_you_mean(word, [*kind.fields, *layers_here, *names, *_KINDS])
    possible = ", ".join([*kind.fields, *layers_here]) or "nothing more"
    return UsageError(f"'{word}' is not understood {place}", hint=f"{similar} {place} may stand: {possible}".strip())


def _check_place(word: str, layers: list[Layer]) -> None:
    kind, last = _KINDS[word], layers[-1].word if layers else ""
    if last not in kind.follows:
        before = [each for each in kind.follows if each]
        start = "begins the frame" if "" in kind.follows else ""
        hint = f"'{word}' " + " or ".join(filter(None, (start, f"follows {', '.join(before)}" if before else "")))
        raise UsageError(f"'{word}' cannot stand {f'after {last!r}' if last else 'at the start'}", hint=hint)
    network = next((each.word for each in layers if each.word in ("ip", "ipv6")), None)
    if kind.family and network and kind.family != network:
        raise UsageError(f"'{word}' belongs to {kind.family}, not to {network}", hint=f"write {kind.family} before it")
    if word == "stp" and layers and "ethertype" in layers[0].fields:
        raise UsageError("'stp' is a frame without an ethertype", hint="leave 'ethertype' out")


def _check_fields(layers: list[Layer]) -> None:
    """What no frame can hold."""
    last = layers[-1]
    before = layers[-2] if len(layers) > 1 else Layer("")
    if before.fields.get("part") == "later" and last.fields and last.word != "protocol":
        message = f"a later fragment holds no fields of '{last.word}', which stand in the first one"
        raise UsageError(message, hint=f"write {last.word} alone behind it")
    if "target" in last.fields and last.word == "icmpv6" and last.fields.get("type") not in _WITH_TARGET:
        raise UsageError("only types 135, 136 and 137 of 'icmpv6' have a 'target'", hint="leave 'target' out")
