"""One form for all rules that do the same, whoever wrote or printed them.

`canonical(predicted) == canonical(read back)` means: the same rules. Names become numbers, single ports and types
become ranges, prefixes lose their host bits, what holds for every packet is left out, and conditions are sorted,
since all of a rule's must hold. An option that is not known here stays as it is, and differs from all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from reconciler.model.kernel import Condition, Family, KernelChain, KernelRule, Ruleset
from reconciler.nwfilter.names import (
    ARP_OPERATIONS,
    BROADCAST,
    ETHERTYPES,
    ICMP_TYPES,
    ICMPV6_TYPES,
    MAC_NAMES,
    PROTOCOLS,
    STP_FLAGS,
    STP_TYPES,
    IcmpRange,
)
from reconciler.nwfilter.nft_rules import settled

ANYTHING = ""
"""The canonical value of a match that every packet of its protocol fulfils."""

Canonicaliser = Callable[[str], str]
_Table = Mapping[str, Canonicaliser]
_MOST_KEPT = 65_536


def canonical(ruleset: Ruleset) -> Ruleset:
    """A ruleset with every rule in canonical form. ValueError for a value that the tools would refuse."""
    return replace(ruleset, chains=tuple(_chain(chain, ruleset.family) for chain in ruleset.chains))


def _chain(chain: KernelChain, family: Family) -> KernelChain:
    return replace(chain, rules=tuple(canonical_rule(rule, family) for rule in chain.rules))


def canonical_rule(rule: KernelRule, family: Family) -> KernelRule:
    """A rule in canonical form. ValueError for a value that the tools would refuse."""
    if family.of_nft:
        return settled(rule)
    found = {condition for each in rule.conditions for condition in canonical_condition(each, family)}
    return replace(rule, conditions=tuple(sorted(found, key=_order)))


@lru_cache(maxsize=_MOST_KEPT)
def canonical_condition(condition: Condition, family: Family) -> tuple[Condition, ...]:
    """The condition in canonical form, none if it always holds."""
    option, negated = _SYNONYMS[family].get(condition.option, condition.option), condition.negated
    if option == "connlimit-upto":
        option, negated = "connlimit-above", not negated
    canonicalise = _OPTIONS[family].get(option)
    value = canonicalise(condition.value) if canonicalise else condition.value
    always_holds = canonicalise is not None and value == ANYTHING and not negated
    return () if always_holds else (Condition(option, value, negated),)


def _order(condition: Condition) -> tuple[str, str, bool]:
    return (condition.option, condition.value, condition.negated)


def mac_and_mask(value: str) -> tuple[int, int]:
    """A MAC match as numbers; the address is masked."""
    address, _, mask = MAC_NAMES.get(value.lower(), value).partition("/")
    bits = mac_number(mask or BROADCAST)
    return mac_number(address) & bits, bits


def mac_number(text: str) -> int:
    parts = text.split(":")
    if len(parts) != 6 or not all(1 <= len(part) <= 2 for part in parts):
        raise ValueError(f"'{text}' is no MAC address")
    return int("".join(part.zfill(2) for part in parts), 16)


def mac_text(number: int) -> str:
    return number.to_bytes(6, "big").hex(":")


def _mac(value: str) -> str:
    address, bits = mac_and_mask(value)
    if not bits:
        return ANYTHING
    return mac_text(address) if mac_text(bits) == BROADCAST else f"{mac_text(address)}/{mac_text(bits)}"


def _named(names: Mapping[str, int], base: int, form: str, maximum: int) -> Canonicaliser:
    def canonicalise(value: str) -> str:
        try:
            number = int(value, base)
        except ValueError:
            number = names.get(value.lower(), -1)
        if not 0 <= number <= maximum:
            raise ValueError(f"'{value}' is neither a known name nor a number up to {maximum}")
        return form.format(number)

    return canonicalise


def _ethertype(value: str) -> str:
    return "LENGTH" if value.lower() == "length" else _ETHERTYPE_NUMBER(value)


_ETHERTYPE_NUMBER = _named(ETHERTYPES, 16, "{:#06x}", 0xFFFF)
_PROTOCOL_NUMBER = _named(PROTOCOLS, 10, "{}", 0xFF)


def _number(maximum: int, form: str = "{}", base: int = 0) -> Canonicaliser:
    return _named({}, base, form, maximum)


def _decimal(maximum: int) -> Canonicaliser:
    return _number(maximum, base=10)


def _network(version: int) -> Canonicaliser:
    def canonicalise(value: str) -> str:
        address, _, mask = value.partition("/")
        network = ip_network(
            f"{_address(version, address)}/{mask}" if mask else _address(version, address), strict=False
        )
        return ANYTHING if network.prefixlen == 0 else str(network)

    return canonicalise


def _address(version: int, text: str) -> IPv4Address | IPv6Address:
    """An address as the tools read it: the parts of an IPv4 address may be octal or hexadecimal."""
    if version == 4:
        parts = text.split(".")
        numbers = bytes(int(part, 8 if _is_octal(part) else 0) for part in parts)
        if len(numbers) != 4:
            raise ValueError(f"'{text}' is no IPv4 address")
        return IPv4Address(numbers)
    address = ip_address(text)
    if address.version != version:
        raise ValueError(f"'{text}' is no IPv{version} address")
    return address


def _is_octal(part: str) -> bool:
    return len(part) > 1 and part.startswith("0") and part[1:].isdigit()


def _address_range(version: int) -> Canonicaliser:
    def canonicalise(value: str) -> str:
        low, dash, high = value.partition("-")
        return f"{_address(version, low)}-{_address(version, high if dash else low)}"

    return canonicalise


def _range(maximum: int, *, may_be_empty: bool = False) -> Canonicaliser:
    """`n`, `n:m`, `:m` or `n:`, always as `n:m`. iptables, not ebtables, takes one that ends before it starts."""

    def canonicalise(value: str) -> str:
        low, colon, high = value.partition(":")
        least = int(low or 0)
        greatest = int(high or maximum) if colon else least
        if max(least, greatest) > maximum or (least > greatest and not may_be_empty):
            raise ValueError(f"'{value}' is no range up to {maximum}")
        return f"{least}:{greatest}"

    return canonicalise


_BYTES = _range(255)


def _icmp(names: Mapping[str, IcmpRange]) -> Canonicaliser:
    """`type[:type][/code[:code]]` or a name, always as `type:type/code:code`."""

    def canonicalise(value: str) -> str:
        if value.lower() in names:
            kind, low, high = names[value.lower()]
            return f"{kind}:{kind}/{low}:{high}"
        if value == "any":
            return "0:255/0:255"
        kinds, _, codes = value.partition("/")
        return f"{_BYTES(kinds)}/{_BYTES(codes or ':')}"

    return canonicalise


_TCP_FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16, "URG": 32, "ALL": 63, "NONE": 0}


def _tcp_flags(value: str) -> str:
    mask, flags = (_flag_bits(words) for words in value.split(" "))
    return f"{mask:#04x} {flags:#04x}" if mask or flags else ANYTHING


def _flag_bits(words: str) -> int:
    bits = 0
    for word in words.split(","):
        bits |= _TCP_FLAGS[word] if word in _TCP_FLAGS else int(word, 0)
    return bits


def _states(value: str) -> str:
    return ",".join(sorted(value.upper().split(",")))


def _packet_options(prefix: str, version: int) -> dict[str, Canonicaliser]:
    return {
        f"{prefix}-src": _network(version),
        f"{prefix}-dst": _network(version),
        f"{prefix}-tos": _number(255, "{:#04x}", 16),
        f"{prefix}-tclass": _number(255, "{:#04x}", 16),
        f"{prefix}-proto": _PROTOCOL_NUMBER,
        f"{prefix}-sport": _range(65535),
        f"{prefix}-dport": _range(65535),
        f"{prefix}-icmp-type": _icmp(ICMP_TYPES if version == 4 else ICMPV6_TYPES),
    }


_ETHERNET: _Table = {
    "protocol": _ethertype,
    "source": _mac,
    "destination": _mac,
    **_packet_options("ip", 4),
    **_packet_options("ip6", 6),
    "arp-op": _named(ARP_OPERATIONS, 10, "{}", 0xFFFF),
    "arp-htype": _named({"ethernet": 1}, 10, "{}", 0xFFFF),
    "arp-ptype": _ETHERTYPE_NUMBER,
    "arp-ip-src": _network(4),
    "arp-ip-dst": _network(4),
    "arp-mac-src": _mac,
    "arp-mac-dst": _mac,
    "vlan-id": _decimal(4094),
    "vlan-prio": _decimal(7),
    "vlan-encap": _ETHERTYPE_NUMBER,
    "stp-type": _named(STP_TYPES, 0, "{}", 255),
    "stp-flags": _named(STP_FLAGS, 0, "{}", 255),
    "stp-root-addr": _mac,
    "stp-sender-addr": _mac,
    "stp-root-cost": _range(0xFFFFFFFF),
    **{
        f"stp-{name}": _range(0xFFFF)
        for name in ("root-prio", "sender-prio", "port", "msg-age", "max-age", "hello-time", "forward-delay")
    },
}


def _ip_protocol(value: str) -> str:
    return ANYTHING if value == "all" else _PROTOCOL_NUMBER(value)


def _packets(version: int, bits: int) -> dict[str, Canonicaliser]:
    icmp = {"icmp-type": _icmp(ICMP_TYPES)} if version == 4 else {"icmpv6-type": _icmp(ICMPV6_TYPES)}
    return {
        "protocol": _ip_protocol,
        "source": _network(version),
        "destination": _network(version),
        "src-range": _address_range(version),
        "dst-range": _address_range(version),
        "mac-source": _mac,
        "sport": _range(65535, may_be_empty=True),
        "dport": _range(65535, may_be_empty=True),
        "tcp-flags": _tcp_flags,
        "tcp-option": _decimal(255),
        **icmp,
        "dscp": _number(63, "{:#04x}"),
        "ctstate": _states,
        "ctdir": str.upper,
        "connlimit-above": _decimal(0xFFFFFFFF),
        "connlimit-mask": lambda value: ANYTHING if value == str(bits) else value,
        "connlimit-saddr": lambda _value: ANYTHING,
        "reject-with": lambda value: ANYTHING if value in _DEFAULT_REJECT else value,
    }


_DEFAULT_REJECT = ("icmp-port-unreachable", "icmp6-port-unreachable")
_OPTIONS: Mapping[Family, _Table] = {
    Family.ETHERNET: _ETHERNET,
    Family.IPV4: _packets(4, 32),
    Family.IPV6: _packets(6, 128),
}


def _long_names(prefix: str) -> dict[str, str]:
    longer = {
        "source": "src", "destination": "dst", "protocol": "proto", "source-port": "sport", "destination-port": "dport",
    }  # fmt: skip
    return {f"{prefix}-{name}": f"{prefix}-{short}" for name, short in longer.items()}


_TRANSPORT_NAMES = {"source-port": "sport", "destination-port": "dport", "state": "ctstate"}
_SYNONYMS: Mapping[Family, Mapping[str, str]] = {
    Family.ETHERNET: {**_long_names("ip"), **_long_names("ip6"), "arp-opcode": "arp-op"},
    Family.IPV4: _TRANSPORT_NAMES,
    Family.IPV6: {**_TRANSPORT_NAMES, "icmp-type": "icmpv6-type"},
}
