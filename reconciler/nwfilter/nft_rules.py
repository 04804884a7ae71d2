"""One form for all rules of nft that do the same, and its text.

nft leaves out what a later match implies (`ether type ip` before `ip saddr`), prints ports by the protocol that it
knows (`th dport` as `tcp dport`), and joins raw fields that stand side by side. So does this form. Conditions are
sorted, since all of a rule's must hold. A listing cannot tell `ether type ip` from `meta protocol ip` before such a
match; they differ for tagged frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from reconciler.model.kernel import Condition, KernelRule
from reconciler.nwfilter.nft_values import MASK

IPV4, IPV6, ARP, VLAN = "0x0800", "0x86dd", "0x0806", "0x8100"
SAME_ADDRESSES = "@same-ip-set"
"""libvirt's set of pairs of equal numbers, by which it compares two fields of ARP, a byte at a time."""

_NETWORK_OF = {"ip": IPV4, "icmp": IPV4, "ip6": IPV6, "icmpv6": IPV6, "arp": ARP, "vlan": VLAN}
_TRANSPORT_OF = {
    "icmp": "1", "igmp": "2", "tcp": "6", "udp": "17", "dccp": "33", "esp": "50", "ah": "51", "icmpv6": "58",
    "sctp": "132", "udplite": "136",
}  # fmt: skip
_WITH_PORTS = {_TRANSPORT_OF[name]: name for name in ("tcp", "udp", "dccp", "sctp", "udplite")}
_PROTOCOL_FIELDS = ("ip protocol", "ip6 nexthdr", "meta l4proto")


def settled(rule: KernelRule) -> KernelRule:
    """A rule, whose values are canonical, in canonical form."""
    return replace(rule, conditions=settled_conditions(rule.conditions))


def settled_conditions(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """The same conditions without what others of them imply, sorted."""
    found = [_without_whole_network(each) for each in conditions]
    port_words = _port_words(found)
    found = list(_joined([_by_protocol(each, port_words) for each in found]))
    words = {_word(each) for each in found}
    implied = {Condition("ether type", _NETWORK_OF[word]) for word in words if word in _NETWORK_OF}
    implied |= {Condition("meta l4proto", _TRANSPORT_OF[word]) for word in words if word in _TRANSPORT_OF}
    return tuple(sorted(set(found) - implied, key=lambda each: (each.option, each.value, each.negated)))


def _word(condition: Condition) -> str:
    return condition.option.partition(" ")[0]


def _without_whole_network(condition: Condition) -> Condition:
    """Every packet of a family has an address in the whole of it."""
    word = _word(condition)
    if condition.value in ("0.0.0.0/0", "::/0") and not condition.negated:
        return Condition("ether type", _NETWORK_OF[word])
    return condition


def _port_words(conditions: Iterable[Condition]) -> str:
    """The word for the ports of the protocol that a rule asks for; `th` where it asks for none that has any."""
    known = (each.value for each in conditions if each.option in _PROTOCOL_FIELDS and not each.negated)
    return next((_WITH_PORTS[value] for value in known if value in _WITH_PORTS), "th")


def _by_protocol(condition: Condition, word: str) -> Condition:
    if condition.option in ("th sport", "th dport"):
        return replace(condition, option=f"{word} {condition.option[3:]}")
    return condition


def _joined(conditions: list[Condition]) -> Iterator[Condition]:
    """Raw fields that must have a value, and stand side by side, as one field."""
    raw = sorted(_Bits.of(each) for each in conditions if _is_raw_value(each))
    runs: list[_Bits] = []
    for each in raw:
        neighbour = next((run for run in runs if (run.base, run.end) == (each.base, each.offset)), None)
        if neighbour:
            runs[runs.index(neighbour)] = neighbour.followed_by(each)
        else:
            runs.append(each)
    yield from (run.condition for run in runs)
    yield from (each for each in conditions if not _is_raw_value(each))


def _is_raw_value(condition: Condition) -> bool:
    plain = condition.value.isdecimal() and not condition.negated
    return plain and condition.option.startswith("@") and MASK not in condition.option


class _Bits(NamedTuple):
    """A raw field: its header, its place and length in bits, and its value."""

    base: str
    offset: int
    length: int
    value: int

    @classmethod
    def of(cls, condition: Condition) -> _Bits:
        base, offset, length = condition.option.split(",")
        return cls(base, int(offset), int(length), int(condition.value))

    @property
    def end(self) -> int:
        return self.offset + self.length

    def followed_by(self, other: _Bits) -> _Bits:
        return self._replace(length=self.length + other.length, value=self.value << other.length | other.value)

    @property
    def condition(self) -> Condition:
        return Condition(f"{self.base},{self.offset},{self.length}", str(self.value))


_ETHERTYPE_WORDS = {IPV4: "ip", IPV6: "ip6", ARP: "arp", VLAN: "8021q"}
_PROTOCOL_WORDS = {
    "1": "icmp", "2": "igmp", "6": "tcp", "17": "udp", "47": "gre", "50": "esp", "51": "ah", "58": "ipv6-icmp",
    "132": "sctp",
}  # fmt: skip
_WORDS: Mapping[str, Mapping[str, str]] = {
    "ether type": _ETHERTYPE_WORDS,
    "vlan type": _ETHERTYPE_WORDS,
    "arp ptype": _ETHERTYPE_WORDS,
    **dict.fromkeys(_PROTOCOL_FIELDS, _PROTOCOL_WORDS),
}
_INTERFACES = {"in-interface": "iif", "out-interface": "oif"}


def rule_text(chain: str, rule: KernelRule) -> str:
    """The rule as nft writes it, behind the name of its chain."""
    return " ".join((f"{chain}:", *_words(rule.conditions), *_verdict(rule)))


def _words(conditions: Iterable[Condition]) -> Iterator[str]:
    for each in conditions:
        operator = "!= " if each.negated else "== " if MASK in each.option else ""
        if each.option in _INTERFACES:
            yield f'{_INTERFACES[each.option]} {operator}"{each.value}"'
        else:
            yield f"{each.option} {operator}{_WORDS.get(each.option, {}).get(each.value, each.value)}"


def _verdict(rule: KernelRule) -> tuple[str, ...]:
    if rule.target in ("ACCEPT", "DROP", "RETURN", "CONTINUE", "REJECT"):
        return (rule.target.lower(),)
    return ("goto" if rule.goto else "jump", rule.target)
