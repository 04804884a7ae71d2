"""Rules of filters that do harm only to some interfaces: judged when it is known who uses them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.load.findings import Findings
from reconciler.model.filter import Parameters
from reconciler.model.origin import Origin
from reconciler.nwfilter.document import Document
from reconciler.nwfilter.lint_match import NEGATED_LIST_HINT, NegatedList, negated_lists
from reconciler.nwfilter.parse import rule_protocol_elements
from reconciler.nwfilter.protocols import ETHERNET_PROTOCOLS

if TYPE_CHECKING:
    from reconciler.load.filters import FilterSet

MAX_SHOWN = 3


@dataclass(frozen=True, slots=True)
class IptablesRule:
    """A rule that libvirt gives to iptables, by its protocol element."""

    origin: Origin
    protocol: str

    @property
    def ethernet_form(self) -> str:
        """The element of an ethernet-level rule that matches the same packets."""
        name, _, version = self.protocol.partition("-")
        element = "ipv6" if version or name == "icmpv6" else "ip"
        return f"<{element} …/>" if name == "all" else f"<{element} protocol='{name}' …/>"


@dataclass(frozen=True, slots=True)
class RuleMarks:
    """What is remembered of a filter's rules; of iptables' only the first, as one is enough for the gap."""

    negated: tuple[NegatedList, ...] = ()
    iptables: IptablesRule | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """One interface, the filter that was selected for it, and its variables."""

    guest: str
    mac: str
    filter: str
    parameters: Parameters

    def values(self, name: str) -> tuple[str, ...]:
        """Each value once: equal ones make equal rules."""
        return tuple(dict.fromkeys(value for variable, value in self.parameters if variable == name))


def marks_of(document: Document) -> RuleMarks | None:
    """None for most filters: their rules do the same to everybody."""
    marks = RuleMarks(negated_lists(document), next(_iptables_rules(document), None))
    return marks if marks != RuleMarks() else None


def _iptables_rules(document: Document) -> Iterator[IptablesRule]:
    for rule in document.root.children:
        elements = rule_protocol_elements(rule) if rule.name == "rule" else []
        if elements and elements[0].name not in ETHERNET_PROTOCOLS:
            yield IptablesRule(document.origin(elements[0]), elements[0].name)


def check_rules_in_use(uses: Iterable[Use], filters: FilterSet, findings: Findings) -> None:
    """One problem for each rule, however many interfaces it harms."""
    users: dict[str, list[Use]] = {}
    for use in uses:
        for name in filters.marked(use.filter):
            users.setdefault(name, []).append(use)
    for name, users_of_filter in users.items():
        marks = filters.marks[name]
        if marks.iptables:
            _report_window(marks.iptables, users_of_filter, findings)
        for negated in marks.negated:
            _check_negated_list(negated, users_of_filter, findings)


def _report_window(rule: IptablesRule, users: Sequence[Use], findings: Findings) -> None:
    message = (
        f"<{rule.protocol}> is a rule of iptables, used by {_guests(users)}: before libvirt 11.6 it is gone for a "
        "moment whenever any guest's rules are built"
    )
    hint = f"where it needs no state, ipset or connlimit, write {rule.ethernet_form}: such rules have no gap"
    findings.report("iptables-window", rule.origin, message, hint)


def _check_negated_list(negated: NegatedList, users: Iterable[Use], findings: Findings) -> None:
    harmed = [use for use in users if len(use.values(negated.variable)) > 1]
    if not harmed:
        return
    first = harmed[0]
    values = first.values(negated.variable)
    shown = ", ".join(values[:MAX_SHOWN]) + (", …" if len(values) > MAX_SHOWN else "")
    reason = f"{first.mac} has {len(values)} values of {negated.variable}, {shown}"
    message = f"this rule {negated.effect} for {_guests(harmed)}: {reason}"
    findings.report("negated-list", negated.origin, message, NEGATED_LIST_HINT)


def _guests(uses: Iterable[Use]) -> str:
    """The guest of the first use, and how many others there are."""
    names = tuple(dict.fromkeys(use.guest for use in uses))
    others = len(names) - 1
    return names[0] + (f" and {others} other guest{'s' if others > 1 else ''}" if others else "")
