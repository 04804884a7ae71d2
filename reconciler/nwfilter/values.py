"""Attribute values as libvirt reads and prints them.

Each canonicaliser takes the text of an attribute and returns the one text for all that libvirt considers
the same, or raises ValueError with the reason where libvirt refuses the definition. Sources: libvirt's
nwfilter_conf.c (virNWFilterRuleDetailsParse and its validators), virstring.c, virsocketaddr.c, virmacaddr.c.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from uuid import UUID

ETHERTYPES = {0x0800: "ipv4", 0x0806: "arp", 0x8035: "rarp", 0x8100: "vlan", 0x86DD: "ipv6"}
IP_PROTOCOLS = {
    1: "icmp",
    2: "igmp",
    6: "tcp",
    17: "udp",
    50: "esp",
    51: "ah",
    58: "icmpv6",
    132: "sctp",
    136: "udplite",
}
ARP_OPCODES = {
    1: "Request",
    2: "Reply",
    3: "Request_Reverse",
    4: "Reply_Reverse",
    5: "DRARP_Request",
    6: "DRARP_Reply",
    7: "DRARP_Error",
    8: "InARP_Request",
    9: "ARP_NAK",
}
TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")
STATES = ("NEW", "ESTABLISHED", "RELATED", "INVALID", "NONE")

MAX_COMMENT_BYTES = 256
MAX_IPSET_NAME_BYTES = 31
MAX_ITERATOR = 1000
MAX_IPSET_FLAGS = 6
_UINT_MAX = 2**32 - 1
_ULONG_MAX = 2**64 - 1


class Kind(StrEnum):
    """What an attribute holds."""

    MAC = "MAC address"
    MAC_MASK = "MAC mask"
    IPV4 = "IPv4 address"
    IPV4_MASK = "IPv4 mask"
    IPV6 = "IPv6 address"
    IPV6_MASK = "IPv6 mask"
    UINT8 = "number up to 255"
    UINT16 = "number up to 65535"
    UINT16_DECIMAL = "decimal number up to 65535"
    UINT32 = "number up to 4294967295"
    VLAN_ID = "VLAN id up to 4095"
    ETHERTYPE = "ethertype"
    ENCAPSULATED = "encapsulated ethertype"
    ARP_OPCODE = "ARP opcode"
    IP_PROTOCOL = "IP protocol"
    DSCP = "DSCP up to 63"
    STATE = "connection states"
    TCP_FLAGS = "TCP flags, MASK/FLAGS"
    IPSET = "ipset name"
    IPSET_FLAGS = "ipset flags"
    BOOLEAN = "truth value"
    COMMENT = "comment"


Canonicaliser = Callable[[str], str]

_DECIMAL = re.compile(r"[ \t\n\v\f\r]*([+-]?)([0-9]+)")
_HEXADECIMAL = re.compile(r"[ \t\n\v\f\r]*([+-]?)(?:0[xX](?=[0-9a-fA-F]))?([0-9a-fA-F]+)")
_MAC = re.compile(r"[0-9a-fA-F]{1,2}(?::[0-9a-fA-F]{1,2}){5}")
_VARIABLE = re.compile(r"\$([A-Za-z0-9_]*)(.*)", re.DOTALL)
_SUBSCRIPT = re.compile(r"\[[ \t\n\r]*(@?)([ \t\n\r]*[+-]?[0-9]+)[ \t\n\r]*\]")
_UUID = re.compile(r"[ \t\n\r]*((?:-*[0-9a-fA-F]{2}){16})[ \t\n\r]*")
_IPSET_NAME = re.compile(r"[A-Za-z0-9_.:+ -]*")
_IPSET_FLAGS = re.compile(r"(?:src|dst)(?:,(?:src|dst)){0,5}|(?:(?:src|dst),){6}", re.IGNORECASE)
_LINE_BREAK = re.compile(r"\r\n|[\r\n\t]")


def canonical_variable(text: str) -> str:
    """`$X[@0]` becomes `$X`, `$X[ 1 ]` becomes `$X[1]`; what follows the bracket is dropped by libvirt."""
    match = _VARIABLE.fullmatch(text)
    if match is None or (match[2] and match[2][0] != "["):
        raise ValueError("a variable is written $NAME, $NAME[n] or $NAME[@n]")
    if not match[2]:
        return f"${match[1]}"
    subscript = _SUBSCRIPT.match(match[2])
    number = _strtoui(subscript[2], _DECIMAL) if subscript else None
    if subscript is None or number is None:
        raise ValueError("a subscript is written [n] or [@n]")
    if not subscript[1]:
        return f"${match[1]}[{number}]"
    if number > MAX_ITERATOR:
        raise ValueError(f"an iterator's number is {MAX_ITERATOR} at most")
    return f"${match[1]}[@{number}]" if number else f"${match[1]}"


def canonical_mac(text: str) -> str:
    """Six bytes, zero-padded, lower case; only `:` separates (virMacAddrParse)."""
    if not _MAC.fullmatch(text):
        raise ValueError("a MAC address is written as six hexadecimal bytes separated by ':'")
    return ":".join(byte.zfill(2) for byte in text.lower().split(":"))


def canonical_uuid(text: str) -> str:
    """Any spelling that virUUIDParse takes, as lower-case text with dashes."""
    match = _UUID.fullmatch(text)
    if match is None:
        raise ValueError("a uuid is 32 hexadecimal digits")
    return str(UUID(match[1].replace("-", "")))


def integer(text: str) -> int | None:
    """virStrToLong_i in base 10: C's strtol within 32 bits, or None."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return None
    number = int(match[1] + match[2])
    return number if -(2**31) <= number < 2**31 else None


