"""What becomes of a frame between a guest's port and the rest of its bridge.

Ethernet-level rules see it when it comes in and when it leaves. Between the two, br_netfilter shows untagged IPv4 and
IPv6 packets to iptables: FORWARD on the way to another port, INPUT on the way to the host. Where libvirt uses nft, its
second table sees every frame right after the first, at both places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from reconciler.model.kernel import Family, KernelRule, KernelRules, Ruleset
from reconciler.model.supplement import Supplement
from reconciler.nwfilter.battery import Direction, Question
from reconciler.nwfilter.expand import Expected
from reconciler.nwfilter.frame import Flow, Frame, Packet
from reconciler.nwfilter.supplement_walk import SupplementWalker
from reconciler.nwfilter.walk import Verdict, Walker

OUTSIDE = "outside"
"""The port on the other side, where nothing filters."""

_FAMILIES = {0x0800: Family.IPV4, 0x86DD: Family.IPV6}


class Evaluator:
    """The rules of a host's network namespace, or those foretold for a port, ready to judge frames."""

    def __init__(
        self,
        ethernet: Ruleset,
        ipv4: Ruleset | None = None,
        ipv6: Ruleset | None = None,
        inet: Ruleset | None = None,
        *,
        walker: Callable[[Ruleset], Walker] = Walker,
        supplement: SupplementWalker | None = None,
    ) -> None:
        self._supplement = supplement
        self._tables = [walker(each) for each in (ethernet, inet) if each is not None]
        self._packets = {each.family: walker(each) for each in (ipv4, ipv6) if each is not None}

    @classmethod
    def of(cls, expected: Expected, supplement: Supplement | None = None) -> Evaluator:
        """The rules foretold for a port, and those of the supplement where the site wants one."""
        return cls.on(replace(expected.rules, supplement=supplement))

    @classmethod
    def on(
        cls,
        rules: KernelRules,
        walker: Callable[[Ruleset], Walker] = Walker,
        note: Callable[[str, KernelRule], None] | None = None,
    ) -> Evaluator:
        """The rules of one reading of a host. `note` is told of each rule of the supplement that holds."""
        ipv4 = None if Family.IPV4 in rules.unheeded else rules.ipv4
        ipv6 = None if Family.IPV6 in rules.unheeded else rules.ipv6
        supplement = SupplementWalker(rules.supplement, note) if rules.supplement else None
        return cls(rules.ethernet, ipv4, ipv6, rules.inet, walker=walker, supplement=supplement)

    def case(self, case: Question, port: str) -> Verdict:
        """The fate of a case's frame: from the port to the outside, or the other way."""
        if case.direction is Direction.IN:
            return self.forwarded(case.frame, OUTSIDE, port)
        return self.forwarded(case.frame, port, OUTSIDE)

    def forwarded(self, frame: Frame, source: str, target: str, flow: Flow | None = None) -> Verdict:
        """The fate of a frame from one port to another; the last verdict is returned when it passes them all."""
        found = self._at(frame, "PREROUTING", flow, source=source)
        if found.passes and (packets := self._walker(frame)):
            found = _decisive(found, packets.verdict(frame, source, "FORWARD", out_port=target, flow=flow))
        if found.passes:
            found = _decisive(found, self._at(frame, "POSTROUTING", flow, target=target))
        return found

    def received(self, frame: Frame, source: str, flow: Flow | None = None) -> Verdict:
        """The fate of a frame from a port to the host itself."""
        found = self._at(frame, "PREROUTING", flow, source=source)
        if found.passes and (packets := self._walker(frame)):
            found = _decisive(found, packets.verdict(frame, source, "INPUT", flow=flow))
        return found

    def _at(
        self, frame: Frame, hook: str, flow: Flow | None, *, source: str | None = None, target: str | None = None
    ) -> Verdict:
        """What the tables of frames say at a hook, one after the other: each must let a frame pass."""
        if hook == "PREROUTING" and self._supplement and (rule := self._supplement.dropped_by(frame)):
            chain, found_rule = rule
            return Verdict(passes=False, chain=chain, rule=replace(found_rule, text=f"{chain}: {found_rule.text}"))
        found: Verdict | None = None
        for walker in self._tables:
            said = walker.verdict(frame, source, hook, out_port=target, flow=flow)
            found = said if found is None else _decisive(found, said)
            if not found.passes:
                break
        assert found is not None
        return found

    def _walker(self, frame: Frame) -> Walker | None:
        family = _FAMILIES.get(frame.ethertype)
        return self._packets.get(family) if family and isinstance(frame.payload, Packet) else None


def _decisive(before: Verdict, after: Verdict) -> Verdict:
    """A rule's word explains more than the policy of a chain without one."""
    return before if after.passes and after.rule is None else after
