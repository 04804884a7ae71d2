"""site.yaml as the guests see it: what it defines, and of what it is unclear whether it does."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.errors import did_you_mean
from reconciler.load.files import FilterForms, SiteFile
from reconciler.load.filters import FilterSet
from reconciler.load.findings import Findings, shown
from reconciler.load.node import Node
from reconciler.load.repeated import report_repeated
from reconciler.load.segments import Gateways, Territory, check_gateways, check_overlaps
from reconciler.load.shape import Shaped
from reconciler.load.values import END_OF_DAY


class SiteView:
    """Answers to what an interface asks of site.yaml."""

    def __init__(self, shaped: Shaped[SiteFile]) -> None:
        self.file = shaped.model
        self.node = shaped.node
        self.territories = {
            name: Territory.of(name, entry)
            for name, entry in self.file.segments.items()
            if not self.node.at("segments", name).damaged
        }
        self.gateways = Gateways({name: self.file.segments[name] for name in self.territories})

    def is_unclear(self, section: str, name: str) -> bool:
        """Whether a name may be missing only because a faulty part was cut out."""
        names = self.node.fields.get(section)
        if names is None:
            return bool(self.node.keys.keys() - self.node.fields.keys())
        return name in names.keys and (name not in names.fields or names.fields[name].damaged)

    def forms(self, name: str) -> FilterForms | str | None:
        return self.file.filters.get(name)

    def check(self, filters: FilterSet, findings: Findings) -> None:
        """What can be said of site.yaml without any guest."""
        for name, entry in self.file.segments.items():
            if name in self.territories:
                check_gateways(name, entry, self.node.at("segments", name), findings)
                report_repeated(entry.gateways, self.node.at("segments", name, "gateways"), "gateway", findings)
        check_overlaps(
            {name: self.file.segments[name] for name in self.territories}, self.node.at("segments"), findings
        )
        for name, choice in self.file.filters.items():
            _check_choice(name, choice, self.node.at("filters", name), filters, findings)
            if name in filters.site and choice != name:
                message = f"{name} here is used instead of filters/{name}.xml"
                findings.report("form-shadows-filter", self.node.at("filters").key_origin(name), message)
        self._check_policy(findings)
        default = self.file.defaults.filter
        if default and not self.knows_filter(default, filters):
            report_unknown_filter(default, self.node.at("defaults", "filter"), self.names(filters), findings)

    def _check_policy(self, findings: Findings) -> None:
        policy, node = self.file.policy, self.node.at("policy")
        for number, window in enumerate(policy.windows):
            report_repeated(window.days, node.at("windows", number, "days"), "day", findings)
            if window.begin == window.to or (window.begin, window.to) == (END_OF_DAY, 0):
                findings.report(
                    "window-empty", node.at("windows", number, "to").origin, "the window ends when it begins"
                )
        limit, place = policy.flood_limit, node.at("flood_limit")
        if limit and policy.supplement == "off":
            findings.report(
                "flood-limit-without-supplement", place.origin, "the site has no supplement to limit floods"
            )
        if limit and limit.burst and limit.burst > 60 * limit.rate:
            message = f"{limit.burst} frames are more than a minute's at {limit.rate} a second"
            findings.report("flood-limit-burst", place.at("burst").origin, message)

    def knows_filter(self, name: str, filters: FilterSet) -> bool:
        return name in self.file.filters or filters.exists(name) or self.is_unclear("filters", name)

    def names(self, filters: FilterSet) -> tuple[str, ...]:
        return (*self.file.filters, *filters.names())


def _check_choice(name: str, choice: FilterForms | str, node: Node, filters: FilterSet, findings: Findings) -> None:
    named: Mapping[str, str | None] = {"": choice} if isinstance(choice, str) else choice.model_dump(exclude={"roles"})
    for form, filter in named.items():
        if filter and not filters.exists(filter):
            report_unknown_filter(filter, node.at(form), filters.names(), findings)
    if not isinstance(choice, str):
        report_repeated(choice.roles, node.at("roles"), "role", findings)
    if not any(named.values()) and not node.damaged:
        findings.report("filter-form-missing", node.origin, f"{shown(name)} has no form at all")


def report_unknown_filter(name: str, node: Node, known: tuple[str, ...], findings: Findings) -> None:
    findings.report("unknown-filter", node.origin, f"there is no filter {name}", did_you_mean(name, known))