def _strtoui(text: str, form: re.Pattern[str]) -> int | None:
    """virStrToLong_ui: a negative number wraps round 32 bits, as there."""
    match = form.fullmatch(text)
    if match is None:
        return None
    number = int(match[2], 16 if form is _HEXADECIMAL else 10)
    if number > _UINT_MAX:
        return None
    return -number & _UINT_MAX if match[1] == "-" else number


def _number(text: str, maximum: int) -> int | None:
    """Base 10 is tried first, then base 16: `10` is ten, `ff` and `0x10` are hexadecimal."""
    for form in (_DECIMAL, _HEXADECIMAL):
        number = _strtoui(text, form)
        if number is not None and number <= maximum:
            return number
    return None


def _canonical_number(maximum: int, text: str) -> str:
    number = _number(text, maximum)
    if number is None:
        raise ValueError(f"a number from 0 to {maximum} is needed")
    return str(number)


def _canonical_decimal(maximum: int, text: str) -> str:
    number = _strtoui(text, _DECIMAL)
    if number is None or number > maximum:
        raise ValueError(f"a decimal number from 0 to {maximum} is needed")
    return str(number)


def _canonical_ethertype(minimum: int, text: str) -> str:
    number = _named_number(text, ETHERTYPES, 0xFFFF)
    if number is None or (number < minimum and number not in ETHERTYPES):
        names = ", ".join(ETHERTYPES.values())
        raise ValueError(f"one of {names}, or a number from {minimum:#x} to 0xffff is needed")
    return ETHERTYPES.get(number, f"{number:#x}")


def _canonical_named(names: dict[int, str], maximum: int, text: str) -> str:
    number = _named_number(text, names, maximum)
    if number is None:
        raise ValueError(f"one of {', '.join(names.values())}, or a number up to {maximum} is needed")
    return names.get(number, str(number))


def _named_number(text: str, names: dict[int, str], maximum: int) -> int | None:
    number = _number(text, maximum)
    if number is not None:
        return number
    wanted = text.lower()
    return next((value for value, name in names.items() if name.lower() == wanted), None)


def _ipv4_bytes(text: str) -> bytes:
    """getaddrinfo's numeric IPv4 forms: octal and hexadecimal parts, fewer than four parts, IPv4-mapped IPv6."""
    if ":" in text:
        mapped = _ipv6_bytes(text)
        if not mapped.startswith(b"\0" * 10 + b"\xff\xff"):
            raise ValueError("an IPv4 address is needed")
        return mapped[12:]
    try:
        if not text.isascii() or any(character.isspace() for character in text):
            raise OSError
        return socket.inet_aton(text)
    except OSError:
        raise ValueError("an IPv4 address without prefix length is needed") from None


def _ipv6_bytes(text: str) -> bytes:
    try:
        return socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        raise ValueError("an IPv6 address without prefix length is needed") from None


def canonical_ipv4(text: str) -> str:
    return socket.inet_ntop(socket.AF_INET, _ipv4_bytes(text))


def canonical_ipv6(text: str) -> str:
    """Lower case and compressed as inet_ntop prints it; a zone (`%eth0`) stays as written."""
    address, percent, zone = text.partition("%")
    return socket.inet_ntop(socket.AF_INET6, _ipv6_bytes(address)) + percent + zone


def _canonical_mask(bits: int, address: Callable[[str], bytes], text: str) -> str:
    """A prefix length, also from a mask in the address's notation (virSocketAddrGetNumNetmaskBits)."""
    length = _strtoui(text, _DECIMAL)
    if length is None:
        length = _leading_ones(address(text))
    if length is None or length > bits:
        raise ValueError(f"a prefix length from 0 to {bits}, or a mask of leading ones is needed")
    return str(length)


