"""The values of nft's matches in one form: what nft prints, and what libvirt writes, to the same text.

A value is a scalar, a range `LOW-HIGH`, or a set `{A, B}`; addresses may be networks, whose host bits nft clears.
Names are those that nft(8) 1.0 to 1.1 prints (src/proto.c, src/datatype.c); protocols come from /etc/protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from reconciler.nwfilter.names import PROTOCOLS

Scalar = Callable[[str], str]

MASK = " & "
"""Stands between a field and the mask that it is compared under."""

_ETHERTYPES: Mapping[str, int] = {
    "ip": 0x0800, "arp": 0x0806, "ip6": 0x86DD, "8021q": 0x8100, "8021ad": 0x88A8, "vlan": 0x8100,
}  # fmt: skip
_ARP_OPERATIONS: Mapping[str, int] = {
    "request": 1, "reply": 2, "rrequest": 3, "rreply": 4, "inrequest": 8, "inreply": 9, "nak": 10,
}  # fmt: skip
_ICMP_TYPES: Mapping[str, int] = {
    "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
    "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
    "timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
    "address-mask-request": 17, "address-mask-reply": 18,
}  # fmt: skip
_ICMP_CODES: Mapping[str, int] = {
    "net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3, "frag-needed": 4,
    "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13,
}  # fmt: skip
_ICMPV6_TYPES: Mapping[str, int] = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
    "echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131,
    "mld-listener-done": 132, "mld-listener-reduction": 132, "nd-router-solicit": 133, "nd-router-advert": 134,
    "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138,
    "ind-neighbor-solicit": 141, "ind-neighbor-advert": 142, "mld2-listener-report": 143,
}  # fmt: skip
_ICMPV6_CODES: Mapping[str, int] = {
    "no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5,
    "reject-route": 6,
}  # fmt: skip
_DSCP: Mapping[str, int] = {
    **{f"cs{each}": each * 8 for each in range(8)},
    **{f"af{group}{drop}": group * 8 + drop * 2 for group in range(1, 5) for drop in range(1, 4)},
    "lephb": 1, "va": 44, "ef": 46, "df": 0, "be": 0,
}  # fmt: skip
_TCP_FLAGS: Mapping[str, int] = {
    "fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128,
}  # fmt: skip


def canonical_value(field: str, text: str) -> str:
    """A scalar of a field, which may stand under a mask. ValueError for what nft would not take.

    Values of fields that are not known here stay as they are.
    """
    name, _, _ = field.partition(MASK)
    if name.startswith("@"):
        return str(int(text, 0))
    return _SCALARS.get(name, str)(text)


def canonical_range(field: str, low: str, high: str) -> str:
    """ValueError for a range that ends before it starts, which nft refuses."""
    ends = canonical_value(field, low), canonical_value(field, high)
    if ends[0] == ends[1]:
        return ends[0]
    if ordinal(field, ends[0]) > ordinal(field, ends[1]):
        raise ValueError(f"the range {low}-{high} ends before it starts")
    return "-".join(ends)


def canonical_set(values: Iterable[str]) -> str:
    """A set of canonical values; one alone is no set."""
    found = sorted(set(values))
    return found[0] if len(found) == 1 else f"{{{', '.join(found)}}}"


def ordinal(field: str, text: str) -> int:
    """A canonical scalar as the number that the kernel compares. ValueError where it is none."""
    if field.endswith("ether") or field.startswith(("ether saddr", "ether daddr")):
        return mac_number(text)
    if field.endswith(("saddr", "daddr", " ip")):
        return int(ip_address(text))
    return int(text, 0)


def mac_number(text: str) -> int:
    parts = text.split(":")
    if len(parts) != 6 or not all(1 <= len(part) <= 2 for part in parts):
        raise ValueError(f"'{text}' is no MAC address")
    return int("".join(part.zfill(2) for part in parts), 16)


def _mac(text: str) -> str:
    return mac_number(text).to_bytes(6, "big").hex(":")


def _number(maximum: int, names: Mapping[str, int] | None = None, form: str = "{}") -> Scalar:
    known = names or {}

    def canonicalise(text: str) -> str:
        number = known[text] if text in known else int(text, 0)
        if not 0 <= number <= maximum:
            raise ValueError(f"'{text}' is no number up to {maximum}")
        return form.format(number)

    return canonicalise


def _network(version: int) -> Scalar:
    kind = IPv4Address if version == 4 else IPv6Address

    def canonicalise(text: str) -> str:
        address, slash, length = text.partition("/")
        kind(address)
        if not slash:
            return str(kind(address))
        network = ip_network(f"{address}/{int(length)}", strict=False)
        return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)

    return canonicalise


def _states(text: str) -> str:
    return ",".join(sorted(text.lower().split(",")))


_ETHERTYPE = _number(0xFFFF, _ETHERTYPES, "{:#06x}")
_PROTOCOL = _number(0xFF, PROTOCOLS)
_PORT = _number(0xFFFF)
_SCALARS: Mapping[str, Scalar] = {
    "ether saddr": _mac,
    "ether daddr": _mac,
    "ether type": _ETHERTYPE,
    "vlan id": _number(0xFFF),
    "vlan type": _ETHERTYPE,
    "ip saddr": _network(4),
    "ip daddr": _network(4),
    "ip protocol": _PROTOCOL,
    "ip dscp": _number(63, _DSCP),
    "ip6 saddr": _network(6),
    "ip6 daddr": _network(6),
    "ip6 nexthdr": _PROTOCOL,
    "ip6 dscp": _number(63, _DSCP),
    "meta l4proto": _PROTOCOL,
    "arp htype": _number(0xFFFF),
    "arp ptype": _ETHERTYPE,
    "arp operation": _number(0xFFFF, _ARP_OPERATIONS),
    "arp saddr ip": _network(4),
    "arp daddr ip": _network(4),
    "arp saddr ether": _mac,
    "arp daddr ether": _mac,
    **{f"{each} sport": _PORT for each in ("th", "tcp", "udp", "sctp", "dccp", "udplite")},
    **{f"{each} dport": _PORT for each in ("th", "tcp", "udp", "sctp", "dccp", "udplite")},
    "tcp flags": _number(0xFF, _TCP_FLAGS, "{:#04x}"),
    "icmp type": _number(255, _ICMP_TYPES),
    "icmp code": _number(255, _ICMP_CODES),
    "icmpv6 type": _number(255, _ICMPV6_TYPES),
    "icmpv6 code": _number(255, _ICMPV6_CODES),
    "ct state": _states,
}  # fmt: skip
