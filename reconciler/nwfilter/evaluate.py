"""What becomes of a frame between a guest's port and the rest of its bridge.

Ethernet-level rules see it when it comes in and when it leaves. Between the two, br_netfilter shows untagged IPv4 and
IPv6 packets to iptables: FORWARD on the way to another port, INPUT on the way to the host.
"""

from __future__ import annotations

from collections.abc import Callable

from reconciler.model.kernel import Family, KernelRules, Ruleset
from reconciler.nwfilter.battery import Direction, Question
from reconciler.nwfilter.expand import Expected
from reconciler.nwfilter.frame import Flow, Frame, Packet
from reconciler.nwfilter.walk import Verdict, Walker

OUTSIDE = "outside"
"""The port on the other side, where nothing filters."""

NO_IPV4_RULES = Ruleset(family=Family.IPV4)
NO_IPV6_RULES = Ruleset(family=Family.IPV6)
_FAMILIES = {0x0800: Family.IPV4, 0x86DD: Family.IPV6}


class Evaluator:
    """The rules of a host's network namespace, or those foretold for a port, ready to judge frames."""

    def __init__(
        self,
        ethernet: Ruleset,
        ipv4: Ruleset = NO_IPV4_RULES,
        ipv6: Ruleset = NO_IPV6_RULES,
        *,
        walker: Callable[[Ruleset], Walker] = Walker,
    ) -> None:
        self._ethernet = walker(ethernet)
        self._packets = {Family.IPV4: walker(ipv4), Family.IPV6: walker(ipv6)}

    @classmethod
    def of(cls, expected: Expected) -> Evaluator:
        """The rules foretold for a port."""
        return cls(expected.ethernet, expected.ipv4, expected.ipv6)

    @classmethod
    def on(cls, rules: KernelRules, walker: Callable[[Ruleset], Walker] = Walker) -> Evaluator:
        """The rules of one reading of a host."""
        ipv4 = NO_IPV4_RULES if Family.IPV4 in rules.unheeded else rules.ipv4
        ipv6 = NO_IPV6_RULES if Family.IPV6 in rules.unheeded else rules.ipv6
        return cls(rules.ethernet, ipv4 or NO_IPV4_RULES, ipv6 or NO_IPV6_RULES, walker=walker)

    def case(self, case: Question, port: str) -> Verdict:
        """The fate of a case's frame: from the port to the outside, or the other way."""
        if case.direction is Direction.IN:
            return self.forwarded(case.frame, OUTSIDE, port)
        return self.forwarded(case.frame, port, OUTSIDE)

    def forwarded(self, frame: Frame, source: str, target: str, flow: Flow | None = None) -> Verdict:
        """The fate of a frame from one port to another; the last verdict is returned when it passes them all."""
        found = self._ethernet.verdict(frame, source, "PREROUTING")
        if found.passes and (packets := self._walker(frame)):
            found = _decisive(found, packets.verdict(frame, source, "FORWARD", out_port=target, flow=flow))
        if found.passes:
            found = _decisive(found, self._ethernet.verdict(frame, None, "POSTROUTING", out_port=target))
        return found

    def received(self, frame: Frame, source: str, flow: Flow | None = None) -> Verdict:
        """The fate of a frame from a port to the host itself."""
        found = self._ethernet.verdict(frame, source, "PREROUTING")
        if found.passes and (packets := self._walker(frame)):
            found = _decisive(found, packets.verdict(frame, source, "INPUT", flow=flow))
        return found

    def _walker(self, frame: Frame) -> Walker | None:
        family = _FAMILIES.get(frame.ethertype)
        return self._packets[family] if family and isinstance(frame.payload, Packet) else None


def _decisive(before: Verdict, after: Verdict) -> Verdict:
    """A rule's word explains more than the policy of a chain without one."""
    return before if after.passes and after.rule is None else after
