"""The kernel's rules beside those that libvirt should have installed, port by port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reconciler.model.filter import FilterRef
from reconciler.model.kernel import Family, ForeignRule, KernelChain, KernelRule, KernelRules, Ruleset
from reconciler.nwfilter.compare_rules import PACKET_HOOKS, SHARED_CHAINS, RuleDifference, rule_differences
from reconciler.nwfilter.expand import expand
from reconciler.nwfilter.foreign import Foreign
from reconciler.nwfilter.instances import CannotInstantiate
from reconciler.nwfilter.variables import Lookup
from reconciler.nwfilter.wanted import packet_families


def are_all_missing(differences: Sequence[RuleDifference]) -> bool:
    """Whether a port has none of its rules: then they are one drift, and not one for each chain."""
    return bool(differences) and all(difference.actual is None for difference in differences)


_INTERFACES = ("in-interface", "out-interface", "physdev-in", "physdev-out")


class Installed:
    """One reading of the kernel's rules, sorted by port once, so that a question costs what its port has."""

    def __init__(self, rules: KernelRules) -> None:
        self._families = [_PortIndex(ruleset) for ruleset in rules.rulesets]
        self._foreign = [Foreign(ruleset) for ruleset in rules.rulesets]
        self._backend = rules.backend
        self._unheeded = rules.unheeded

    def differences(self, lookup: Lookup, filterref: FilterRef, mac: str, port: str) -> tuple[RuleDifference, ...]:
        """Chains of a port that are not what its filterref asks for.

        Nothing can be said, and nothing is, where libvirt would refuse the filterref or its rules cannot be foretold.
        """
        try:
            expected = expand(lookup, filterref, mac, port, self._backend)
        except CannotInstantiate:
            return ()
        return tuple(d for family in self._families for d in rule_differences(expected, family.of_port(port)))

    def foreign(self, port: str, bridge: str | None = None) -> tuple[ForeignRule, ...]:
        """Rules of others that name a port, or let its frames pass its chains by."""
        return tuple(rule for family in self._foreign for rule in family.rules(port, bridge))

    def unheeded(self, lookup: Lookup, filter_name: str) -> tuple[Family, ...]:
        """Families for which a filter has packet-level rules that no bridged packet meets."""
        return tuple(sorted(self._unheeded & packet_families(lookup, filter_name)))


class _PortIndex:
    """The rules of one family: which of the shared chains' rules are of which port."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._chains = {chain.name: chain for chain in ruleset.chains}
        self._shared: dict[str, dict[str, list[KernelRule]]] = {}
        for name in SHARED_CHAINS[ruleset.family]:
            for rule in self._chains[name].rules if name in self._chains else ():
                for port in _ports(rule):
                    self._shared.setdefault(port, {}).setdefault(name, []).append(rule)

    def of_port(self, port: str) -> Ruleset:
        shared = self._shared.get(port, {})
        found = {name: KernelChain(name, self._chains[name].policy, tuple(rules)) for name, rules in shared.items()}
        if not self._ruleset.family.of_nft:
            found |= {name: self._chains[name] for name in PACKET_HOOKS if name in self._chains and name not in found}
        waiting = [rule.target for rules in shared.values() for rule in rules]
        while waiting:
            chain = self._chains.get(waiting.pop())
            if chain is not None and chain.name not in found:
                found[chain.name] = chain
                waiting.extend(rule.target for rule in chain.rules)
        return Ruleset(tuple(found.values()), self._ruleset.family)


def _ports(rule: KernelRule) -> Iterator[str]:
    return (c.value for c in rule.conditions if c.option in _INTERFACES and not c.negated)
