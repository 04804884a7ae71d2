"""The rules of nft that libvirt makes of a rule of a filter.

Source: libvirt 12.8, nwfilter_nftables_driver.c, nftablesHandleEthernetRule and nftablesHandleInetRule. Its mistakes
are kept, because the kernel runs them: the ranges of `stp` are inverted, the protocol type of `rarp` is read at a
wrong place, an address of `rarp` under a mask is compared without its shift, the ends of ranges of ICMPv6 types are
forgotten, an address with bits outside of its MAC mask matches nothing, the source MAC of a packet is never swapped,
and `ipset` asks for nothing. What nft refuses is refused here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from reconciler.model.kernel import Condition, KernelRule
from reconciler.nwfilter.instances import Attributes, CannotInstantiate, Instance, Value
from reconciler.nwfilter.names import ARP_OPERATIONS, BRIDGE_GROUP, BROADCAST
from reconciler.nwfilter.nft_rules import SAME_ADDRESSES
from reconciler.nwfilter.nft_values import MASK, canonical_range, canonical_set, canonical_value, ordinal
from reconciler.nwfilter.values import STATES

Conditions = Iterator[Condition]

_TARGETS = {"accept": "ACCEPT", "drop": "DROP", "reject": "DROP", "return": "RETURN", "continue": "CONTINUE"}
_LONGEST_COMMENT = 127
"""Bytes that nft keeps of a comment (NFTNL_UDATA_COMMENT_MAXLEN); libvirt puts a word before the filter's own."""


def nft_rule(instance: Instance, attributes: Attributes, direction: str, *, reverse: bool) -> KernelRule:
    """A rule in the chain of one direction, not yet settled; `reverse` swaps source and destination.

    Raises CannotInstantiate where nft would refuse it, or what it makes of it cannot be read back.
    """
    try:
        conditions = tuple(_conditions(instance, attributes, direction, reverse))
    except (ValueError, KeyError) as error:
        raise CannotInstantiate(f"{instance.source}: nft would refuse it: {error}") from None
    return KernelRule(conditions, _TARGETS[instance.rule.action], source=instance.source)


def needs_connection(instance: Instance) -> bool:
    """Whether a rule of packets asks for the state of a connection; libvirt takes no variable for one."""
    rule = instance.rule
    states = {name: text for match in rule.matches for name, text in match.attributes}.get("state", "$")
    return rule.statematch and (rule.action == "accept" or not states.startswith("$"))


def _conditions(instance: Instance, attributes: Attributes, direction: str, reverse: bool) -> Conditions:
    if not instance.is_ethernet:
        yield from _packet_conditions(instance, attributes, direction, reverse)
    elif instance.rule.matches:
        if instance.protocol == "stp" and reverse and attributes.get("srcmacaddr"):
            raise ValueError("libvirt takes no source MAC in an stp rule of direction inout")
        yield from _ethernet_header(attributes, reverse)
        yield from _ETHERNET[instance.protocol](attributes, reverse)


def _sides(reverse: bool) -> tuple[str, str]:
    return ("daddr", "saddr") if reverse else ("saddr", "daddr")


def _is(field: str, value: Value | None) -> Conditions:
    if value:
        yield Condition(field, canonical_value(field, value.text), value.negated)


def _ethernet_header(attributes: Attributes, reverse: bool) -> Conditions:
    for prefix, side in zip(("src", "dst"), _sides(reverse), strict=True):
        if address := attributes.get(f"{prefix}macaddr"):
            mask = attributes.get(f"{prefix}macmask")
            field = f"ether {side}"
            bits = canonical_value(field, mask.text) if mask else BROADCAST
            masked = field if bits == BROADCAST else f"{field}{MASK}{bits}"
            yield Condition(masked, canonical_value(field, address.text), address.negated)


def _mac(attributes: Attributes, _reverse: bool) -> Conditions:
    yield from _is("ether type", _ethertype(attributes.get("protocolid")))


_ETHERTYPE_NAMES = {"ipv4": "0x0800", "ipv6": "0x86dd", "arp": "0x0806", "rarp": "0x8035", "vlan": "0x8100"}


def _ethertype(value: Value | None) -> Value | None:
    """libvirt's own names are numbers to nft."""
    if value is None or value.variable:
        return value
    return Value(_ETHERTYPE_NAMES.get(value.text, value.text), value.negated, value.variable)


def _vlan(attributes: Attributes, _reverse: bool) -> Conditions:
    yield Condition("ether type", "0x8100")
    yield from _is("vlan id", attributes.get("vlanid"))
    yield from _is("vlan type", _ethertype(attributes.get("encap-protocol")))


def _ip(attributes: Attributes, reverse: bool) -> Conditions:
    protocol = attributes.get("protocol")
    yield Condition("ether type", "0x0800", negated=protocol is not None and protocol.negated)
    yield from _networks(attributes, "ip", reverse)
    yield from _is("ip protocol", protocol)
    yield from _th_ports(attributes, reverse)
    yield from _is("ip dscp", attributes.get("dscp"))


