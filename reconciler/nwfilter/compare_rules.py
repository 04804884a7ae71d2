"""Where the rules that a port has differ from those that it should have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, replace

from reconciler.model.kernel import Family, KernelChain, KernelRule, Ruleset
from reconciler.nwfilter.canonical_rules import canonical
from reconciler.nwfilter.expand import Expected

_INTERFACES = ("in-interface", "out-interface", "physdev-in", "physdev-out")
SHARED_CHAINS = {
    Family.ETHERNET: ("PREROUTING", "POSTROUTING"),
    Family.IPV4: ("libvirt-in", "libvirt-out", "libvirt-in-post", "libvirt-host-in"),
    Family.IPV6: ("libvirt-in", "libvirt-out", "libvirt-in-post", "libvirt-host-in"),
    Family.NFT_ETHERNET: ("PREROUTING", "POSTROUTING"),
    Family.NFT_INET: ("PREROUTING", "POSTROUTING"),
}
PACKET_HOOKS = ("FORWARD", "INPUT")
_LEFT_BEHIND = {*PACKET_HOOKS, "libvirt-in-post"}
"""What libvirt does not take back when a port has no more iptables rules (ebiptablesTearOldRules): it drops nothing."""


@dataclass(frozen=True, slots=True)
class RuleDifference:
    """A chain that is not as it should be: its rules as text, None where there is no such chain."""

    family: Family
    chain: str
    expected: tuple[str, ...] | None
    actual: tuple[str, ...] | None

    def only_adds(self, texts: Set[str]) -> bool:
        """Whether the chain is right once these rules are taken out of it."""
        if self.expected is None or self.actual is None:
            return False
        return self.expected == tuple(text for text in self.actual if text not in texts)


def rule_differences(expected: Expected, actual: Ruleset) -> tuple[RuleDifference, ...]:
    """The chains of a port that differ between what is expected and the read-back rules of one family, by name."""
    wanted = expected.of(actual.family)
    found = of_port(canonical(actual), expected.port)
    has = {chain.name: _settled(chain, expected.ties) for chain in found.chains}
    if not wanted.chains and not has.keys() - _LEFT_BEHIND:
        return ()
    needs = {chain.name: chain for chain in wanted.chains}
    names = sorted(name for name in {*has, *needs} if not _same(has.get(name), needs.get(name)))
    return tuple(_difference(actual.family, name, needs.get(name), has.get(name)) for name in names)


def of_port(ruleset: Ruleset, port: str) -> Ruleset:
    """The chains that only packets of one port reach, and this port's rules in the chains that all ports share."""
    shared = SHARED_CHAINS[ruleset.family]
    chains = {name: chain for name in shared if (chain := _filtered(ruleset, name, lambda rule: _names(rule, port)))}
    waiting = [rule.target for chain in chains.values() for rule in chain.rules]
    if ruleset.family in (Family.IPV4, Family.IPV6) and chains:
        chains |= {hook: chain for hook in PACKET_HOOKS if (chain := _filtered(ruleset, hook, _is_link))}
    while waiting:
        chain = ruleset.chain(waiting.pop())
        if chain is not None and chain.name not in chains:
            chains[chain.name] = chain
            waiting.extend(rule.target for rule in chain.rules)
    return Ruleset(tuple(chains.values()), ruleset.family)


def _filtered(ruleset: Ruleset, name: str, keep: Callable[[KernelRule], bool]) -> KernelChain | None:
    chain = ruleset.chain(name)
    rules = tuple(rule for rule in chain.rules if keep(rule)) if chain else ()
    return KernelChain(name, chain.policy, rules) if chain and rules else None


def _names(rule: KernelRule, port: str) -> bool:
    return any(c.option in _INTERFACES and c.value == port and not c.negated for c in rule.conditions)


def _is_link(rule: KernelRule) -> bool:
    return rule.target in SHARED_CHAINS[Family.IPV4]


def _settled(chain: KernelChain, ties: frozenset[frozenset[str]]) -> KernelChain:
    """The chain with the jumps to chains of one priority in the order of their names, as they are foretold."""
    rules = list(chain.rules)
    for tie in ties:
        places = [place for place, rule in enumerate(rules) if rule.target in tie]
        ordered = sorted((rules[place] for place in places), key=lambda rule: rule.target)
        for place, rule in zip(places, ordered, strict=True):
            rules[place] = rule
    return KernelChain(chain.name, chain.policy, tuple(rules))


def _same(one: KernelChain | None, other: KernelChain | None) -> bool:
    """Whether two chains do the same. The policy of a hook is the host's own affair."""
    if one is None or other is None:
        return one is other
    return one.rules == other.rules and (one.policy == other.policy or one.name in PACKET_HOOKS)


def _difference(family: Family, name: str, need: KernelChain | None, has: KernelChain | None) -> RuleDifference:
    """Equal rules have one text on both sides, the kernel's, so that only what differs looks different."""
    if need and has:
        texts = {rule: rule.text for rule in has.rules}
        need = replace(need, rules=tuple(replace(rule, text=texts.get(rule, rule.text)) for rule in need.rules))
    return RuleDifference(family, name, _texts(need), _texts(has))


def _texts(chain: KernelChain | None) -> tuple[str, ...] | None:
    return tuple(_with_policy(chain)) if chain else None


def _with_policy(chain: KernelChain) -> Iterator[str]:
    yield f":{chain.name} {chain.policy}"
    yield from (rule.text for rule in chain.rules)
