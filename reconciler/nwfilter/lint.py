"""Filters that libvirt takes, and that do not do what they say: mostly they let more through.

Everything found is an error unless said otherwise; positions are exact. Sources: libvirt's nwfilter_conf.c,
nwfilter_params.c and nwfilter_ebiptables_driver.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from reconciler.errors import did_you_mean
from reconciler.model.filter import NwFilter, is_valid_parameter
from reconciler.model.problem import Problem, Severity
from reconciler.nwfilter.document import Document, Element, read_document
from reconciler.nwfilter.lint_match import lint_matches
from reconciler.nwfilter.parse import chain_default_priority, read_filter, rule_protocol_elements
from reconciler.nwfilter.protocols import ETHERNET_PROTOCOLS, PRIORITIES, PROTOCOLS
from reconciler.nwfilter.syntax import FilterSyntax
from reconciler.nwfilter.values import integer

_NAME_UNESCAPED = re.compile("[&<>\"'\x00-\x1f\x7f/]|[^\\x00-\\x7f]")
_ATTRIBUTES = {
    "filter": frozenset({"name", "chain", "priority"}),
    "rule": frozenset({"action", "direction", "priority", "statematch"}),
    "filterref": frozenset({"filter"}),
    "parameter": frozenset({"name", "value"}),
    "uuid": frozenset(),
}
_CHILDREN = {
    "filter": frozenset({"uuid", "rule", "filterref"}),
    "rule": frozenset(PROTOCOLS),
    "filterref": frozenset({"parameter"}),
}
_STATEMATCH = frozenset({"0", "1", "false", "true"})
_CHAIN_PROTOCOLS = {"ipv4": "ip", "ipv6": "ipv6", "arp": "arp", "rarp": "rarp", "vlan": "vlan"}
"""Chains that see frames of one ethertype only, by the prefix of their name, and the element that matches these."""


def lint(text: bytes | str, path: str = "") -> tuple[Problem, ...]:
    """All problems of a filter's XML in the order of the file, those that parse_filter raises included."""
    return examine(text, path)[1]


def examine(text: bytes | str, path: str = "") -> tuple[NwFilter | None, tuple[Problem, ...]]:
    """The filter and its problems, from one reading; None where parse_filter would raise."""
    try:
        document = read_document(text, path)
    except FilterSyntax as error:
        return None, (error.problem(),)
    return examine_document(document)


def examine_document(document: Document) -> tuple[NwFilter | None, tuple[Problem, ...]]:
    """As `examine`, of a text that is well-formed."""
    refused: list[FilterSyntax] = []
    filter = read_filter(document, refused.append)
    problems = [error.problem() for error in refused]
    if document.root.name == "filter":
        problems.extend(_Linter(document).problems())
    ordered = tuple(sorted(problems, key=lambda problem: problem.origin))
    return (None if refused else filter), ordered