def _ipv6(attributes: Attributes, reverse: bool) -> Conditions:
    yield Condition("ether type", "0x86dd")
    yield from _networks(attributes, "ip6", reverse)
    yield from _is("ip6 nexthdr", attributes.get("protocol"))
    yield from _th_ports(attributes, reverse)
    yield from _is("icmpv6 type", attributes.get("type"))
    yield from _is("icmpv6 code", attributes.get("code"))


def _networks(attributes: Attributes, word: str, reverse: bool) -> Conditions:
    for prefix, side in zip(("src", "dst"), _sides(reverse), strict=True):
        if address := attributes.get(f"{prefix}ipaddr"):
            yield _network(f"{word} {side}", address, attributes.get(f"{prefix}ipmask"))


def _network(field: str, address: Value, mask: Value | None) -> Condition:
    text = f"{address.text}/{mask.text}" if mask else address.text
    return Condition(field, canonical_value(field, text), address.negated)


def _th_ports(attributes: Attributes, reverse: bool) -> Conditions:
    yield from _ports(attributes, "th", "src", "dport" if reverse else "sport")
    yield from _ports(attributes, "th", "dst", "sport" if reverse else "dport")


def _ports(attributes: Attributes, word: str, side: str, port: str) -> Conditions:
    if start := attributes.get(f"{side}portstart"):
        yield _range(f"{word} {port}", start, attributes.get(f"{side}portend"))


def _range(field: str, low: Value, high: Value | None) -> Condition:
    return Condition(field, canonical_range(field, low.text, (high or low).text), low.negated)


def _arp(attributes: Attributes, reverse: bool) -> Conditions:
    yield Condition("ether type", "0x0806")
    yield from _is("arp htype", attributes.get("hwtype"))
    yield from _is("arp ptype", attributes.get("protocoltype"))
    yield from _is("arp operation", _opcode(attributes))
    sides = _sides(reverse)
    mask = None
    for prefix, side in zip(("arpsrc", "arpdst"), sides, strict=True):
        mask = attributes.get(f"{prefix}ipmask") or mask if attributes.get(f"{prefix}ipaddr") else mask
        if address := attributes.get(f"{prefix}ipaddr"):
            yield _network(f"arp {side} ip", address, mask)
    for prefix, side in zip(("arpsrc", "arpdst"), sides, strict=True):
        yield from _is(f"arp {side} ether", attributes.get(f"{prefix}macaddr"))
    yield from _gratuitous(attributes)


def _opcode(attributes: Attributes) -> Value | None:
    """libvirt's own names are numbers to nft."""
    value = attributes.get("opcode")
    if value is None or value.variable:
        return value
    return Value(str(ARP_OPERATIONS.get(value.text.lower(), value.text)), value.negated, value.variable)


def _gratuitous(attributes: Attributes) -> Conditions:
    value = attributes.get("gratuitous")
    if value and not value.variable and value.text == "true":
        for byte in ("255.0.0.0", "0.255.0.0", "0.0.255.0", "0.0.0.255"):
            field = f"arp saddr ip{MASK}{byte} . arp daddr ip{MASK}{byte}"
            yield Condition(field, SAME_ADDRESSES, value.negated)


def _rarp(attributes: Attributes, _reverse: bool) -> Conditions:
    yield Condition("ether type", "0x8035")
    yield from _is("@nh,0,16", attributes.get("hwtype"))
    yield from _is("@nh,40,16", attributes.get("protocoltype"))
    yield from _is("@nh,48,16", _opcode(attributes))
    for prefix, offset in (("arpsrc", 112), ("arpdst", 192)):
        if address := attributes.get(f"{prefix}ipaddr"):
            yield _raw_network(offset, address, attributes.get(f"{prefix}ipmask"))
    for prefix, offset in (("arpsrc", 64), ("arpdst", 144)):
        if address := attributes.get(f"{prefix}macaddr"):
            yield Condition(f"@nh,{offset},48", str(_mac_number(address)), address.negated)
    if any(_gratuitous(attributes)):
        raise ValueError("fields of arp in rarp")


def _raw_network(offset: int, address: Value, mask: Value | None) -> Condition:
    """As many bits as the mask has, compared with the whole address under the mask."""
    length = int(mask.text) if mask else 32
    number = ordinal("ip saddr", canonical_value("ip saddr", address.text)) >> (32 - length) << (32 - length)
    if not 0 < length <= 32 or number >> length:
        raise ValueError(f"{number} has more than {length} bits")
    return Condition(f"@nh,{offset},{length}", str(number), address.negated)


def _mac_number(value: Value) -> int:
    return ordinal("ether saddr", canonical_value("ether saddr", value.text))


_STP_RANGES = (
    ("root-priority", 64, 16), ("root-cost", 128, 32), ("sender-priority", 160, 16), ("port", 224, 16),
    ("age", 240, 16), ("max-age", 256, 16), ("hello-time", 272, 16), ("forward-delay", 288, 16),
)  # fmt: skip


