"""Which addresses have two owners: one pass over all of them in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.load.findings import Findings
from reconciler.load.values import IPNetwork, bounds
from reconciler.model.origin import Origin


@dataclass(frozen=True, slots=True)
class Claim:
    """An address or prefix that an interface owns. `scope` keeps apart what may repeat: link-local addresses."""

    network: IPNetwork
    owner: str
    origin: Origin
    scope: str = ""

    def __str__(self) -> str:
        single = self.network.prefixlen == self.network.max_prefixlen
        return str(self.network.network_address if single else self.network)


def report_overlaps(claims: Iterable[Claim], findings: Findings) -> None:
    """Report each claim that shares an address with one before it in address order, the one that reaches farthest."""
    previous: Claim | None = None
    farthest: Claim | None = None
    reach = -1
    for claim, first, last in _in_address_order(claims):
        if previous is None or _space(previous) != _space(claim):
            farthest, reach = None, -1
        elif previous.network == claim.network:
            _report_pair(previous, claim, findings)
        elif farthest is not None and first <= reach:
            _report_pair(farthest, claim, findings)
        if last > reach:
            farthest, reach = claim, last
        previous = claim


def _space(claim: Claim) -> tuple[int, str]:
    return claim.network.version, claim.scope


def _in_address_order(claims: Iterable[Claim]) -> Iterable[tuple[Claim, int, int]]:
    spans = [(claim, *bounds(claim.network)) for claim in claims]
    return sorted(spans, key=lambda s: (*_space(s[0]), s[1], -s[2], s[0].origin))


def _report_pair(a: Claim, b: Claim, findings: Findings) -> None:
    first, second = sorted((a, b), key=lambda claim: claim.origin)
    other = f"{first.owner} ({first.origin})"
    if a.network == b.network:
        findings.report("address-twice", second.origin, f"{second} of {second.owner} is also owned by {other}")
    else:
        message = f"{second} of {second.owner} overlaps {first} of {other}"
        findings.report("prefix-overlap", second.origin, message)
