"""The ebtables rules that libvirt makes of a rule of a filter.

Source: libvirt 9.0, nwfilter_ebiptables_driver.c, ebtablesCreateRuleInstance. Its mistakes are kept, because the
kernel runs them: the mask of an ARP sender is used for a target without one, `dscp` is compared with the whole TOS
byte, and a VLAN's encapsulated protocol is written in decimal where ebtables reads hexadecimal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from reconciler.model.kernel import Condition, Family, KernelRule
from reconciler.nwfilter.canonical_rules import canonical_rule
from reconciler.nwfilter.instances import Attributes, CannotInstantiate, Instance, Value, combinations
from reconciler.nwfilter.names import BRIDGE_GROUP, ETHERTYPES

Conditions = Iterator[Condition]

_TARGETS = {"accept": "ACCEPT", "drop": "DROP", "reject": "DROP", "return": "RETURN", "continue": "CONTINUE"}


def ethernet_rules(instance: Instance, chain: str, *, reverse: bool) -> Iterator[KernelRule]:
    """The rules of one instance in one chain, in canonical form; `reverse` swaps source and destination.

    Raises CannotInstantiate where ebtables or the kernel would refuse one.
    """
    target = _TARGETS[instance.rule.action]
    for attributes in combinations(instance):
        conditions = tuple(_conditions(instance, attributes, reverse)) if instance.rule.matches else ()
        rule = KernelRule(conditions, target, rule_text(chain, conditions, target), source=instance.source)
        try:
            canonical = canonical_rule(rule, Family.ETHERNET)
        except ValueError as error:
            raise CannotInstantiate(f"{instance.source}: ebtables would refuse it: {error}") from None
        _check_kernel(instance, canonical)
        yield canonical


def _conditions(instance: Instance, attributes: Attributes, reverse: bool) -> Conditions:
    if instance.protocol == "stp" and reverse and attributes.get("srcmacaddr"):
        raise CannotInstantiate(f"{instance.source}: libvirt takes no source MAC in an stp rule of direction inout")
    yield from _ethernet_header(attributes, reverse)
    yield from _PROTOCOLS[instance.protocol](attributes, reverse)


def _plain(attributes: Attributes, name: str, option: str) -> Conditions:
    if value := attributes.get(name):
        yield Condition(option, value.text, value.negated)


def _paired(attributes: Attributes, name: str, second: str, option: str, separator: str) -> Conditions:
    """An address with its mask, or the start of a range with its end; without the first there is no match."""
    if value := attributes.get(name):
        other = attributes.get(second)
        yield Condition(option, f"{value.text}{separator}{other.text}" if other else value.text, value.negated)


def _ethernet_header(attributes: Attributes, reverse: bool) -> Conditions:
    source, destination = ("destination", "source") if reverse else ("source", "destination")
    yield from _paired(attributes, "srcmacaddr", "srcmacmask", source, "/")
    yield from _paired(attributes, "dstmacaddr", "dstmacmask", destination, "/")


def _mac(attributes: Attributes, _reverse: bool) -> Conditions:
    if value := attributes.get("protocolid"):
        yield Condition("protocol", value.text, value.negated)


def _vlan(attributes: Attributes, _reverse: bool) -> Conditions:
    yield Condition("protocol", "0x8100")
    yield from _plain(attributes, "vlanid", "vlan-id")
    if value := attributes.get("encap-protocol"):
        yield Condition("vlan-encap", value.text if value.variable else _misread(value), value.negated)


def _misread(value: Value) -> str:
    """What ebtables takes for a VLAN's encapsulated protocol: decimal digits read as hexadecimal, 16 bits of it."""
    number = ETHERTYPES.get(value.text)
    decimal = str(int(value.text, 0) if number is None else number)
    return f"{int(decimal, 16) & 0xFFFF:#x}"


_STP_RANGES = {
    "root-priority": "stp-root-prio", "root-cost": "stp-root-cost", "sender-priority": "stp-sender-prio",
    "port": "stp-port", "age": "stp-msg-age", "max-age": "stp-max-age", "hello-time": "stp-hello-time",
    "forward-delay": "stp-forward-delay",
}  # fmt: skip


def _stp(attributes: Attributes, _reverse: bool) -> Conditions:
    yield Condition("destination", BRIDGE_GROUP)
    yield from _plain(attributes, "type", "stp-type")
    yield from _plain(attributes, "flags", "stp-flags")
    for name, option in _STP_RANGES.items():
        yield from _paired(attributes, name, f"{name}-hi", option, ":")
    yield from _paired(attributes, "root-address", "root-address-mask", "stp-root-addr", "/")
    yield from _paired(attributes, "sender-address", "sender-address-mask", "stp-sender-addr", "/")


def _arp_of(ethertype: str) -> Callable[[Attributes, bool], Conditions]:
    def conditions(attributes: Attributes, reverse: bool) -> Conditions:
        yield Condition("protocol", ethertype)
        yield from _plain(attributes, "hwtype", "arp-htype")
        if opcode := attributes.get("opcode"):
            yield Condition("arp-op", opcode.text, opcode.negated)
        if protocol := attributes.get("protocoltype"):
            text = protocol.text if protocol.variable else f"{int(protocol.text):#x}"
            yield Condition("arp-ptype", text, protocol.negated)
        yield from _arp_addresses(attributes, reverse)
        gratuitous = attributes.get("gratuitous")
        if gratuitous and not gratuitous.variable and gratuitous.text == "true":
            yield Condition("arp-gratuitous", "", gratuitous.negated)

    return conditions


