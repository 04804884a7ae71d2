"""The iptables and ip6tables rules that libvirt makes of a rule of a filter.

Source: libvirt 9.0, nwfilter_ebiptables_driver.c, iptablesCreateRuleInstance and iptablesCreateRuleInstanceStateCtrl.
Chains FI (what a port sends), FO (what it gets) and HI (what it sends to the host) follow the direction of the rule
and a connection's state, so that answers pass the other way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.model.kernel import Condition, Family, KernelChain, KernelRule, Ruleset
from reconciler.nwfilter.canonical_rules import canonical_rule
from reconciler.nwfilter.instances import Attributes, CannotInstantiate, Instance, combinations
from reconciler.nwfilter.protocols import ETHERNET_PROTOCOLS, PROTOCOLS
from reconciler.nwfilter.values import STATES

Conditions = Iterator[Condition]

_TARGETS = {"drop": "DROP", "reject": "REJECT", "return": "RETURN"}
_IPV4 = frozenset(name for name in PROTOCOLS if name not in ETHERNET_PROTOCOLS and not name.endswith("v6"))
_IPV6 = frozenset(name for name in PROTOCOLS if name not in ETHERNET_PROTOCOLS and name.endswith("v6"))
_PROTOCOLS_OF = {Family.IPV4: _IPV4, Family.IPV6: _IPV6}


def _jump(hook: str, chain: str) -> KernelRule:
    return KernelRule((), chain, f"-A {hook} -j {chain}")


_HOOKS = (
    KernelChain("FORWARD", "ACCEPT", tuple(_jump("FORWARD", f"libvirt-{name}") for name in ("in", "out", "in-post"))),
    KernelChain("INPUT", "ACCEPT", (_jump("INPUT", "libvirt-host-in"),)),
)


@dataclass(frozen=True, slots=True)
class _Place:
    """One of the three chains, and what a rule must ask there.

    `incoming` swaps source and destination; `states` are asked of accepting rules, and of others only when the
    filter's own `state` is behind them (`of_filter`).
    """

    chain: str
    incoming: bool
    states: str | None
    of_filter: bool
    accept: str
    skips_icmp_types: bool


def packet_ruleset(instances: tuple[Instance, ...], family: Family, port: str) -> Ruleset:
    """The chains of one port in one family, empty when no rule is of that family."""
    concerned = tuple(i for i in instances if i.protocol in _PROTOCOLS_OF[family])
    if not concerned:
        return Ruleset(family=family)
    rules: dict[str, list[KernelRule]] = {f"{prefix}-{port}": [] for prefix in ("FI", "FO", "HI")}
    for instance in concerned:
        for attributes in combinations(instance):
            for place in _places(instance, attributes):
                rules[f"{place.chain}-{port}"].extend(_rule(instance, attributes, place, family, port))
    return Ruleset((*_HOOKS, *_shared(port), *(KernelChain(name, "-", tuple(rules[name])) for name in rules)), family)


def _shared(port: str) -> Iterator[KernelChain]:
    """The rules of this port in the chains that all ports share."""
    for chain in ("libvirt-in", "libvirt-out", "libvirt-in-post", "libvirt-host-in"):
        yield KernelChain(chain, "-", (_link(chain, port),))


def _link(chain: str, port: str) -> KernelRule:
    if chain == "libvirt-in-post":
        return KernelRule((Condition("physdev-in", port),), "ACCEPT", f"-A {chain} --physdev-in {port} -j ACCEPT")
    if chain == "libvirt-out":
        bridged = Condition("physdev-is-bridged", "")
        text = f"-A {chain} --physdev-out {port} --physdev-is-bridged -g FO-{port}"
        return KernelRule((bridged, Condition("physdev-out", port)), f"FO-{port}", text, goto=True)
    target = f"{'HI' if chain == 'libvirt-host-in' else 'FI'}-{port}"
    text = f"-A {chain} --physdev-in {port} -g {target}"
    return KernelRule((Condition("physdev-in", port),), target, text, goto=True)


def _places(instance: Instance, attributes: Attributes) -> Iterator[_Place]:
    states = _states(attributes)
    if instance.rule.statematch and states is not None:
        return _places_of_filter_states(instance.rule.direction, states)
    return _places_of_default_states(instance.rule.direction, instance.rule.statematch)


def _states(attributes: Attributes) -> str | None:
    """The filter's own states, in libvirt's order; empty for NONE, None without any."""
    text = attributes.literal("state")
    if not text:
        return None
    return "" if text == "NONE" else ",".join(state for state in STATES if state in text.split(","))


def _places_of_filter_states(direction: str, states: str) -> Iterator[_Place]:
    """With `state` a rule stands only in the chains of its own direction."""
    incoming = direction != "out"
    asked = states or None
    if direction != "in":
        yield _Place("FI", incoming, asked, True, "RETURN", incoming)
    if direction != "out":
        yield _Place("FO", False, asked, True, "ACCEPT", direction == "inout")
    if direction != "in":
        yield _Place("HI", incoming, asked, True, "RETURN", incoming)


def _places_of_default_states(direction: str, statematch: bool) -> Iterator[_Place]:
    incoming = direction != "out"
    asks = statematch and direction != "inout"
    opening, answering = ("NEW,ESTABLISHED", "ESTABLISHED") if asks else (None, None)
    sent, got = (answering, opening) if incoming else (opening, answering)
    yield _Place("FI", incoming, sent, False, "RETURN", incoming)
    yield _Place("FO", not incoming, got, False, "ACCEPT", direction != "in")
    yield _Place("HI", incoming, sent, False, "RETURN", incoming)


def _rule(instance: Instance, attributes: Attributes, place: _Place, family: Family, port: str) -> Iterator[KernelRule]:
    matched = tuple(_matches(attributes, place.incoming))
    mac_skipped = place.incoming and attributes.get("srcmacaddr") is not None
    type_skipped = place.skips_icmp_types and instance.protocol in ("icmp", "icmpv6") and attributes.get("type")
    limit_skipped = place.incoming and attributes.get("connlimit-above")
    if type_skipped or limit_skipped or (mac_skipped and not matched):
        return
    action = instance.rule.action
    if action == "continue":
        raise CannotInstantiate(f"{instance.source}: iptables knows no 'continue', only ethernet-level rules have it")
    target = place.accept if action == "accept" else _TARGETS[action]
    protocol = instance.protocol.removesuffix("-ipv6")
    conditions = (
        Condition("protocol", protocol),
        *matched,
        *_state_conditions(instance, attributes, place),
        *_late_matches(instance, attributes, place.incoming),
    )
    chain = f"{place.chain}-{port}"
    rule = KernelRule(conditions, target, _text(chain, conditions, target), source=instance.source)
    try:
        yield canonical_rule(rule, family)
    except (ValueError, KeyError) as error:
        raise CannotInstantiate(f"{instance.source}: iptables would refuse it: {error}") from None


def _matches(attributes: Attributes, incoming: bool) -> Conditions:
    source, destination = ("dst", "src") if incoming else ("src", "dst")
    mac = attributes.get("srcmacaddr")
    if mac and not incoming:
        yield Condition("mac-source", mac.text, mac.negated)
    yield from _addresses(attributes, "src", source)
    yield from _addresses(attributes, "dst", destination)
    if dscp := attributes.get("dscp"):
        yield Condition("dscp", dscp.text, dscp.negated)
    if flags := attributes.get("flags"):
        yield Condition("tcp-flags", "NONE NONE" if flags.variable else flags.text.replace("/", " "), flags.negated)
    yield from _ports(attributes, "src", "dport" if incoming else "sport")
    yield from _ports(attributes, "dst", "sport" if incoming else "dport")
    if option := attributes.get("option"):
        yield Condition("tcp-option", option.text, option.negated)
    yield from _icmp_type(attributes)


def _addresses(attributes: Attributes, side: str, wanted: str) -> Conditions:
    if address := attributes.get(f"{side}ipaddr"):
        mask = attributes.get(f"{side}ipmask")
        option = "source" if wanted == "src" else "destination"
        yield Condition(option, f"{address.text}/{mask.text}" if mask else address.text, address.negated)
    elif low := attributes.get(f"{side}ipfrom"):
        high = attributes.get(f"{side}ipto")
        yield Condition(f"{wanted}-range", f"{low.text}-{high.text}" if high else low.text, low.negated)


def _ports(attributes: Attributes, side: str, option: str) -> Conditions:
    if start := attributes.get(f"{side}portstart"):
        end = attributes.get(f"{side}portend")
        yield Condition(option, f"{start.text}:{end.text}" if end else start.text, start.negated)


def _icmp_type(attributes: Attributes) -> Conditions:
    if kind := attributes.get("type"):
        code = attributes.get("code")
        yield Condition("icmp-type", f"{kind.text}/{code.text}" if code else kind.text, kind.negated)


def _state_conditions(instance: Instance, attributes: Attributes, place: _Place) -> Conditions:
    if place.states is None:
        return
    limited = attributes.get("connlimit-above") is not None
    accepts = instance.rule.action == "accept"
    if limited if accepts else not place.of_filter:
        return
    yield Condition("ctstate", place.states)
    if not place.of_filter and not _has_icmp_type(instance, attributes):
        yield Condition("ctdir", "REPLY" if place.incoming else "ORIGINAL")


def _has_icmp_type(instance: Instance, attributes: Attributes) -> bool:
    return instance.protocol in ("icmp", "icmpv6") and attributes.get("type") is not None


def _late_matches(instance: Instance, attributes: Attributes, incoming: bool) -> Conditions:
    name, flags = attributes.get("ipset"), attributes.get("ipsetflags")
    if name and flags:
        yield Condition("match-set", f"{name.text} {_set_flags(flags.text, incoming and not flags.variable)}")
    limit = attributes.get("connlimit-above")
    if limit and not incoming:
        yield Condition("connlimit-above", limit.text, limit.negated)
    if comment := attributes.get("comment"):
        if comment.variable:
            raise CannotInstantiate(f"{instance.source}: libvirt takes no variable as a comment")
        yield Condition("comment", comment.text)


def _set_flags(flags: str, swapped: bool) -> str:
    if not swapped:
        return flags
    return ",".join("dst" if flag == "src" else "src" for flag in flags.split(","))


def _text(chain: str, conditions: tuple[Condition, ...], target: str) -> str:
    words = (f"{'! ' if c.negated else ''}--{c.option} {c.value}".rstrip() for c in conditions)
    return " ".join((f"-A {chain}", *words, f"-j {target}"))
