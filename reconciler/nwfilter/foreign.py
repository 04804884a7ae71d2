"""Rules that others put before a port's own chains, or that name the port: libvirt asks for none of them.

A frame meets the rules of a hook in order, and the jump to its port's chains is one of them. What accepts a frame
before that jump makes the port's filter void. Rules that only drop, and name no port, restrict all ports alike: they
change verdicts too, but it is not ours to take them away. Nor are those of iptables: there libvirt's jumps go first.
"""

from __future__ import annotations

from reconciler.model.kernel import Condition, Family, ForeignRule, KernelRule, Ruleset
from reconciler.nwfilter.compare_rules import PACKET_HOOKS, SHARED_CHAINS

_ENTRANCES = {"PREROUTING": "in-interface", "POSTROUTING": "out-interface"}
_INTERFACES = ("in-interface", "out-interface", "physdev-in", "physdev-out")
_WITHOUT_VERDICT = ("CONTINUE", "LOG", "NFLOG")
_HARMLESS = ("DROP", "REJECT", *_WITHOUT_VERDICT)
_MAXIMUM_DEPTH = 32


class Foreign:
    """The foreign rules of one family, sorted once, so that a question costs what others have put there."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        is_packets = ruleset.family in (Family.IPV4, Family.IPV6)
        self._hooks = [_Hook(ruleset, name) for name in (PACKET_HOOKS if is_packets else _ENTRANCES)]

    def rules(self, port: str, bridge: str | None = None) -> tuple[ForeignRule, ...]:
        """Those that frames of a port can meet before its chains and that may let them pass these by.

        Rules that name the port are foreign wherever they stand, and whatever they do.
        """
        found = (
            (hook, rule, self._opens(hook, place, rule, port, bridge))
            for hook in self._hooks
            for place, rule in hook.of_others
        )
        return tuple(
            ForeignRule(self._ruleset.family, hook.name, rule.text, removable)
            for hook, rule, removable in found
            if removable is not None
        )

    def _opens(self, hook: _Hook, place: int, rule: KernelRule, port: str, bridge: str | None) -> bool | None:
        """Whether a rule is one to take away, None where it does nothing to this port's frames before its chains."""
        option = _ENTRANCES.get(hook.name)
        if option is None:
            opens = place < hook.last_link and _is_of_bridge(rule, bridge) and may_open(self._ruleset, rule)
            return False if opens else None
        if Condition(option, port) in rule.conditions:
            return True
        if place > hook.jumps.get(port, place) or rule.target in _WITHOUT_VERDICT or not _may_meet(rule, option, port):
            return None
        return may_open(self._ruleset, rule)


class _Hook:
    """One hook: libvirt's jumps by port, and the rules of others with their places."""

    def __init__(self, ruleset: Ruleset, name: str) -> None:
        self.name = name
        self.of_others: list[tuple[int, KernelRule]] = []
        self.jumps: dict[str, int] = {}
        self.last_link = -1
        chain = ruleset.chain(name)
        for place, rule in enumerate(chain.rules if chain else ()):
            if not _is_libvirts(rule, ruleset.family):
                self.of_others.append((place, rule))
            elif ruleset.family not in (Family.IPV4, Family.IPV6):
                for condition in rule.conditions:
                    self.jumps.setdefault(condition.value, place)
            elif rule.target in SHARED_CHAINS[Family.IPV4]:
                self.last_link = place


def _is_libvirts(rule: KernelRule, family: Family) -> bool:
    """With nft, a jump of one interface to one of its chains."""
    if not family.of_nft:
        return rule.target.startswith("libvirt-")
    names = [condition.value for condition in rule.conditions if condition.option in _INTERFACES]
    ends = {f"{prefix}{name}-{way}" for name in names for prefix in ("", "n-") for way in ("in", "out")}
    return len(rule.conditions) == 1 and (rule.target in ends or rule.target.endswith(("-in", "-out")))


def _is_of_bridge(rule: KernelRule, bridge: str | None) -> bool:
    """To iptables a bridged packet comes from and goes to its bridge."""
    return all(
        _may_be(condition, bridge)
        for condition in rule.conditions
        if condition.option in ("in-interface", "out-interface") and bridge is not None
    )


def _may_meet(rule: KernelRule, option: str, port: str) -> bool:
    named = [condition for condition in rule.conditions if condition.option in _INTERFACES]
    return all(condition.option == option and _may_be(condition, port) for condition in named)


def _may_be(condition: Condition, name: str | None) -> bool:
    """Whether an interface of this name can fulfil a condition; `+` at its end stands for anything."""
    wanted = condition.value
    same = (name or "").startswith(wanted[:-1]) if wanted.endswith("+") else name == wanted
    return same is not condition.negated


def may_open(ruleset: Ruleset, rule: KernelRule, depth: int = 0) -> bool:
    """Whether a rule of a hook can end the walk through it with anything but a drop; what is not known may."""
    if rule.target == "RETURN":
        return depth == 0
    if rule.target in _HARMLESS:
        return False
    chain = ruleset.chain(rule.target)
    if chain is None or depth > _MAXIMUM_DEPTH:
        return True
    return any(may_open(ruleset, each, depth + 1) for each in chain.rules)