def _stp(attributes: Attributes, _reverse: bool) -> Conditions:
    yield Condition("ether daddr", BRIDGE_GROUP)
    yield from _is("@nh,48,8", attributes.get("type"))
    yield from _is("@nh,56,8", attributes.get("flags"))
    for name, offset in (("root-address", 80), ("sender-address", 176)):
        if address := attributes.get(name):
            if attributes.get(f"{name}-mask"):
                raise ValueError(f"{name} under a mask is not what nft prints of it")
            yield Condition(f"@nh,{offset},48", str(_mac_number(address)), address.negated)
    for name, offset, length in _STP_RANGES:
        if low := attributes.get(name):
            found = _range(f"@nh,{offset},{length}", low, attributes.get(f"{name}-hi"))
            yield Condition(found.option, found.value, not found.negated)


_ETHERNET: dict[str, Callable[[Attributes, bool], Conditions]] = {
    "mac": _mac,
    "vlan": _vlan,
    "stp": _stp,
    "arp": _arp,
    "rarp": _rarp,
    "ip": _ip,
    "ipv6": _ipv6,
}


def _packet_conditions(instance: Instance, attributes: Attributes, direction: str, reverse: bool) -> Conditions:
    protocol, is_ipv6 = instance.protocol.removesuffix("-ipv6"), instance.protocol.endswith("v6")
    yield Condition("ether type", "0x86dd" if is_ipv6 else "0x0800")
    if protocol in ("icmp", "icmpv6"):
        field = "ip6 nexthdr" if is_ipv6 else "ip protocol"
        yield Condition(field, canonical_value(field, protocol))
    elif protocol != "all":
        yield Condition("meta l4proto", canonical_value("meta l4proto", protocol))
    yield from _is("ether saddr", attributes.get("srcmacaddr"))
    yield from _addresses(attributes, "ip6" if is_ipv6 else "ip", reverse)
    yield from _tcp(attributes)
    if protocol in ("tcp", "udp", "sctp"):
        yield from _ports(attributes, protocol, "dst", "sport" if reverse else "dport")
        yield from _ports(attributes, protocol, "src", "dport" if reverse else "sport")
    if kind := attributes.get("type"):
        yield from _is(f"{protocol} type", kind)
        yield from _is(f"{protocol} code", attributes.get("code"))
    yield from _connection(instance, attributes, direction, reverse)
    yield from _comment(attributes)


def _addresses(attributes: Attributes, word: str, reverse: bool) -> Conditions:
    found = [
        condition
        for prefix, side in zip(("src", "dst"), _sides(reverse), strict=True)
        for condition in _address(attributes, prefix, f"{word} {side}")
    ]
    if any(each.negated for each in found):
        raise ValueError("an inverted address")
    if word == "ip6" and any(value.variable for name in _ADDRESSES if (value := attributes.get(name))):
        raise ValueError("a variable for an address of IPv6, which libvirt takes for one of IPv4")
    yield from found
    if dscp := attributes.get("dscp"):
        if dscp.negated or (word == "ip6" and not found):
            raise ValueError("dscp inverted, or of IPv6 without an address")
        yield from _is(f"{word} dscp", dscp)


_ADDRESSES = ("srcipaddr", "srcipfrom", "dstipaddr", "dstipfrom")


def _address(attributes: Attributes, prefix: str, field: str) -> Conditions:
    if address := attributes.get(f"{prefix}ipaddr"):
        yield _network(field, address, attributes.get(f"{prefix}ipmask"))
    elif low := attributes.get(f"{prefix}ipfrom"):
        yield _range(field, low, attributes.get(f"{prefix}ipto"))


def _tcp(attributes: Attributes) -> Conditions:
    if attributes.get("option"):
        raise ValueError("a number of a TCP option")
    if flags := attributes.get("flags"):
        mask, _, wanted = ("NONE", "", "NONE") if flags.variable else flags.text.partition("/")
        if "," in mask or "ALL" in (mask, wanted):
            raise ValueError("a mask of several TCP flags")
        field = "tcp flags"
        yield Condition(f"{field}{MASK}{_flag(mask)}", canonical_set(map(_flag, wanted.split(","))), flags.negated)


def _flag(word: str) -> str:
    return canonical_value("tcp flags", "0" if word == "NONE" else word.lower())


def _connection(instance: Instance, attributes: Attributes, direction: str, reverse: bool) -> Conditions:
    limit = attributes.get("connlimit-above") if direction == "out" else None
    if limit:
        if limit.negated:
            raise ValueError("an inverted limit of connections")
        yield Condition("ct count", f"over {int(limit.text)}")
    if needs_connection(instance):
        if not limit and not instance.protocol.startswith("icmp"):
            yield Condition("ct direction", "reply" if reverse else "original")
        yield Condition("ct state", canonical_value("ct state", _states(attributes, reverse)))


def _states(attributes: Attributes, reverse: bool) -> str:
    text = attributes.literal("state")
    if text and text != "NONE":
        return ",".join(state for state in STATES if state in text.split(","))
    return "established" if reverse else "new,established"


def _comment(attributes: Attributes) -> Conditions:
    """libvirt makes single quotes of double ones."""
    if comment := attributes.get("comment"):
        text = "usercomment=" + ("" if comment.variable else comment.text.replace('"', "'"))
        if len(text.encode()) > _LONGEST_COMMENT:
            raise ValueError("a long comment")
        yield Condition("comment", text)
