"""nwfilter XML to the canonical model: what libvirt makes of a text, whatever way it is written.

`parse_filter(x) == parse_filter(libvirt's dump of x)` for all that libvirt accepts. What libvirt drops without
a word is dropped here too; `lint` names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from reconciler.model.filter import Entry, FilterRef, Match, NwFilter, Rule, kept_parameters
from reconciler.nwfilter.document import Document, Element, read_document
from reconciler.nwfilter.protocols import (
    ACTIONS,
    CHAIN_PRIORITIES,
    COPIED_SIGNS,
    DEFAULT_RULE_PRIORITY,
    DIRECTIONS,
    ETHERNET_PROTOCOLS,
    IPSET_PROTOCOLS,
    MAX_CHAIN_NAME,
    PORT_CARRIERS,
    PORTS,
    PRIORITIES,
    PROTOCOLS,
    PROTOCOLS_WITH_PORTS_IN_HEADER,
)
from reconciler.nwfilter.syntax import FilterSyntax
from reconciler.nwfilter.values import Kind, canonical_uuid, canonical_value, integer

_CHAIN_NAME = re.compile(r"[A-Za-z0-9_.:-]+")
_ADDRESSES = frozenset({Kind.IPV4, Kind.IPV6})
Reject = Callable[[FilterSyntax], None]


def parse_filter(text: bytes | str, path: str = "") -> NwFilter:
    """The canonical filter of an XML text; FilterSyntax at the first thing that libvirt refuses."""
    return read_filter(read_document(text, path), _raise)


def parse_dump(text: bytes | str, path: str = "") -> NwFilter:
    """As parse_filter, of what libvirt prints. It has taken the filter, so what it may refuse is no question any more.

    libvirt 11 prints two elements of a rule that 9.0 would not read again: ports first, their protocol after them.
    """
    return read_filter(read_document(text, path), lambda _refused: None)


def read_filter(document: Document, reject: Reject) -> NwFilter:
    """As parse_filter; with a `reject` that returns, the rest is read on, without what was rejected."""
    return _Reader(document, reject).filter()


def _raise(error: FilterSyntax) -> None:
    raise error


class _Reader:
    def __init__(self, document: Document, reject: Reject) -> None:
        self._document = document
        self._reject = reject

    def filter(self) -> NwFilter:
        root = self._document.root
        if root.name != "filter":
            self._fault("filter-root", f"the root element is <{root.name}>, not <filter>", root)
        name = root.attributes.get("name", "")
        if not name:
            self._fault("filter-name-missing", "the filter has no name", root, hint="add name='…' to <filter>")
        chain, priority = self._chain(root)
        return NwFilter(name, chain, priority, self._entries(root), self._uuid(root), self._document.origin(root))

    def _fault(self, id: str, message: str, element: Element, attribute: str | None = None, hint: str = "") -> None:
        origin = self._document.origin(element, attribute)
        self._reject(FilterSyntax(message, origin.line, origin.column, hint, id, origin.path))

    def _chain(self, root: Element) -> tuple[str, int]:
        priority = self._chain_priority(root)
        chain = root.attributes.get("chain", "")
        if not chain:
            return "root", 0
        default = chain_default_priority(chain)
        if default is None:
            prefixes = ", ".join(CHAIN_PRIORITIES)
            hint = f"use 'root', or up to {MAX_CHAIN_NAME} characters that start with one of: {prefixes}"
            self._fault("filter-chain", f"'{chain}' is no name of a chain", root, "chain", hint)
            return chain, 0
        # libvirt does not print priority 0, so it becomes the chain's default when its file is read again.
        return chain, priority or default

    def _chain_priority(self, root: Element) -> int:
        text = root.attributes.get("priority", "")
        if not text:
            return 0
        priority = integer(text)
        if priority is None or priority not in PRIORITIES:
            message = f"priority '{text}' is no integer from {PRIORITIES[0]} to {PRIORITIES[-1]}"
            self._fault("filter-priority", message, root, "priority")
            return 0
        return priority

    def _uuid(self, root: Element) -> str | None:
        element = next((child for child in root.children if child.name == "uuid"), None)
        if element is None or not element.text:
            return None
        try:
            return canonical_uuid(element.text)
        except ValueError as error:
            self._fault("filter-uuid", f"malformed uuid: {error}", element)
            return None

    def _entries(self, root: Element) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        for element in root.children:
            if element.name == "filterref":
                entries.append(self._filterref(element))
            elif element.name == "rule":
                entries.append(self._rule(element))
        return tuple(entries)

    def _filterref(self, element: Element) -> FilterRef:
        name = element.attributes.get("filter")
        if name is None:
            self._fault("filter-reference-missing", "a filterref names no filter", element, hint="add filter='…'")
        parameters = kept_parameters(
            (child.attributes.get("name"), child.attributes.get("value"))
            for child in element.children
            if child.name == "parameter"
        )
        return FilterRef(name or "", parameters, self._document.origin(element))

    def _rule(self, element: Element) -> Rule:
        action = self._choice(element, "action", ACTIONS)
        direction = self._choice(element, "direction", DIRECTIONS)
        priority = integer(element.attributes.get("priority", ""))
        if priority is None or priority not in PRIORITIES:
            priority = DEFAULT_RULE_PRIORITY
        stateless = element.attributes.get("statematch", "").lower() in ("0", "false")
        return Rule(action, direction, priority, not stateless, self._matches(element))

    def _choice(self, element: Element, attribute: str, choices: tuple[str, ...]) -> str:
        value = element.attributes.get(attribute)
        hint = f"one of {', '.join(choices)}"
        if value is None:
            self._fault(f"filter-rule-{attribute}", f"the rule has no {attribute}", element, hint=hint)
        elif value not in choices:
            message = f"unknown {attribute} '{value}'"
            self._fault(f"filter-rule-{attribute}", message, element, attribute, hint)
        return value or ""

    def _matches(self, rule: Element) -> tuple[Match, ...]:
        elements = rule_protocol_elements(rule)
        if not elements:
            return ()
        protocol = elements[0].name
        values: dict[str, str] = {}
        negated: set[str] = set()
        for element in elements:
            self._check_comment(protocol, element, values)
            self._collect(protocol, element, values, negated)
            self._check_ports(protocol, element, values)
        return _merge(protocol, values, negated)

    def _collect(self, protocol: str, element: Element, values: dict[str, str], negated: set[str]) -> None:
        """Attributes of one element on top of those of the elements before it."""
        is_negated = element.attributes.get("match") == "no"
        table = PROTOCOLS[protocol]
        for name, text in element.attributes.items():
            kind = table.get(name)
            if kind is None:
                continue
            try:
                values[name] = canonical_value(kind, text)
            except ValueError as error:
                self._bad_value(element, name, kind, text, error)
            (negated.add if is_negated else negated.discard)(name)

    def _bad_value(self, element: Element, name: str, kind: Kind, text: str, error: ValueError) -> None:
        address, slash, length = text.partition("/")
        if slash and kind in _ADDRESSES:
            mask = name.replace("addr", "mask")
            hint = f"write {name}='{address}' {mask}='{length}'" if "addr" in name else "write an address alone"
            self._fault("filter-address-cidr", f"{name}='{text}': libvirt takes no prefix here", element, name, hint)
        else:
            self._fault("filter-attribute-value", f"{name}='{text}': {error}", element, name)

    def _check_comment(self, protocol: str, element: Element, before: dict[str, str]) -> None:
        """dscpValidator writes into the wrong member of its union: the comment becomes a random number."""
        if protocol in ETHERNET_PROTOCOLS or "dscp" not in element.attributes:
            return
        if "comment" in before and "comment" not in element.attributes:
            message = f"libvirt garbles the comment of a <{protocol}> before one with dscp"
            self._fault("filter-comment-garbled", message, element, "dscp", "move the comment to the last element")

    def _check_ports(self, protocol: str, element: Element, values: dict[str, str]) -> None:
        """virNWFilterRuleValidate, after each element: the protocol must come no later than the ports."""
        if protocol not in PROTOCOLS_WITH_PORTS_IN_HEADER or PORTS.isdisjoint(values):
            return
        if values.get("protocol") not in PORT_CARRIERS:
            message = f"ports in <{protocol}> need protocol tcp, udp, sctp or 33 (dccp)"
            self._fault("filter-port-protocol", message, element)


def chain_default_priority(chain: str) -> int | None:
    """The priority that libvirt gives a chain by its name's prefix; None if it refuses the name."""
    if chain == "root":
        return 0
    if len(chain) > MAX_CHAIN_NAME or chain.startswith("root") or not _CHAIN_NAME.fullmatch(chain):
        return None
    return next((value for prefix, value in CHAIN_PRIORITIES.items() if chain.startswith(prefix)), None)


def rule_protocol_elements(rule: Element) -> list[Element]:
    """The elements that libvirt reads: the first of a known protocol, and later ones of the same."""
    first = next((child.name for child in rule.children if child.name in PROTOCOLS), None)
    return [child for child in rule.children if child.name == first] if first else []


def _merge(protocol: str, values: dict[str, str], negated: set[str]) -> tuple[Match, ...]:
    for attribute, leader in COPIED_SIGNS[protocol]:
        (negated.add if leader in negated else negated.discard)(attribute)
    if protocol not in IPSET_PROTOCOLS:
        # With flags libvirt drops both at once; without, it adds flags and drops both when it reads its file again.
        values = {name: value for name, value in values.items() if name not in ("ipset", "ipsetflags")}
    wanted = tuple(sorted(item for item in values.items() if item[0] not in negated))
    unwanted = tuple(sorted(item for item in values.items() if item[0] in negated))
    if not unwanted:
        return (Match(protocol, wanted),)
    negative = Match(protocol, unwanted, negated=True)
    return (Match(protocol, wanted), negative) if wanted else (negative,)
