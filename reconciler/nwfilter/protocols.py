"""The language of rules: which attributes each protocol element has, and which of them depend on another.

Source: libvirt's nwfilter_conf.c, the `virXMLAttr2Struct` tables, virNWFilterRuleDefFixup, and nwfilter.rng.
The order of attributes is that of libvirt's tables, in which it prints them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from reconciler.nwfilter.values import Kind

AttributeTable = Mapping[str, Kind]

_ETHERNET = {
    "srcmacaddr": Kind.MAC,
    "srcmacmask": Kind.MAC_MASK,
    "dstmacaddr": Kind.MAC,
    "dstmacmask": Kind.MAC_MASK,
}
_PORTS = {
    "srcportstart": Kind.UINT16,
    "srcportend": Kind.UINT16,
    "dstportstart": Kind.UINT16,
    "dstportend": Kind.UINT16,
}
_COMMENT = {"comment": Kind.COMMENT}
_ICMP = {"type": Kind.UINT8, "code": Kind.UINT8}
_STP_NUMBERS = (
    ("root-cost", Kind.UINT32),
    ("sender-priority", Kind.UINT16),
    ("sender-address", Kind.MAC),
    ("port", Kind.UINT16),
    ("age", Kind.UINT16),
    ("max-age", Kind.UINT16),
    ("hello-time", Kind.UINT16),
    ("forward-delay", Kind.UINT16),
)


def _addresses(address: Kind, mask: Kind) -> dict[str, Kind]:
    return {"srcipaddr": address, "srcipmask": mask, "dstipaddr": address, "dstipmask": mask}


def _transport(address: Kind, mask: Kind) -> dict[str, Kind]:
    """COMMON_IP_PROPS; there `dstipto` is an IPv4 address for IPv6 protocols too."""
    return {
        "srcmacaddr": Kind.MAC,
        **_addresses(address, mask),
        "srcipfrom": address,
        "srcipto": address,
        "dstipfrom": address,
        "dstipto": Kind.IPV4,
        "dscp": Kind.DSCP,
        "connlimit-above": Kind.UINT16_DECIMAL,
        "state": Kind.STATE,
        "ipset": Kind.IPSET,
        "ipsetflags": Kind.IPSET_FLAGS,
    }


_OVER_IPV4 = _transport(Kind.IPV4, Kind.IPV4_MASK)
_OVER_IPV6 = _transport(Kind.IPV6, Kind.IPV6_MASK)
_TCP_OPTION = {"option": Kind.UINT8}


def _stp() -> dict[str, Kind]:
    table = {
        "srcmacaddr": Kind.MAC,
        "srcmacmask": Kind.MAC_MASK,
        "type": Kind.UINT8,
        "flags": Kind.UINT8,
        "root-priority": Kind.UINT16,
        "root-priority-hi": Kind.UINT16,
        "root-address": Kind.MAC,
        "root-address-mask": Kind.MAC_MASK,
    }
    for name, kind in _STP_NUMBERS:
        table[name] = kind
        suffix = "mask" if kind is Kind.MAC else "hi"
        table[f"{name}-{suffix}"] = Kind.MAC_MASK if kind is Kind.MAC else kind
    return table | _COMMENT


_ARP = {
    **_ETHERNET,
    "hwtype": Kind.UINT16,
    "protocoltype": Kind.UINT16,
    "opcode": Kind.ARP_OPCODE,
    "arpsrcmacaddr": Kind.MAC,
    "arpdstmacaddr": Kind.MAC,
    "arpsrcipaddr": Kind.IPV4,
    "arpsrcipmask": Kind.IPV4_MASK,
    "arpdstipaddr": Kind.IPV4,
    "arpdstipmask": Kind.IPV4_MASK,
    "gratuitous": Kind.BOOLEAN,
    **_COMMENT,
}
_IP_HEADER = {"protocol": Kind.IP_PROTOCOL, **_PORTS}

PROTOCOLS: Mapping[str, AttributeTable] = MappingProxyType(
    {
        "mac": {**_ETHERNET, "protocolid": Kind.ETHERTYPE, **_COMMENT},
        "vlan": {**_ETHERNET, "vlanid": Kind.VLAN_ID, "encap-protocol": Kind.ENCAPSULATED, **_COMMENT},
        "stp": _stp(),
        "arp": _ARP,
        "rarp": _ARP,
        "ip": {
            **_ETHERNET,
            **_addresses(Kind.IPV4, Kind.IPV4_MASK),
            **_IP_HEADER,
            "dscp": Kind.DSCP,
            **_COMMENT,
        },
        "ipv6": {
            **_ETHERNET,
            **_addresses(Kind.IPV6, Kind.IPV6_MASK),
            **_IP_HEADER,
            "type": Kind.UINT8,
            "typeend": Kind.UINT8,
            "code": Kind.UINT8,
            "codeend": Kind.UINT8,
            **_COMMENT,
        },
        "tcp": {**_OVER_IPV4, **_PORTS, **_TCP_OPTION, "flags": Kind.TCP_FLAGS, **_COMMENT},
        "tcp-ipv6": {**_OVER_IPV6, **_PORTS, **_TCP_OPTION, **_COMMENT},
        **{name: {**_OVER_IPV4, **_PORTS, **_COMMENT} for name in ("udp", "sctp")},
        **{f"{name}-ipv6": {**_OVER_IPV6, **_PORTS, **_COMMENT} for name in ("udp", "sctp")},
        **{name: {**_OVER_IPV4, **_COMMENT} for name in ("udplite", "esp", "ah", "all", "igmp")},
        **{f"{name}-ipv6": {**_OVER_IPV6, **_COMMENT} for name in ("udplite", "esp", "ah", "all")},
        "icmp": {**_OVER_IPV4, **_ICMP, **_COMMENT},
        "icmpv6": {**_OVER_IPV6, **_ICMP, **_COMMENT},
    }
)

ETHERNET_PROTOCOLS = frozenset({"mac", "vlan", "stp", "arp", "rarp", "ip", "ipv6"})
"""Protocols that become ebtables rules; the others become iptables rules."""

_MAC_MASKS = (("srcmacmask", "srcmacaddr"), ("dstmacmask", "dstmacaddr"))
_IP_MASKS = (("srcipmask", "srcipaddr"), ("dstipmask", "dstipaddr"))
_IP_RANGES = (*_IP_MASKS, ("srcipto", "srcipfrom"), ("dstipto", "dstipfrom"))
_PORT_SIGNS = tuple((name, "srcportstart") for name in ("srcportend", "dstportstart", "dstportend"))
_STP_PAIRS = (
    _MAC_MASKS[0],
    ("root-priority-hi", "root-priority"),
    ("root-address-mask", "root-address"),
    *((f"{name}-{'mask' if kind is Kind.MAC else 'hi'}", name) for name, kind in _STP_NUMBERS),
)

Pairs = tuple[tuple[str, str], ...]


def _copied_signs(protocol: str) -> Pairs:
    if protocol in ("mac", "vlan"):
        return _MAC_MASKS
    if protocol == "stp":
        return _STP_PAIRS
    if protocol == "ip":
        return _IP_MASKS
    if protocol == "ipv6":
        return (*_IP_MASKS, *((name, "type") for name in ("typeend", "code", "codeend")))
    if protocol in ("icmp", "icmpv6"):
        return (*_IP_RANGES, ("code", "type"))
    if protocol in ("arp", "rarp"):
        return ()
    return (*_IP_RANGES, *_PORT_SIGNS) if "dstportstart" in PROTOCOLS[protocol] else _IP_RANGES


COPIED_SIGNS: Mapping[str, Pairs] = {name: _copied_signs(name) for name in PROTOCOLS}
"""Per protocol (attribute, the one whose match='no' it takes over); its own sign is lost (COPY_NEG_SIGN)."""


def _companions(protocol: str) -> Pairs:
    ports = (("srcportend", "srcportstart"), ("dstportend", "dstportstart"))
    arp_masks = (("arpsrcipmask", "arpsrcipaddr"), ("arpdstipmask", "arpdstipaddr"))
    icmp_code = (("code", "type"),) if protocol in ("icmp", "icmpv6") else ()
    stp = _STP_PAIRS if protocol == "stp" else ()
    pairs = dict.fromkeys((*_MAC_MASKS, *_IP_RANGES, *ports, *arp_masks, *icmp_code, *stp))
    return tuple(pair for pair in pairs if pair[0] in PROTOCOLS[protocol])


COMPANIONS: Mapping[str, Pairs] = {name: _companions(name) for name in PROTOCOLS}
"""Per protocol (attribute, the one without which libvirt makes no match of it): masks, ends of ranges."""

PROTOCOLS_WITH_PORTS_IN_HEADER = frozenset({"ip", "ipv6"})
PORT_CARRIERS = frozenset({"6", "17", "33", "132", "tcp", "udp", "sctp"})
"""Values of `protocol` with which libvirt takes ports in `<ip>` and `<ipv6>`; 33 is DCCP (virNWFilterRuleValidate)."""

IPSET_PROTOCOLS = frozenset({"all", "all-ipv6"})
"""The only protocols in which an ipset works; elsewhere it is dropped (virNWFilterRuleDefFixupIPSet)."""

PORTS = frozenset(_PORTS)

ACTIONS = ("drop", "accept", "reject", "return", "continue")
DIRECTIONS = ("in", "out", "inout")
DEFAULT_RULE_PRIORITY = 500
PRIORITIES = range(-1000, 1001)
"""Of rules and of chains."""

CHAIN_PRIORITIES: Mapping[str, int] = {
    "mac": -800,
    "vlan": -750,
    "stp": 0,
    "arp": -500,
    "rarp": -400,
    "ipv4": -700,
    "ipv6": -600,
}
"""The default priority of a chain by the prefix of its name; `root` has 0 and is no prefix."""

MAX_CHAIN_NAME = 12
