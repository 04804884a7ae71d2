"""The shared filters of a site: each file, and what they refer to."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache

from reconciler.errors import did_you_mean
from reconciler.load.catalogue import CATALOGUE
from reconciler.load.filter_rules import RuleMarks, marks_of
from reconciler.load.findings import Findings, shown
from reconciler.load.text import MAX_BYTES, hides_nothing
from reconciler.load.values import SHARED_NAME
from reconciler.model.filter import FilterRef, Match, NwFilter, Rule
from reconciler.model.origin import Origin
from reconciler.model.problem import Problem
from reconciler.nwfilter.document import Document, read_document
from reconciler.nwfilter.lint import examine_document
from reconciler.nwfilter.stock import STOCK_FILTERS
from reconciler.nwfilter.syntax import FilterSyntax
from reconciler.nwfilter.variables import AUTOMATIC, closure, filter_variables, required_variables

RESERVED_PREFIX = "guard-"
MAX_CHAIN = 64
WRONG_ROOT = "filter-root"
_LEAVES_OUT = frozenset(
    {
        "filter-attribute-overridden",
        "filter-family",
        "filter-parameter-invalid",
        "filter-two-protocols",
        "filter-unknown-attribute",
        "filter-unknown-element",
        "filter-variable",
    }
)
"""Problems of a filter that leave out what was written, so that it may seem to use other variables than it will."""


class FilterSet:
    """All filters that an interface can name: the site's and libvirt's own.

    `unclear` are names whose definition or closure has a problem that was reported already: nothing more is
    said about what they need, and only the closures of others are asked for. `marks` are of filters that have any.
    """

    def __init__(
        self, site: Mapping[str, NwFilter], unclear: Iterable[str], marks: Mapping[str, RuleMarks] | None = None
    ) -> None:
        self.site = site
        self.marks = marks or {}
        self.unclear = frozenset(unclear)
        self.required = cache(self._required)
        self.used = cache(self._used)
        self.marked = cache(self._marked)

    def lookup(self, name: str) -> NwFilter | None:
        return self.site.get(name) or _stock_definition(name)

    def exists(self, name: str) -> bool:
        return name in self.unclear or self.lookup(name) is not None

    def names(self) -> tuple[str, ...]:
        return (*self.site, *STOCK_FILTERS)

    def _marked(self, name: str) -> tuple[str, ...]:
        """Filters with marked rules that a filter reaches."""
        return tuple(reached for reached in closure(self.lookup, name) if reached in self.marks)

    def _required(self, name: str) -> frozenset[str]:
        """Variables that an interface with this filter must set."""
        return required_variables(self.lookup, name)

    def _used(self, name: str) -> frozenset[str]:
        """Variables that have an effect when an interface sets them: an outer parameter wins over an inner."""
        definitions = (self.lookup(reached) for reached in closure(self.lookup, name))
        variables = (filter_variables(definition) for definition in definitions if definition)
        return frozenset().union(*variables) - AUTOMATIC


@cache
def _stock_definition(name: str) -> NwFilter | None:
    """A stand-in for a filter of libvirt: its references and variables, which is all that is asked here."""
    stock = STOCK_FILTERS.get(name)
    if stock is None:
        return None
    uses = tuple((variable, f"${variable}") for variable in sorted(stock.variables))
    rule = Rule("accept", "inout", matches=(Match("all", uses),))
    return NwFilter(name, entries=(rule, *(FilterRef(reference) for reference in stock.references)))


def read_filters(files: Mapping[str, bytes], findings: Findings) -> FilterSet:
    """Parse every file of filters/ and check rules, names and references."""
    site: dict[str, NwFilter] = {}
    marks: dict[str, RuleMarks] = {}
    unclear: set[str] = set()
    for path in sorted(files):
        stem = path.rpartition("/")[2].removesuffix(".xml")
        document = _document(path, files[path], findings)
        definition, is_whole = _definition(document, findings) if document else (None, False)
        if document is None or definition is None:
            unclear.add(stem)
            continue
        _check_name(document, definition, stem, site, findings)
        if definition.name != stem:
            unclear.add(stem)
        if not is_whole:
            unclear.add(definition.name)
        if site.setdefault(definition.name, definition) is definition and (found := marks_of(document)):
            marks[definition.name] = found
    known = FilterSet(site, unclear)
    faulty = unclear | _with_unknown_references(known, findings) | _in_loops(known, findings)
    return FilterSet(site, _all_that_reach(faulty, site), marks)


def _document(path: str, content: bytes, findings: Findings) -> Document | None:
    if len(content) > MAX_BYTES:
        message = f"the file has {len(content)} bytes; at most {MAX_BYTES} are read"
        findings.report("file-too-large", Origin(path), message)
        return None
    try:
        document = read_document(content, path)
    except FilterSyntax as fault:
        _report(fault.problem(), findings)
        return None
    return document if hides_nothing(path, document.source.decode(), findings) else None


def _definition(document: Document, findings: Findings) -> tuple[NwFilter | None, bool]:
    """The filter, None if libvirt would refuse it, and whether all that was written is in it."""
    definition, problems = examine_document(document)
    problems = tuple(problem for problem in problems if problem.id == WRONG_ROOT) or problems
    for problem in problems:
        _report(problem, findings)
    return definition, _LEAVES_OUT.isdisjoint(problem.id for problem in problems)


def _report(problem: Problem, findings: Findings) -> None:
    id = problem.id if problem.id in CATALOGUE else "filter-syntax"
    findings.report(id, problem.origin, problem.message, problem.hint)


def _check_name(
    document: Document, definition: NwFilter, stem: str, site: Mapping[str, NwFilter], findings: Findings
) -> None:
    name, place = definition.name, document.origin(document.root, "name")
    if not re.fullmatch(SHARED_NAME, name):
        findings.report("name-invalid", place, f"{shown(name)} is not a filter's name")
    elif name.startswith(RESERVED_PREFIX):
        findings.report("reserved-name", place, f"the name {name} belongs to an interface's guard")
    elif name in site:
        findings.report("filter-name-twice", place, f"{name} is already defined in {site[name].origin}")
    elif name != stem:
        message = f"the filter is called {name}, its file {stem}.xml"
        if name in STOCK_FILTERS:
            message += f": it would replace libvirt's own {name} for every guest of a host"
        hint = f"rename the filter to {stem}, or the file to {name}.xml"
        findings.report("filter-file-name", place, message, hint)
    elif name in STOCK_FILTERS:
        findings.report("shadows-builtin", place, f"{name} replaces libvirt's own filter of that name")


def _with_unknown_references(known: FilterSet, findings: Findings) -> set[str]:
    faulty = set()
    for definition in known.site.values():
        for reference in _references(definition):
            if reference.filter and not known.exists(reference.filter):
                message = f"{definition.name} refers to {shown(reference.filter)}, which nobody defines"
                hint = did_you_mean(reference.filter, known.names())
                findings.report("unknown-reference", _origin(reference, definition), message, hint)
                faulty.add(definition.name)
    return faulty


def _in_loops(known: FilterSet, findings: Findings) -> set[str]:
    """Filters of circles, or of chains that nothing can follow: what is left when the settled ones are taken away."""
    left = {name: set(definition.references) & known.site.keys() for name, definition in known.site.items()}
    faulty: set[str] = set()
    levels = 0
    while left:
        settled = {name for name, references in left.items() if not references & left.keys()}
        if not settled:
            settled = _report_circle(known, _circle(known, left.keys()), findings)
            faulty |= settled
        levels += 1
        if levels > MAX_CHAIN:
            _report_chain(known, min(left), findings)
            return faulty | left.keys()
        for name in settled:
            del left[name]
    return faulty


def _circle(known: FilterSet, left: Collection[str]) -> list[str]:
    path = [min(left)]
    while True:
        following = next(name for name in known.site[path[-1]].references if name in left)
        if following in path:
            circle = path[path.index(following) :]
            first = circle.index(min(circle))
            return circle[first:] + circle[:first]
        path.append(following)


def _report_circle(known: FilterSet, circle: list[str], findings: Findings) -> set[str]:
    definition, following = known.site[circle[0]], circle[1] if len(circle) > 1 else circle[0]
    reference = next(reference for reference in _references(definition) if reference.filter == following)
    message = f"filters refer to each other in a circle: {' → '.join((*circle, circle[0]))}"
    findings.report("reference-loop", _origin(reference, definition), message)
    return set(circle)


def _report_chain(known: FilterSet, name: str, findings: Findings) -> None:
    definition = known.site[name]
    message = f"{name} reaches its last filter through more than {MAX_CHAIN} others"
    findings.report("reference-chain", _origin(_references(definition)[0], definition), message)


def _all_that_reach(faulty: set[str], site: Mapping[str, NwFilter]) -> set[str]:
    referrers: dict[str, list[str]] = {}
    for definition in site.values():
        for reference in definition.references:
            referrers.setdefault(reference, []).append(definition.name)
    reached, waiting = set(faulty), list(faulty)
    while waiting:
        for referrer in referrers.get(waiting.pop(), ()):
            if referrer not in reached:
                reached.add(referrer)
                waiting.append(referrer)
    return reached


def _references(definition: NwFilter) -> tuple[FilterRef, ...]:
    return tuple(entry for entry in definition.entries if isinstance(entry, FilterRef))


def _origin(reference: FilterRef, definition: NwFilter) -> Origin:
    return reference.origin or definition.origin or Origin(f"filters/{definition.name}.xml")