class _Linter:
    def __init__(self, document: Document) -> None:
        self._document = document

    def problems(self) -> Iterator[Problem]:
        root = self._document.root
        yield from self._vocabulary(root)
        yield from self._name(root, "name")
        yield from self._chain(root)
        for element in root.children:
            if element.name == "rule":
                yield from self._rule(element)
            elif element.name == "filterref":
                yield from self._filterref(element)

    def _problem(
        self,
        id: str,
        element: Element,
        attribute: str | None,
        message: str,
        hint: str = "",
        severity: Severity = Severity.ERROR,
    ) -> Problem:
        return Problem(id, self._document.origin(element, attribute), message, hint, severity)

    def _vocabulary(self, element: Element) -> Iterator[Problem]:
        """What libvirt drops because it does not know it, from here downwards; protocols are left to lint_matches."""
        known = _ATTRIBUTES.get(element.name)
        for attribute in element.attributes if known is not None else ():
            if known is not None and attribute not in known:
                message = f"<{element.name}> has no attribute {attribute}; libvirt drops it"
                hint = did_you_mean(attribute, known)
                yield self._problem("filter-unknown-attribute", element, attribute, message, hint)
        if element.name != "uuid" and element.text.strip():
            message = f"text in <{element.name}> means nothing: '{element.text.strip()[:40]}'"
            yield self._problem("filter-stray-text", element, None, message, "remove it, or make it a comment")
        for child in element.children:
            if child.name not in _CHILDREN.get(element.name, ()):
                message = f"<{child.name}> is unknown in <{element.name}>; libvirt drops it"
                hint = did_you_mean(child.name, _CHILDREN.get(element.name, ()))
                yield self._problem("filter-unknown-element", child, None, message, hint)
            else:
                yield from self._vocabulary(child)

    def _name(self, element: Element, attribute: str) -> Iterator[Problem]:
        found = _NAME_UNESCAPED.search(element.attributes.get(attribute, ""))
        if found:
            message = f"libvirt cannot hold the character {found[0]!r} in a filter's name"
            hint = "use letters, digits and . _ -"
            yield self._problem("filter-name-characters", element, attribute, message, hint)

    def _chain(self, root: Element) -> Iterator[Problem]:
        priority = root.attributes.get("priority")
        if not priority:
            return
        chain = root.attributes.get("chain")
        if not chain:
            message = "libvirt ignores the priority of a filter without chain"
            hint = "add chain='root', or remove the priority"
            yield self._problem("filter-priority-ignored", root, "priority", message, hint)
        elif integer(priority) == 0 and chain_default_priority(chain):
            default = chain_default_priority(chain)
            message = f"libvirt forgets priority 0: at its next start the chain gets its default, {default}"
            yield self._problem("filter-priority-zero", root, "priority", message, "choose another priority")

    def _filterref(self, element: Element) -> Iterator[Problem]:
        if element.attributes.get("filter") == "":
            message = "the name of the filter is empty"
            yield self._problem("filter-reference-empty", element, "filter", message)
        yield from self._name(element, "filter")
        for parameter in element.children:
            if parameter.name == "parameter":
                yield from self._parameter(parameter)

    def _parameter(self, element: Element) -> Iterator[Problem]:
        name, value = element.attributes.get("name"), element.attributes.get("value")
        if name and value is not None and is_valid_parameter(name, value):
            return
        wrong = "value" if name and is_valid_parameter(name, "x") else "name"
        message = f"libvirt drops the parameter {name or ''}='{value or ''}' without a word"
        hint = "names are of A-Z a-z 0-9 _, values of these and . and :"
        if value and "/" in value:
            hint = "a prefix needs two variables: the address, and the mask of the same position"
        where = wrong if wrong in element.attributes else None
        yield self._problem("filter-parameter-invalid", element, where, message, hint)

    def _rule(self, rule: Element) -> Iterator[Problem]:
        yield from self._rule_attributes(rule)
        elements = rule_protocol_elements(rule)
        for child in rule.children:
            if child.name in PROTOCOLS and child.name != elements[0].name:
                message = f"a rule has one protocol: libvirt drops <{child.name}> after <{elements[0].name}>"
                yield self._problem("filter-two-protocols", child, None, message, "write a rule for each protocol")
        if not elements:
            return
        misplaced = self._misplaced(elements[0])
        if misplaced:
            yield misplaced
        for problem in lint_matches(self._document, rule, elements):
            if not misplaced or problem.id != "filter-family":  # the right element has the right family
                yield problem

    def _misplaced(self, element: Element) -> Problem | None:
        """A protocol whose frames never come to this chain: the rule matches nothing."""
        chain = self._document.root.attributes.get("chain", "")
        own = next((protocol for prefix, protocol in _CHAIN_PROTOCOLS.items() if chain.startswith(prefix)), None)
        if own is None or element.name not in ETHERNET_PROTOCOLS or element.name in (own, "mac"):
            return None
        message = f"<{element.name}> matches nothing in the chain {chain}: other frames come there"
        if element.name == "stp":  # libvirt asks for its destination alone, and no ethertype
            message = f"<stp> finds no BPDU in the chain {chain}, but any frame there to 01:80:c2:00:00:00"
        hint = f"write <{own}>, or move the rule to a filter with another chain"
        return self._problem("filter-chain-protocol", element, None, message, hint)

    def _rule_attributes(self, rule: Element) -> Iterator[Problem]:
        priority = rule.attributes.get("priority")
        if priority is not None:
            number = integer(priority)
            if number is None or number not in PRIORITIES:
                message = f"priority '{priority}' is no integer from {PRIORITIES[0]} to {PRIORITIES[-1]}"
                hint = "libvirt takes 500 for it, or refuses the filter"
                yield self._problem("filter-rule-priority", rule, "priority", message, hint)
        statematch = rule.attributes.get("statematch")
        if statematch is not None and statematch.lower() not in _STATEMATCH:
            message = f"libvirt takes statematch='{statematch}' for true"
            yield self._problem("filter-rule-statematch", rule, "statematch", message, "write true or false")
