"""Rules and gates that nobody's definition asks for: of others before a port's chains, and of ports that are gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reconciler.model.actions import OpenGate, RaiseLinks, RemoveRules, SweepPort, VerifyPort
from reconciler.model.disruption import Disruption
from reconciler.model.drift import Layer
from reconciler.model.guest import Guest, Interface
from reconciler.model.kernel import Family, ForeignRule
from reconciler.model.live import Nic
from reconciler.model.plan import Step
from reconciler.nwfilter.leftovers import leftover_ports
from reconciler.plan.ground import Ground


class Strangers:
    """A rule that opens several ports is taken away once, with the first of them."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._removed: set[ForeignRule] = set()
        self._raised: set[Family] = set()

    def nic_steps(self, guest: Guest, interface: Interface, nic: Nic, port: str) -> Iterator[Step]:
        """Take away what names a port or opens it, and tell what restricts it."""
        found = tuple(
            rule
            for rule in self._ground.installed.foreign(port, nic.source)
            if not self._is_ignored(guest, interface.mac, rule)
        )
        removable = tuple(rule for rule in found if rule.removable and rule not in self._removed)
        self._removed.update(() if guest.hold else removable)
        if removable:
            reason = "a rule that libvirt does not ask for decides before the port's own"
            yield Step(f"foreign:{port}", RemoveRules(guest.name, port, removable), reason)
        packets = {rule.family for rule in found} & {Family.IPV4, Family.IPV6}
        families = tuple(sorted(packets - self._raised))
        self._raised.update(families)
        if families:
            reason = "rules of others accept packets before libvirt's chains"
            yield Step(f"raise:{','.join(families)}", RaiseLinks(families), reason)
        for rule in found:
            if not rule.removable and rule.family not in packets:
                by_hand = (
                    f"ebtables -t nat -D {rule.text[3:]}" if rule.family is Family.ETHERNET else "nft -a list ruleset"
                )
                hint = f"it restricts every port: remove it by hand ({by_hand}), or ignore it"
                self._ground.wait(guest, f"remove the rule `{rule.text}`", hint, Disruption.NONE)

    def _is_ignored(self, guest: Guest, mac: str, rule: ForeignRule) -> bool:
        fields = (f"{mac}.rules.before.{rule.chain}", f"{mac}.rules.{rule.chain}")
        return any(self._ground.ignores(guest, field, Layer.KERNEL) for field in fields)

    def port_steps(self, managed: frozenset[str]) -> Iterator[Step]:
        """Of ports that no guest of the site has: rules and gates that were left behind."""
        live = self._ground.live
        gone = leftover_ports(live.kernel, live.known_ports) if live.devices else ()
        for port in gone:
            if not self._ground.tolerance.ignores(f"port/{port}", "rules", Layer.KERNEL):
                yield Step(f"sweep:{port}", SweepPort(port), "libvirt left them behind; the port is no device any more")
        for port in sorted(live.gated - managed - {*gone}):
            reason = "an interrupted run closed it, and the site has no guest for it"
            yield Step(f"gate:{port}", OpenGate(port, None), reason)


def cleared_first(steps: tuple[Step, ...]) -> Iterator[Step]:
    """A canary is proven when rules of others are gone from its port: with them it never could be."""
    planned = {step.id for step in steps}
    for step in steps:
        cleared = f"foreign:{step.action.port}" if isinstance(step.action, VerifyPort) else ""
        yield replace(step, after=(*step.after, cleared)) if cleared in planned else step