def _leading_ones(mask: bytes) -> int | None:
    """The count of leading one bits, None if a one follows a zero."""
    bits = f"{int.from_bytes(mask, 'big'):0{len(mask) * 8}b}"
    ones = len(bits) - len(bits.lstrip("1"))
    return None if "1" in bits[ones:] else ones


def _canonical_mac_mask(text: str) -> str:
    mask = canonical_mac(text)
    if _leading_ones(bytes.fromhex(mask.replace(":", ""))) is None:
        raise ValueError("a MAC mask is ones followed by zeros")
    return mask


def _items(text: str, names: Sequence[str]) -> set[str] | None:
    """parseStringItems: any case, commas and blanks between items are optional."""
    pattern = "|".join(names)
    if not re.fullmatch(rf"(?:[ \t\n\r,]*(?:{pattern}))*[ \t\n\r,]*", text, re.IGNORECASE):
        return None
    return {item.upper() for item in re.findall(pattern, text, re.IGNORECASE)}


def _canonical_states(text: str) -> str:
    found = _items(text, STATES)
    if found is None:
        raise ValueError(f"states are {', '.join(STATES)}")
    if "NONE" in found:
        return "NONE"
    return ",".join(state for state in STATES if state in found)


def _canonical_tcp_flags(text: str) -> str:
    mask, slash, flags = text.partition("/")
    sets = [_items(part, (*TCP_FLAGS, "ALL", "NONE")) for part in (mask, flags)]
    if not slash or None in sets:
        raise ValueError(f"TCP flags are written MASK/FLAGS, of {', '.join(TCP_FLAGS)}, ALL, NONE")
    return "/".join(_format_tcp_flags(part or set()) for part in sets)


def _format_tcp_flags(found: set[str]) -> str:
    flags = [flag for flag in TCP_FLAGS if flag in found]
    if "ALL" in found or len(flags) == len(TCP_FLAGS):
        return "ALL"
    return ",".join(flags) or "NONE"


def _canonical_ipset(text: str) -> str:
    if len(text.encode()) > MAX_IPSET_NAME_BYTES or not _IPSET_NAME.fullmatch(text):
        raise ValueError(f"an ipset's name has up to {MAX_IPSET_NAME_BYTES} of the characters A-Z a-z 0-9 _ . : - +")
    return text


def _canonical_ipset_flags(text: str) -> str:
    if not _IPSET_FLAGS.fullmatch(text):
        raise ValueError(f"ipset flags are src and dst separated by commas, {MAX_IPSET_FLAGS} at most")
    return text.lower().rstrip(",")


def _canonical_boolean(text: str) -> str:
    return "true" if text in ("true", "1", "yes") else "false"


def _canonical_comment(text: str) -> str:
    """Cut as libvirt cuts it. It prints line breaks raw, so reading its XML again makes each a blank."""
    return _LINE_BREAK.sub(" ", text.encode()[:MAX_COMMENT_BYTES].decode(errors="ignore"))


_CANONICALISERS: dict[Kind, Canonicaliser] = {
    Kind.MAC: canonical_mac,
    Kind.MAC_MASK: _canonical_mac_mask,
    Kind.IPV4: canonical_ipv4,
    Kind.IPV4_MASK: partial(_canonical_mask, 32, _ipv4_bytes),
    Kind.IPV6: canonical_ipv6,
    Kind.IPV6_MASK: partial(_canonical_mask, 128, _ipv6_bytes),
    Kind.UINT8: partial(_canonical_number, 0xFF),
    Kind.UINT16: partial(_canonical_number, 0xFFFF),
    Kind.UINT16_DECIMAL: partial(_canonical_decimal, 0xFFFF),
    Kind.UINT32: partial(_canonical_number, _UINT_MAX),
    Kind.VLAN_ID: partial(_canonical_number, 4095),
    Kind.ETHERTYPE: partial(_canonical_ethertype, 0x600),
    Kind.ENCAPSULATED: partial(_canonical_ethertype, 0x3C),
    Kind.ARP_OPCODE: partial(_canonical_named, ARP_OPCODES, 0xFFFF),
    Kind.IP_PROTOCOL: partial(_canonical_named, IP_PROTOCOLS, 0xFF),
    Kind.DSCP: partial(_canonical_number, 63),
    Kind.STATE: _canonical_states,
    Kind.TCP_FLAGS: _canonical_tcp_flags,
    Kind.IPSET: _canonical_ipset,
    Kind.IPSET_FLAGS: _canonical_ipset_flags,
    Kind.BOOLEAN: _canonical_boolean,
    Kind.COMMENT: _canonical_comment,
}


def canonical_value(kind: Kind, text: str) -> str:
    """The canonical text of a value; any attribute may hold a variable instead."""
    if text.startswith("$"):
        return canonical_variable(text)
    return _CANONICALISERS[kind](text)
