"""Rules that say what was meant in the wrong form, rewritten where the right form is known."""

from __future__ import annotations

import re
from collections.abc import Collection

from reconciler.model.filter import NwFilter, Rule
from reconciler.nwfilter.document import Document, Element
from reconciler.nwfilter.edit import Edit
from reconciler.nwfilter.parse import chain_default_priority, rule_protocol_elements
from reconciler.nwfilter.protocols import DEFAULT_RULE_PRIORITY, MAX_CHAIN_NAME, PRIORITIES, PROTOCOLS
from reconciler.nwfilter.values import Kind, integer

_OTHER = {"ip": "ipv6", "ipv6": "ip"}
_FAMILY_KINDS = frozenset({Kind.IPV4, Kind.IPV4_MASK, Kind.IPV6, Kind.IPV6_MASK})
_END_OF_RULE = re.compile(rb"<!--.*?-->|</rule\s*>", re.DOTALL)
_SHARED_CHAINS = frozenset({"ipv4", "ipv6", "arp", "rarp"})
_NEGATION = re.compile(rb"""\s+match\s*=\s*(?:"no"|'no')""")
_ADDRESS_ATTRIBUTES = re.compile(r"(?:arp)?(?:src|dst)ip(?:addr|mask)")
_AHEAD = 10
"""How far before its shared chain a chain of its own comes: as in libvirt's no-ip-spoofing, -710 before ipv4's -700."""
_OWN = "-own"
"""Not `-ip`, which libvirt's own filters share."""


def with_other_protocol(document: Document, element: Element) -> Edit | None:
    """`<ip>` of a rule on $IPV6 as `<ipv6>`, or the other way: no port could use the rule as it is written."""
    other = _OTHER.get(element.name)
    if other is None or not _speaks_of(other, element):
        return None
    tag = re.compile(rb"<%s(?=\s)[^<>]*/>" % element.name.encode()).match(document.source, element.start)
    return Edit(element.start, element.start + 1 + len(element.name), f"<{other}") if tag else None


def _speaks_of(protocol: str, element: Element) -> bool:
    """Whether all attributes are the protocol's, and all addresses variables of its family."""
    names = [name for name in element.attributes if name != "match"]
    wanted = "$IPV6" if protocol == "ipv6" else "$IP"
    table, own = PROTOCOLS[protocol], PROTOCOLS[element.name]
    addresses = [element.attributes[name] for name in names if own.get(name) in _FAMILY_KINDS]
    has_address = any(own.get(name) in (Kind.IPV4, Kind.IPV6) for name in names)
    families = {re.sub(r"(MASK)?(\[.*)?$", "", text) for text in addresses}
    return has_address and families == {wanted} and all(name in table for name in names)


def split_negated_rule(
    document: Document, rule: Element, element: Element, others: Collection[NwFilter]
) -> tuple[Edit, ...]:
    """The early form of a spoofing filter in its later one, nothing where more depends on the rule.

    `<rule action='drop'><ip match='no' srcipaddr='$IP'/></rule>` becomes a return for the values and a drop of all
    else. A return leaves the chain, so the filter must have it for itself: a shared one is exchanged.
    """
    chain = document.root.attributes.get("chain", "")
    own_chain = f"{chain}{_OWN}" if chain in _SHARED_CHAINS else chain
    span = _span(document, rule)
    if span is None or not _is_early_form(document.root, rule, element) or not _is_free(own_chain, chain, rule, others):
        return ()
    action = document.value_span(rule, "action")
    sign = _NEGATION.search(document.source, element.start, span[1])
    if sign is None:
        return ()
    edits = [Edit(*action, "return"), Edit(*sign.span(), ""), Edit(span[1], span[1], _drop(document, rule, span[0]))]
    if own_chain != chain:
        edits.append(_chain_edit(document, chain, own_chain))
    return tuple(edits)


def _is_early_form(root: Element, rule: Element, element: Element) -> bool:
    """The only rule of a filter whose chain a return can leave: one protocol element, addresses alone, a drop."""
    is_only = [child for child in root.children if child.name == "rule"] == [rule]
    names = [name for name in element.attributes if name != "match"]
    return (
        is_only
        and rule_protocol_elements(rule) == [element]
        and rule.attributes.get("action") == "drop"
        and rule.attributes.get("direction") in ("in", "out")
        and root.attributes.get("chain", "").partition("-")[0] in _SHARED_CHAINS
        and all(_ADDRESS_ATTRIBUTES.fullmatch(name) for name in names)
        and len({name.replace("mask", "addr") for name in names}) == 1
    )


def _is_free(own_chain: str, chain: str, rule: Element, others: Collection[NwFilter]) -> bool:
    """Whether no other filter has the chain, and none accepts in the shared one before the rule would drop."""
    priority = _priority(rule)
    sides = (rule.attributes.get("direction"), "inout")
    earlier = (
        entry
        for other in others
        if other.chain == chain and chain != own_chain
        for entry in other.entries
        if isinstance(entry, Rule) and entry.direction in sides and entry.priority < priority
    )
    return (
        len(own_chain) <= MAX_CHAIN_NAME
        and all(other.chain != own_chain for other in others)
        and all(entry.action == "drop" for entry in earlier)
    )


def _priority(rule: Element) -> int:
    priority = integer(rule.attributes.get("priority", ""))
    return priority if priority is not None and priority in PRIORITIES else DEFAULT_RULE_PRIORITY


def _span(document: Document, rule: Element) -> tuple[int, int] | None:
    found = next((m for m in _END_OF_RULE.finditer(document.source, rule.start) if m[0].startswith(b"</")), None)
    return (rule.start, found.end()) if found else None


def _drop(document: Document, rule: Element, start: int) -> str:
    line = document.source.rfind(b"\n", 0, start) + 1
    indent = document.source[line:start].decode()
    gap = f"\n{indent}" if not indent.strip() else ""
    last = max(PRIORITIES)
    return f"{gap}<rule action='drop' direction='{rule.attributes['direction']}' priority='{last}'/>"


def _chain_edit(document: Document, chain: str, own_chain: str) -> Edit:
    start, end = document.value_span(document.root, "chain")
    if document.root.attributes.get("priority"):
        return Edit(start, end, own_chain)
    quote = chr(document.source[end])
    priority = (chain_default_priority(chain) or 0) - _AHEAD
    return Edit(start, end, f"{own_chain}{quote} priority={quote}{priority}")
