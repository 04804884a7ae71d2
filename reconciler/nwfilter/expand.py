"""The rules that libvirt installs for a filter on a port, foretold without a host.

Source: libvirt 9.0, nwfilter_ebiptables_driver.c, ebiptablesApplyNewRules, and what `ebtables-save`, `iptables-save`
and `ip6tables-save` show after the temporary chains have got their final names. Rules of nft: `expand_nft`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reconciler.model.filter import FilterRef
from reconciler.model.kernel import Backend, Condition, Family, KernelChain, KernelRule, KernelRules, Ruleset
from reconciler.nwfilter.canonical_rules import canonical_rule
from reconciler.nwfilter.expand_ethernet import ethernet_rules, rule_text
from reconciler.nwfilter.expand_nft import nft_rulesets
from reconciler.nwfilter.expand_packets import packet_ruleset
from reconciler.nwfilter.instances import CannotInstantiate, Instance, rule_instances, written_instances
from reconciler.nwfilter.names import BRIDGE_GROUP
from reconciler.nwfilter.variables import Lookup

HOOKS = ("PREROUTING", "POSTROUTING")
_LETTERS = ("I", "O")
_DIRECTIONS = ("out", "in")
_CHAIN_PROTOCOLS = {
    "ipv4": Condition("protocol", "0x0800"),
    "ipv6": Condition("protocol", "0x86dd"),
    "arp": Condition("protocol", "0x0806"),
    "rarp": Condition("protocol", "0x8035"),
    "mac": None,
    "vlan": Condition("protocol", "0x8100"),
    "stp": Condition("destination", BRIDGE_GROUP),
}
"""What a root chain asks before it jumps to a chain of a name with this prefix, in the order of libvirt's search."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The rules of one port, in canonical form, each with the filter's rule that it comes from.

    Of chains that all ports share (PREROUTING, libvirt-in, …) only this port's rules are held. `ties` are groups of
    chains of one priority: libvirt's order among the jumps to them is that of a hash table with a random seed.
    Where libvirt uses nft, `ethernet` and `inet` are its two tables, and there is no other ruleset.
    """

    port: str
    ethernet: Ruleset
    ipv4: Ruleset | None = None
    ipv6: Ruleset | None = None
    ties: frozenset[frozenset[str]] = frozenset()
    inet: Ruleset | None = None

    @property
    def rules(self) -> KernelRules:
        """As if they were read back."""
        return KernelRules(self.ethernet, self.ipv4, self.ipv6, self.inet)

    def of(self, family: Family) -> Ruleset:
        """The ruleset of a family, empty where there is none."""
        found = (each for each in self.rules.rulesets if each.family is family)
        return next(found, Ruleset(family=family))


def expand(lookup: Lookup, filterref: FilterRef, mac: str, port: str, backend: Backend = Backend.IPTABLES) -> Expected:
    """What libvirt instantiates for a filterref on a port. Raises CannotInstantiate where it would refuse."""
    if backend is Backend.NFTABLES:
        ethernet_table, inet = nft_rulesets(written_instances(lookup, filterref, mac), port)
        return Expected(port, ethernet_table, inet=inet)
    instances = rule_instances(lookup, filterref, mac)
    ethernet = tuple(instance for instance in instances if instance.is_ethernet)
    _check_chains_come_first(ethernet)
    chains: list[KernelChain] = []
    ties: set[frozenset[str]] = set()
    for side in range(2):
        directed = _directed(ethernet, side)
        if directed:
            chains.extend(_side(directed, side, port))
            ties.update(_ties(directed, side, port))
    ipv4, ipv6 = (packet_ruleset(instances, family, port) for family in (Family.IPV4, Family.IPV6))
    return Expected(port, Ruleset(tuple(chains)), ipv4, ipv6, frozenset(ties))


def _directed(instances: tuple[Instance, ...], side: int) -> tuple[Instance, ...]:
    return tuple(i for i in instances if i.rule.direction in (_DIRECTIONS[side], "inout"))


def _check_chains_come_first(instances: tuple[Instance, ...]) -> None:
    """libvirt makes a chain when it meets the first rule of at least its priority.

    Filters that give one chain different priorities can make it meet a rule of the chain before that: it fails.
    """
    priorities = [_chain_priorities(_directed(instances, side)) for side in range(2)]
    reached = min((instance.rule.priority for instance in instances), default=0)
    for instance in instances:
        own = instance.rule.priority
        reached = max(reached, own if instance.chain == "root" else max(own, instance.chain_priority))
        for side in range(2):
            if instance in _directed((instance,), side) and priorities[side].get(instance.chain, reached) > reached:
                message = f"{instance.source}: the chain '{instance.chain}' has several priorities"
                raise CannotInstantiate(f"{message}, and this rule comes before the one that counts")


def root_chain(port: str, side: int) -> str:
    return f"libvirt-{_LETTERS[side]}-{port}"


def _chain_name(chain: str, port: str, side: int) -> str:
    return root_chain(port, side) if chain == "root" else f"{_LETTERS[side]}-{port}-{chain}"


def _side(instances: tuple[Instance, ...], side: int, port: str) -> Iterator[KernelChain]:
    """The hook's jump, the root chain and the chains below it, for frames from (0) or to (1) the port."""
    root = root_chain(port, side)
    interface = Condition(("in-interface", "out-interface")[side], port)
    hook = HOOKS[side]
    jump = KernelRule((interface,), root, f"-A {hook} {'-i' if side == 0 else '-o'} {port} -j {root}")
    yield KernelChain(hook, "ACCEPT", (jump,))
    yield KernelChain(root, "ACCEPT", tuple(_root_rules(instances, side, port)))
    for chain in _chain_priorities(instances):
        rules = (rule for i in instances if i.chain == chain for rule in _rules(i, side, port))
        yield KernelChain(_chain_name(chain, port, side), "ACCEPT", tuple(rules))


