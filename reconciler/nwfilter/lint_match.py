"""Matches of a rule that libvirt weakens, ignores, or reads in an unexpected way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from reconciler.errors import did_you_mean
from reconciler.model.origin import Origin
from reconciler.model.problem import Problem, Severity
from reconciler.nwfilter.document import Document, Element
from reconciler.nwfilter.parse import rule_protocol_elements
from reconciler.nwfilter.protocols import COMPANIONS, COPIED_SIGNS, IPSET_PROTOCOLS, PORTS, PROTOCOLS
from reconciler.nwfilter.values import MAX_COMMENT_BYTES, Kind, canonical_value
from reconciler.nwfilter.variables import AUTOMATIC, parse_variable

_MASKS = frozenset({Kind.MAC_MASK, Kind.IPV4_MASK, Kind.IPV6_MASK})
_IPV4_KINDS = frozenset({Kind.IPV4, Kind.IPV4_MASK})
_IPV6_KINDS = frozenset({Kind.IPV6, Kind.IPV6_MASK})
_NUMBERS = frozenset({Kind.UINT8, Kind.UINT16, Kind.UINT16_DECIMAL, Kind.UINT32, Kind.VLAN_ID, Kind.DSCP})
_ALL_ZERO = frozenset({"0", "00:00:00:00:00:00"})
_PLAIN_NUMBER = re.compile(r"0|[1-9][0-9]*|0[xX][0-9a-fA-F]+")
_PLAIN_IPV4 = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")
_WITHOUT_VARIABLES = frozenset({Kind.TCP_FLAGS, Kind.BOOLEAN})
_WITHOUT_SIGN = ("state", "ipset")
_ICMPV6 = frozenset({"icmpv6", "58", "0x3a", "3a"})
_ICMP_ATTRIBUTES = ("type", "typeend", "code", "codeend")
_EFFECTS = {
    "drop": "drops everything",
    "reject": "rejects everything",
    "accept": "accepts everything",
    "return": "lets everything through to what follows",
}
NEGATED_LIST_HINT = "match the values in one rule without match='no', and all the rest in the next"
_VARIABLE_TAIL = re.compile(r"\$[A-Za-z0-9_]*\[[^]]*\].")


def lint_matches(document: Document, rule: Element, elements: Sequence[Element]) -> Iterator[Problem]:
    """Problems of the protocol elements of one rule, all of one protocol."""
    return _Matches(document, rule, elements).problems()


@dataclass
class _Matches:
    document: Document
    rule: Element
    elements: Sequence[Element]

    @property
    def protocol(self) -> str:
        return self.elements[0].name

    @cached_property
    def owners(self) -> dict[str, Element]:
        """For each attribute the element that libvirt takes it from: the last one."""
        table = PROTOCOLS[self.protocol]
        return {name: element for element in self.elements for name in element.attributes if name in table}

    def problems(self) -> Iterator[Problem]:
        for element in self.elements:
            yield from self._vocabulary(element)
            for name, text in element.attributes.items():
                if name in PROTOCOLS[self.protocol]:
                    yield from self._repeated(element, name)
                    yield from self._value(element, name, text)
        yield from self._lost_signs()
        yield from self._alone()
        yield from self._ipset()
        yield from self._icmp_header()
        yield from self._negated_protocol()
        yield from self._negated_ports()
        yield from self._state()
        yield from self._negated_list()

    def _problem(self, id: str, name: str, message: str, hint: str = "", element: Element | None = None) -> Problem:
        return Problem(id, self.document.origin(element or self.owners[name], name), message, hint)

    def _vocabulary(self, element: Element) -> Iterator[Problem]:
        table = PROTOCOLS[self.protocol]
        for name in element.attributes:
            if name not in table and name != "match":
                message = f"<{self.protocol}> has no attribute {name}: libvirt drops it and matches more"
                yield self._problem("filter-unknown-attribute", name, message, did_you_mean(name, table), element)
        match = element.attributes.get("match")
        if match is not None and match not in ("yes", "no"):
            message = f"libvirt takes match='{match}' for yes"
            yield self._problem("filter-match-value", "match", message, "write match='no' or leave it out", element)
        if match == "no" and not any(name in table for name in element.attributes):
            message = f"match='no' without an attribute means nothing: <{self.protocol}> matches all of its protocol"
            yield self._problem("filter-match-lost", "match", message, element=element)

    def _repeated(self, element: Element, name: str) -> Iterator[Problem]:
        if self.owners[name] is not element:
            message = f"{name} is given again in the same rule; libvirt takes only the last one"
            hint = "write a rule for each value, or use a variable with several values"
            yield self._problem("filter-attribute-overridden", name, message, hint, element)

    def _value(self, element: Element, name: str, text: str) -> Iterator[Problem]:
        kind = PROTOCOLS[self.protocol][name]
        if text.startswith("$"):
            yield from self._variable(element, name, text, kind)
            return
        try:
            canonical = canonical_value(kind, text)
        except ValueError:
            return  # the parser reports it
        if kind in _MASKS and canonical in _ALL_ZERO:
            message = f"{name}='{text}' matches every address"
            yield self._problem("filter-mask-zero", name, message, "remove the address and the mask", element)
        elif kind is Kind.STATE and not canonical:
            message = "an empty state matches every connection"
            yield self._problem("filter-state-empty", name, message, element=element)
        else:
            yield from self._surprise(element, name, text, canonical, kind)

    def _surprise(self, element: Element, name: str, text: str, canonical: str, kind: Kind) -> Iterator[Problem]:
        """Texts whose value is not what a reader expects."""
        if kind is Kind.IPV4 and not _PLAIN_IPV4.fullmatch(text):
            message = f"{name}='{text}' is {canonical} to libvirt"
            yield self._problem("filter-address-ambiguous", name, message, f"write {canonical}", element)
        elif kind is Kind.IPV6 and "%" in text:
            message = f"{name}='{text}': a zone names an interface of the host, no address"
            yield self._problem("filter-address-ambiguous", name, message, "remove the zone", element)
        elif kind in _NUMBERS and not _PLAIN_NUMBER.fullmatch(text):
            message = f"{name}='{text}' is {canonical} to libvirt"
            yield self._problem("filter-number-ambiguous", name, message, f"write {canonical}", element)
        elif kind is Kind.BOOLEAN and canonical == "false":
            message = f"libvirt makes no match of {name}='{text}'"
            yield self._problem("filter-boolean", name, message, f"write match='no' {name}='true'", element)
        elif kind is Kind.COMMENT and len(text.encode()) > MAX_COMMENT_BYTES:
            message = f"libvirt cuts a comment at {MAX_COMMENT_BYTES} bytes"
            yield self._problem("filter-comment-long", name, message, element=element)

    def _variable(self, element: Element, name: str, text: str, kind: Kind) -> Iterator[Problem]:
        if _VARIABLE_TAIL.match(text):
            message = f"{name}='{text}': libvirt drops what follows the bracket"
            yield self._problem("filter-variable", name, message, element=element)
        variable = re.split(r"\[", text[1:])[0]
        if not variable:
            yield self._problem("filter-variable", name, f"{name}='{text}' names no variable", element=element)
        if kind in _WITHOUT_VARIABLES:
            message = f"{name}='{text}': libvirt takes no variable here, and the rule matches whatever {name} there are"
            yield self._problem("filter-variable", name, message, "write the value out", element)
        other = _wrong_family(variable, kind)
        if other:
            message = f"<{self.protocol}> matches {other}, and {text} holds the other family: "
            # A length of IPv6 is no length of IPv4: ebtables 1.8.9 refuses /64, and 1.8.11 takes it for 0.0.0.64.
            message += "it matches other addresses" if kind in _MASKS else "no port can use this filter"
            hint = "use <ipv6> for $IPV6 and <ip> for $IP"
            yield self._problem("filter-family", name, message, hint, element)

    def _lost_signs(self) -> Iterator[Problem]:
        for name in _WITHOUT_SIGN:
            if self._is_negated(name) and (name != "ipset" or self.protocol in IPSET_PROTOCOLS):
                message = f"libvirt ignores match='no' for {name}"
                yield self._problem("filter-match-lost", name, message, "write the opposite rule")
        signs = {name: self._is_negated(name) for name in self.owners}
        for name, leader in self._sign_leaders():
            if name in signs and signs[name] is not signs.get(leader, False):
                meant, taken = ("no", "yes") if signs[name] else ("yes", "no")
                message = f"{name} is matched as match='{taken}', not '{meant}': libvirt takes the sign of {leader}"
                hint = f"give {leader} with the same match, or write the opposite rule"
                yield self._problem("filter-match-lost", name, message, hint)

    def _sign_leaders(self) -> Iterator[tuple[str, str]]:
        """Pairs whose sign is copied, and pairs that make one match: its sign is that of the first of them."""
        copied = COPIED_SIGNS[self.protocol]
        yield from copied
        names = {name for name, _ in copied}
        yield from (pair for pair in COMPANIONS[self.protocol] if pair[0] not in names and pair[1] in self.owners)

    def _alone(self) -> Iterator[Problem]:
        for name, leader in COMPANIONS[self.protocol]:
            if name in self.owners and leader not in self.owners:
                message = f"libvirt ignores {name} without {leader} and matches more"
                yield self._problem("filter-attribute-alone", name, message, f"add {leader}='…'")

    def _ipset(self) -> Iterator[Problem]:
        has_set, has_flags = "ipset" in self.owners, "ipsetflags" in self.owners
        if not has_set and not has_flags:
            return
        name = "ipset" if has_set else "ipsetflags"
        if self.protocol not in IPSET_PROTOCOLS:
            message = f"libvirt drops the ipset of <{self.protocol}> and matches all of its protocol"
            yield self._problem("filter-ipset", name, message, "ipsets work in <all> and <all-ipv6> only")
        elif not (has_set and has_flags):
            missing = "ipsetflags" if has_set else "ipset"
            message = f"without {missing} the {name} is ignored, and <{self.protocol}> matches everything"
            yield self._problem("filter-ipset", name, message, f"add {missing}='…'")

    def _icmp_header(self) -> Iterator[Problem]:
        """ebtables takes types and codes in `<ipv6>` only with the protocol: the rule cannot be built."""
        owner = self.owners.get("protocol")
        found = [name for name in _ICMP_ATTRIBUTES if name in self.owners]
        if self.protocol != "ipv6" or not found:
            return
        if owner is None or owner.attributes["protocol"].lower() not in _ICMPV6:
            message = f"{found[0]} in <ipv6> needs protocol='icmpv6': without it no port can use this filter"
            yield self._problem("filter-icmp-protocol", found[0], message, "add protocol='icmpv6'")

    def _negated_protocol(self) -> Iterator[Problem]:
        """ebtables takes ports, types and codes only with `protocol` matched as it is."""
        dependents = (*_ICMP_ATTRIBUTES, *PORTS)
        if self._is_negated("protocol") and any(name in self.owners for name in dependents):
            message = f"ports and types in <{self.protocol}> need their protocol without match='no'"
            hint = "without that no port can use this filter"
            yield self._problem("filter-protocol-negated", "protocol", message, hint)

    def _negated_ports(self) -> Iterator[Problem]:
        """iptables-nft before 1.8.11 compares two single ports at once (nft.c, add_nft_tcpudp)."""
        both = all(self._is_negated(name) for name in ("srcportstart", "dstportstart"))
        single = not any(name in self.owners for name in ("srcportend", "dstportend"))
        if both and single and self.protocol.removesuffix("-ipv6") in ("tcp", "udp"):
            message = "iptables before 1.8.11 takes two ports with match='no' for 'not both of them', and matches more"
            hint = "write the opposite rules, one for each port"
            yield self._problem("filter-ports-negated", "dstportstart", message, hint)

    def _state(self) -> Iterator[Problem]:
        stateless = self.rule.attributes.get("statematch", "").lower() in ("0", "false")
        if "state" in self.owners and stateless:
            message = "libvirt ignores the state in a rule with statematch='false', and matches more"
            yield self._problem("filter-state-ignored", "state", message, "remove statematch")

    def _is_negated(self, name: str) -> bool:
        return name in self.owners and self.owners[name].attributes.get("match") == "no"

    def _negated_list(self) -> Iterator[Problem]:
        for found in _negated_lists(self.document, self.rule, self.elements):
            message = f"with two or more values of ${found.variable} this rule {found.effect}"
            yield Problem("filter-negated-list", found.origin, message, NEGATED_LIST_HINT, Severity.WARNING)


def _wrong_family(variable: str, kind: Kind) -> str:
    if kind in _IPV4_KINDS and variable.startswith("IPV6"):
        return "IPv4"
    return "IPv6" if kind in _IPV6_KINDS and variable in ("IP", "IPMASK") else ""


@dataclass(frozen=True, slots=True)
class NegatedList:
    """A match='no' on all values of a variable.

    libvirt makes a rule for each value, and with two of them every packet differs from one or the other.
    """

    origin: Origin
    variable: str
    effect: str


def negated_lists(document: Document) -> tuple[NegatedList, ...]:
    """All of a filter; whether they do harm only the interfaces that use it can tell."""
    rules = (element for element in document.root.children if element.name == "rule")
    return tuple(found for rule in rules for found in _negated_lists(document, rule, rule_protocol_elements(rule)))


def _negated_lists(document: Document, rule: Element, elements: Sequence[Element]) -> Iterator[NegatedList]:
    effect = _EFFECTS.get(rule.attributes.get("action", ""))
    for element in elements if effect else ():
        if element.attributes.get("match") != "no":
            continue
        masks = {mask for mask, address in COMPANIONS[element.name] if address in element.attributes}
        for name, text in element.attributes.items():
            variable = parse_variable(text)
            is_list = variable is not None and variable.element is None and variable.name not in AUTOMATIC
            if variable and effect and is_list and name in PROTOCOLS[element.name] and name not in masks:
                yield NegatedList(document.origin(element, name), variable.name, effect)
