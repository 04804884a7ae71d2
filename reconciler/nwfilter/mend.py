"""Filter XML with its mechanical mistakes corrected: what libvirt refuses, or takes for something that is shown.

Only what has one meaning is touched: where libvirt takes the text today, the mended one means the same to it, but for
match='no' on a list, whose mend is that it no longer takes everything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from reconciler.model.filter import NwFilter
from reconciler.model.mend import Mend
from reconciler.model.problem import Problem
from reconciler.nwfilter.document import Document, Element, read_document
from reconciler.nwfilter.edit import Edit, Repair, apply_repairs
from reconciler.nwfilter.lint import examine_document
from reconciler.nwfilter.mend_rules import split_negated_rule, with_other_protocol
from reconciler.nwfilter.mend_text import mend_marks
from reconciler.nwfilter.mend_values import corrected_choice, corrected_value, mask_beside, plain_value
from reconciler.nwfilter.parse import rule_protocol_elements
from reconciler.nwfilter.syntax import FilterSyntax

MAX_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Found:
    """A problem with the element and attribute that it is about, and the rule around them."""

    document: Document
    problem: Problem
    element: Element
    attribute: str | None
    rule: Element | None
    others: Collection[NwFilter] | None

    @property
    def value(self) -> str:
        return self.element.attributes[self.attribute] if self.attribute is not None else ""

    def repair(self, before: str, after: str, *edits: Edit) -> Repair:
        return Repair(Mend(self.problem.id, self.problem.origin, before, after), edits)

    def with_value(self, value: str | None) -> Repair | None:
        """Another value for the attribute, between the quotes that are there."""
        if value is None or self.attribute is None or value == self.value:
            return None
        start, end = self.document.value_span(self.element, self.attribute)
        name = self.attribute
        return self.repair(f"{name}='{self.value}'", f"{name}='{value}'", Edit(start, end, value))


Mended = tuple[bytes, tuple[Mend, ...]]


def mend_filter(content: bytes, path: str, others: Collection[NwFilter] | None = None) -> Mended:
    """A filter's file, mended, and what was mended.

    `others` are the site's other filters, which may share its chain; while they are not known, nothing that depends
    on them is mended. A file that is no UTF-8, or no XML after its quotes and dashes are straight, stays as it is.
    """
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return content, ()
    mended, mends = mend_marks(content, path)
    for _ in range(MAX_ROUNDS):
        found = _round(mended, path, others)
        if found is None:
            return (content, ()) if _is_broken(mended) else (mended, mends)
        mended, more = found
        mends = (*mends, *more)
    return mended, mends


def _is_broken(content: bytes) -> bool:
    try:
        read_document(content)
    except FilterSyntax:
        return True
    return False


def _round(content: bytes, path: str, others: Collection[NwFilter] | None) -> Mended | None:
    """One pass over all problems; None where there is nothing left that can be mended."""
    try:
        document = read_document(content, path)
    except FilterSyntax:
        return None
    if document.source != content:
        return None  # written in another encoding, or with a byte order mark: offsets would be of another text
    repairs = tuple(_repairs(document, others))
    return apply_repairs(content, repairs) if repairs else None


def _repairs(document: Document, others: Collection[NwFilter] | None) -> Iterator[Repair]:
    places = {document.origin(e, a): (e, a, rule) for e, a, rule in _places(document.root, None)}
    for problem in examine_document(document)[1]:
        mender = _MENDERS.get(problem.id)
        place = places.get(problem.origin)
        repair = mender(Found(document, problem, *place, others)) if mender and place else None
        if repair is not None:
            yield repair


def _places(element: Element, rule: Element | None) -> Iterator[tuple[Element, str | None, Element | None]]:
    rule = element if element.name == "rule" else rule
    yield element, None, rule
    for attribute in element.attributes:
        yield element, attribute, rule
    for child in element.children:
        yield from _places(child, rule)


def _plain(found: Found) -> Repair | None:
    return found.with_value(plain_value(found.element.name, found.attribute or "", found.value))


def _corrected(found: Found) -> Repair | None:
    return found.with_value(corrected_value(found.element.name, found.attribute or "", found.value))


def _choice(found: Found) -> Repair | None:
    return found.with_value(corrected_choice(found.attribute or "", found.value))


def _mask(found: Found) -> Repair | None:
    name = found.attribute or ""
    siblings = rule_protocol_elements(found.rule) if found.rule else [found.element]
    split = mask_beside(found.element.name, name, found.value, [key for each in siblings for key in each.attributes])
    if split is None:
        return None
    address, mask_name, length = split
    start, end = found.document.value_span(found.element, name)
    quote = chr(found.document.source[end])
    text = f"{address}{quote} {mask_name}={quote}{length}"
    return found.repair(f"{name}='{found.value}'", f"{name}='{address}' {mask_name}='{length}'", Edit(start, end, text))


def _protocol(found: Found) -> Repair | None:
    other = with_other_protocol(found.document, found.element)
    return None if other is None else found.repair(f"<{found.element.name}", other.text, other)


def _negated(found: Found) -> Repair | None:
    if found.rule is None or found.others is None:
        return None
    edits = split_negated_rule(found.document, found.rule, found.element, found.others)
    if not edits:
        return None
    before = "a drop of all that differs from one of the values"
    return found.repair(before, "a return for each value, in a chain of its own, and a drop of the rest", *edits)


_MENDERS: dict[str, Callable[[Found], Repair | None]] = {
    "filter-number-ambiguous": _plain,
    "filter-address-ambiguous": _plain,
    "filter-attribute-value": _corrected,
    "filter-address-cidr": _mask,
    "filter-rule-action": _choice,
    "filter-rule-direction": _choice,
    "filter-priority": _choice,
    "filter-rule-priority": _choice,
    "filter-chain-protocol": _protocol,
    "filter-family": _protocol,
    "filter-negated-list": _negated,
}