def _rules(instance: Instance, side: int, port: str) -> Iterator[KernelRule]:
    reverse = side == 0 and instance.rule.direction == "inout"
    return ethernet_rules(instance, _chain_name(instance.chain, port, side), reverse=reverse)


def _chain_priorities(instances: Iterable[Instance]) -> dict[str, int]:
    """The chains below the root one with their priorities, in the order of their jumps; the last rule's word counts."""
    found = {instance.chain: instance.chain_priority for instance in instances if instance.chain != "root"}
    return dict(sorted(found.items(), key=lambda chain: (chain[1], chain[0])))


def _root_rules(instances: tuple[Instance, ...], side: int, port: str) -> Iterator[KernelRule]:
    """Rules and jumps by priority; a jump stands before the rules of its own priority."""
    waiting = list(_chain_priorities(instances).items())
    for instance in instances:
        if instance.chain != "root":
            continue
        while waiting and waiting[0][1] <= instance.rule.priority:
            yield _jump(waiting.pop(0)[0], side, port)
        yield from _rules(instance, side, port)
    for chain, _ in waiting:
        yield _jump(chain, side, port)


def _jump(chain: str, side: int, port: str) -> KernelRule:
    asked = next(asked for prefix, asked in _CHAIN_PROTOCOLS.items() if chain.startswith(prefix))
    conditions = (asked,) if asked else ()
    target = _chain_name(chain, port, side)
    rule = KernelRule(conditions, target, rule_text(root_chain(port, side), conditions, target))
    return canonical_rule(rule, Family.ETHERNET)


def _ties(instances: tuple[Instance, ...], side: int, port: str) -> Iterator[frozenset[str]]:
    by_priority: dict[int, set[str]] = {}
    for chain, priority in _chain_priorities(instances).items():
        by_priority.setdefault(priority, set()).add(_chain_name(chain, port, side))
    yield from (frozenset(names) for names in by_priority.values() if len(names) > 1)