def _arp_addresses(attributes: Attributes, reverse: bool) -> Conditions:
    source, target = ("dst", "src") if reverse else ("src", "dst")
    mask = "32"
    for prefix, side in (("arpsrc", source), ("arpdst", target)):
        if address := attributes.get(f"{prefix}ipaddr"):
            own_mask = attributes.get(f"{prefix}ipmask")
            mask = own_mask.text if own_mask else mask
            yield Condition(f"arp-ip-{side}", f"{address.text}/{mask}", address.negated)
    yield from _plain(attributes, "arpsrcmacaddr", f"arp-mac-{source}")
    yield from _plain(attributes, "arpdstmacaddr", f"arp-mac-{target}")


def _packet(attributes: Attributes, reverse: bool, prefix: str, ethertype: str) -> Conditions:
    source, destination = ("dst", "src") if reverse else ("src", "dst")
    sport, dport = ("dport", "sport") if reverse else ("sport", "dport")
    yield Condition("protocol", ethertype)
    yield from _paired(attributes, "srcipaddr", "srcipmask", f"{prefix}-{source}", "/")
    yield from _paired(attributes, "dstipaddr", "dstipmask", f"{prefix}-{destination}", "/")
    yield from _plain(attributes, "protocol", f"{prefix}-proto")
    yield from _paired(attributes, "srcportstart", "srcportend", f"{prefix}-{sport}", ":")
    yield from _paired(attributes, "dstportstart", "dstportend", f"{prefix}-{dport}", ":")


def _ip(attributes: Attributes, reverse: bool) -> Conditions:
    yield from _packet(attributes, reverse, "ip", "0x0800")
    if dscp := attributes.get("dscp"):
        yield Condition("ip-tos", dscp.text if dscp.variable else f"{int(dscp.text):#x}", dscp.negated)


def _ipv6(attributes: Attributes, reverse: bool) -> Conditions:
    yield from _packet(attributes, reverse, "ip6", "0x86dd")
    kind = attributes.get("type")
    if kind or any(attributes.get(name) for name in ("typeend", "code", "codeend")):
        kinds, codes = _least_to_greatest(attributes, "type"), _least_to_greatest(attributes, "code")
        yield Condition("ip6-icmp-type", f"{kinds}/{codes}", kind is not None and kind.negated)


def _least_to_greatest(attributes: Attributes, name: str) -> str:
    low, high = attributes.get(name), attributes.get(f"{name}end")
    least = low.text if low else "0"
    greatest = least if low else "255"
    return f"{least}:{high.text if high else greatest}"


_PROTOCOLS: dict[str, Callable[[Attributes, bool], Conditions]] = {
    "mac": _mac,
    "vlan": _vlan,
    "stp": _stp,
    "arp": _arp_of("0x0806"),
    "rarp": _arp_of("0x8035"),
    "ip": _ip,
    "ipv6": _ipv6,
}

_PORT_CARRIERS = {"6", "17", "33", "132", "136"}


def _check_kernel(instance: Instance, rule: KernelRule) -> None:
    """The checks of ebt_ip and ebt_ip6: ports and ICMPv6 types need a protocol that has them."""
    for prefix in ("ip", "ip6"):
        protocol = next((c for c in rule.conditions if c.option == f"{prefix}-proto"), None)
        carrier = protocol.value if protocol and not protocol.negated else None
        for condition in rule.conditions:
            ports = condition.option in (f"{prefix}-sport", f"{prefix}-dport") and carrier not in _PORT_CARRIERS
            types = condition.option == "ip6-icmp-type" and prefix == "ip6" and carrier != "58"
            if ports or types:
                needed = "tcp, udp, sctp or dccp" if ports else "icmpv6"
                raise CannotInstantiate(f"{instance.source}: the kernel refuses --{condition.option} without {needed}")


_ETHERTYPE_WORDS = {"0x0800": "IPv4", "0x86dd": "IPv6", "0x0806": "ARP"}


def rule_text(chain: str, conditions: tuple[Condition, ...], target: str) -> str:
    """The rule as ebtables-save prints it: short for one whole address, by name for the common protocols."""
    return " ".join((f"-A {chain}", *map(_words, conditions), f"-j {target}"))


def _words(condition: Condition) -> str:
    mark, value = "! " if condition.negated else "", condition.value
    if condition.option == "protocol":
        return f"-p {mark}{_ETHERTYPE_WORDS.get(value.lower(), value)}"
    if condition.option in ("source", "destination"):
        return f"-{condition.option[0]} {mark}{value.lower()}"
    whole = {"ip": "/32", "ip6": "/128", "arp": "/32"}.get(condition.option.partition("-")[0], "")
    return f"--{condition.option} {mark}{value.removesuffix(whole)}".rstrip()
