"""Which filter an interface gets, and the variables that it sets for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.load.draft import InterfaceDraft
from reconciler.load.files import FilterForms
from reconciler.load.filters import FilterSet
from reconciler.load.findings import Findings
from reconciler.load.siteview import SiteView, report_unknown_filter
from reconciler.load.values import SEGMENT_VARIABLES, TYPED_VARIABLES
from reconciler.model.filter import Parameters, canonical_parameters
from reconciler.model.guest import Role

if TYPE_CHECKING:
    from reconciler.load.values import IPNetwork

FORM_WORDS = {"dual": "IPv4 and IPv6", "ipv4": "IPv4 only", "ipv6": "IPv6 only", "none": "no address"}


@dataclass(frozen=True, slots=True)
class _Family:
    """The addresses of one family, the field that lists them and the variables that carry them."""

    field: str
    networks: tuple[IPNetwork, ...]
    address: str
    mask: str


def surroundings(draft: InterfaceDraft, site: SiteView) -> tuple[IPNetwork, ...]:
    """The networks of an interface's segment."""
    segment = site.file.segments.get(draft.entry.segment or "")
    return (*segment.ipv4, *segment.ipv6) if segment else ()


def roles_of(draft: InterfaceDraft, site: SiteView) -> frozenset[Role]:
    """What the site lets interfaces with its filter do."""
    choice = site.forms(draft.entry.filter or site.file.defaults.filter or "")
    return frozenset(map(Role, choice.roles)) if isinstance(choice, FilterForms) else frozenset()


def forms_of(draft: InterfaceDraft, site: SiteView) -> tuple[tuple[str, str], ...]:
    """The filter for each combination of families, where the site has several for the name that it chose."""
    choice = site.forms(draft.entry.filter or site.file.defaults.filter or "")
    if not isinstance(choice, FilterForms):
        return ()
    named = ((form, getattr(choice, form)) for form in FORM_WORDS)
    return tuple((form, filter) for form, filter in named if filter)


def _segment(draft: InterfaceDraft, site: SiteView) -> tuple[_Family, _Family]:
    around = surroundings(draft, site)
    ipv4, ipv6 = (tuple(network for network in around if network.version == version) for version in (4, 6))
    return _Family("segment", ipv4, *SEGMENT_VARIABLES[4]), _Family("segment", ipv6, *SEGMENT_VARIABLES[6])


def _families(draft: InterfaceDraft) -> tuple[_Family, _Family]:
    return (
        _Family("ipv4", draft.ipv4, "IP", "IPMASK"),
        _Family("ipv6", draft.ipv6, "IPV6", "IPV6MASK"),
    )


def select_filter(draft: InterfaceDraft, site: SiteView, filters: FilterSet, findings: Findings) -> str | None:
    """The nwfilter of an interface by its families; None after a problem, here or in site.yaml."""
    name = draft.entry.filter or site.file.defaults.filter
    if name is None:
        if not site.is_unclear("defaults", "filter"):
            findings.report("filter-missing", draft.node.origin, "the interface has no filter, and there is no default")
        return None
    if not site.knows_filter(name, filters):
        if draft.entry.filter:
            report_unknown_filter(name, draft.node.at("filter"), site.names(filters), findings)
        return None
    if site.is_unclear("filters", name):
        return None
    choice = site.forms(name) or name
    chosen = _form(draft, name, choice, findings) if isinstance(choice, FilterForms) else choice
    return chosen if chosen and filters.exists(chosen) else None


def _form(draft: InterfaceDraft, name: str, forms: FilterForms, findings: Findings) -> str | None:
    form = _form_of(draft)
    chosen: str | None = getattr(forms, form)
    if chosen is None:
        message = f"the filter {name} has no form for an interface with {FORM_WORDS[form]}"
        hint = f"add {form} to filters: {name} in site.yaml"
        findings.report("filter-form-missing", draft.node.at("filter").origin, message, hint)
    return chosen


def _form_of(draft: InterfaceDraft) -> str:
    if draft.ipv4:
        return "dual" if draft.ipv6 else "ipv4"
    return "ipv6" if draft.ipv6 else "none"


def compile_variables(draft: InterfaceDraft, filter: str, site: SiteView, filters: FilterSet) -> Parameters:
    """The variables that the filter's closure uses, addresses and masks in parallel."""
    used = filters.used(filter)
    parameters: list[tuple[str, str]] = []
    for family in (*_families(draft), *_segment(draft, site)):
        for name, values in (
            (family.address, (str(network.network_address) for network in family.networks)),
            (family.mask, (str(network.prefixlen) for network in family.networks)),
        ):
            if name in used:
                parameters.extend((name, value) for value in values)
    for name, given in draft.entry.parameters.items():
        parameters.extend((name, value) for value in ([given] if isinstance(given, str) else given))
    return canonical_parameters(parameters)


def check_variables(draft: InterfaceDraft, filter: str, site: SiteView, filters: FilterSet, findings: Findings) -> None:
    """Every variable set, every address enforced."""
    used = filters.used(filter)
    for family in _families(draft):
        _check_family(draft, filter, family, used, findings)
    missing = filters.required(filter) - set(_set_by(draft, site))
    for name in sorted(missing):
        hint = _missing_hint(draft, name)
        message = f"the filter {filter} uses the variable {name}, which nobody sets"
        findings.report("missing-variable", draft.node.at("filter").origin, message, hint)
    parameters = draft.node.at("parameters")
    for name in draft.entry.parameters:
        if name not in used:
            message = f"the filter {filter} does not use the variable {name}"
            findings.report("parameter-unused", parameters.key_origin(name), message)


def _set_by(draft: InterfaceDraft, site: SiteView) -> Iterator[str]:
    yield from draft.entry.parameters
    for family in (*_families(draft), *_segment(draft, site)):
        if family.networks:
            yield from (family.address, family.mask)


def _missing_hint(draft: InterfaceDraft, name: str) -> str:
    family = next((family for family in _families(draft) if name in (family.address, family.mask)), None)
    if family:
        return f"list addresses under {family.field}, or choose a filter for interfaces with {family.field}: none"
    version = next((version for version, names in SEGMENT_VARIABLES.items() if name in names), None)
    if version:
        return f"name a segment that lists its ipv{version} networks: the filter keeps the guest out of them"
    return "" if name in TYPED_VARIABLES else f"add {name} under parameters, or choose another filter"


def _check_family(
    draft: InterfaceDraft, filter: str, family: _Family, used: frozenset[str], findings: Findings
) -> None:
    if not family.networks:
        return
    node = draft.node.at(family.field)
    if family.address not in used:
        message = f"the filter {filter} does not use the variable {family.address}, so these addresses are not enforced"
        findings.report("address-not-enforced", node.origin, message)
    elif family.mask not in used:
        for network, item in zip(family.networks, node.items, strict=False):
            if network.prefixlen != network.max_prefixlen:
                message = f"the filter {filter} does not use {family.mask}, so it cannot enforce the prefix {network}"
                findings.report("prefix-not-supported-by-filter", item.origin, message)
