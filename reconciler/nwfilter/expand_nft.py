"""The chains that libvirt's nftables driver makes of the rules of a filter on a port.

Source: libvirt 12.8, nwfilter_nftables_driver.c, nftablesHandleCreateChains and nftablesRuleInstCommand, and what
`nft -j list ruleset` shows after the temporary chains have got their final names. Both tables have a chain for each
direction, also an empty one. Rules of packets have no chains of their own: all stand in the root chain of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from reconciler.model.kernel import Condition, Family, KernelChain, KernelRule, Ruleset
from reconciler.nwfilter.expand_nft_rules import needs_connection, nft_rule
from reconciler.nwfilter.instances import CannotInstantiate, Instance, combinations
from reconciler.nwfilter.names import BRIDGE_GROUP
from reconciler.nwfilter.nft_rules import rule_text, settled

_CHAIN_PROTOCOLS = {
    "ipv4": Condition("ether type", "0x0800"),
    "ipv6": Condition("ether type", "0x86dd"),
    "arp": Condition("ether type", "0x0806"),
    "rarp": Condition("ether type", "0x8035"),
    "vlan": Condition("ether type", "0x8100"),
    "stp": Condition("ether daddr", BRIDGE_GROUP),
    "mac": None,
}
"""What a root chain asks before it jumps to a chain of a name with this prefix."""

_DIRECTIONS = ("in", "out")
_HOOKS = {"PREROUTING": ("in-interface", "out"), "POSTROUTING": ("out-interface", "in")}


@dataclass(slots=True)
class _Chain:
    """A chain below the root one; the first rule that libvirt meets says its priority."""

    name: str
    priority: int
    directions: set[str] = field(default_factory=set)


class _Table:
    """The chains of one table, filled in the order in which libvirt makes their rules."""

    def __init__(self, port: str, family: Family) -> None:
        self._port = port
        self._family = family
        self._rules: dict[str, list[KernelRule]] = {self.chain("root", each): [] for each in _DIRECTIONS}

    def chain(self, chain: str, direction: str) -> str:
        return f"{self._port}-{direction}" if chain == "root" else f"{self._port}-{chain}-{direction}"

    def make(self, chain: str, direction: str) -> None:
        """A chain below the root one, and the jump to it. Raises CannotInstantiate for a name that is none to nft."""
        if ":" in chain:
            raise CannotInstantiate(f"nft takes no chain of the name '{chain}'")
        name = self.chain(chain, direction)
        asked = next(asked for prefix, asked in _CHAIN_PROTOCOLS.items() if chain.startswith(prefix))
        self._rules[name] = []
        self.add("root", direction, KernelRule((asked,) if asked else (), name))

    def add(self, chain: str, direction: str, rule: KernelRule) -> None:
        name, rule = self.chain(chain, direction), settled(rule)
        self._rules[name].append(replace(rule, text=rule_text(name, rule)))

    def ruleset(self) -> Ruleset:
        chains = (KernelChain(name, "-", tuple(rules)) for name, rules in self._rules.items())
        return Ruleset((*map(self._hook, _HOOKS), *chains), self._family)

    def _hook(self, hook: str) -> KernelChain:
        option, direction = _HOOKS[hook]
        jump = KernelRule((Condition(option, self._port),), self.chain("root", direction))
        return KernelChain(hook, "ACCEPT", (replace(jump, text=rule_text(hook, jump)),))


def nft_rulesets(instances: tuple[Instance, ...], port: str) -> tuple[Ruleset, Ruleset]:
    """The rules of frames and those of packets, of rules in the order of the files.

    Raises CannotInstantiate where nft would refuse one.
    """
    ethernet, inet = _Table(port, Family.NFT_ETHERNET), _Table(port, Family.NFT_INET)
    ordered = sorted(instances, key=lambda each: (each.chain != "root", _priority(each)))
    of_root = [each for each in ordered if each.chain == "root" and each.is_ethernet]
    for chain in _chains(ordered):
        while of_root and of_root[0].rule.priority < chain.priority:
            _add_ethernet(of_root.pop(0), ethernet)
        for direction in _DIRECTIONS:
            if direction in chain.directions:
                ethernet.make(chain.name, direction)
    below = [each for each in ordered if each.chain != "root" and each.is_ethernet]
    for instance in (*of_root, *below):
        _add_ethernet(instance, ethernet)
    for instance in ordered:
        if not instance.is_ethernet:
            _add_packets(instance, inet)
    return ethernet.ruleset(), inet.ruleset()


def _priority(instance: Instance) -> int:
    """A rule comes after the jump to its chain, whatever its own priority."""
    own = instance.rule.priority
    return own if instance.chain == "root" else max(own, instance.chain_priority)


def _chains(instances: Iterable[Instance]) -> list[_Chain]:
    """The chains below the root one, by priority, equal ones in the order of their first rules."""
    found: dict[str, _Chain] = {}
    for instance in instances:
        if instance.chain != "root":
            chain = found.setdefault(instance.chain, _Chain(instance.chain, instance.chain_priority))
            if instance.is_ethernet:
                chain.directions.update(_directions(instance))
    return sorted(found.values(), key=lambda chain: chain.priority)


def _directions(instance: Instance) -> tuple[str, ...]:
    return _DIRECTIONS if instance.rule.direction == "inout" else (instance.rule.direction,)


def _add_ethernet(instance: Instance, table: _Table) -> None:
    for attributes in combinations(instance):
        for direction in _directions(instance):
            reverse = instance.rule.direction == "inout" and direction == "out"
            table.add(instance.chain, direction, nft_rule(instance, attributes, direction, reverse=reverse))


def _add_packets(instance: Instance, table: _Table) -> None:
    """A rule that accepts new connections one way has one beside it that lets their answers pass the other way."""
    for attributes in combinations(instance):
        for direction in _directions(instance):
            table.add("root", direction, nft_rule(instance, attributes, direction, reverse=False))
        if instance.rule.direction != "inout" and instance.rule.action == "accept" and needs_connection(instance):
            other = "in" if instance.rule.direction == "out" else "out"
            table.add("root", other, nft_rule(instance, attributes, other, reverse=True))
