"""Which addresses have two owners: one pass over all of them in order."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from reconciler.load.findings import Findings
from reconciler.model.origin import Origin

_BITS = {4: 32, 6: 128}


class Claim(NamedTuple):
    """An address or prefix that an interface owns. `scope` keeps apart what may repeat: link-local addresses.

    Compared as it stands, of all that begin at one address the widest comes first: `end` is the last address, negated.
    """

    version: int
    scope: str
    first: int
    end: int
    path: str
    line: int
    column: int
    owner: str

    @property
    def origin(self) -> Origin:
        return Origin(self.path, self.line, self.column)

    def __str__(self) -> str:
        address = IPv4Address(self.first) if self.version == 4 else IPv6Address(self.first)
        behind = (-self.end - self.first).bit_length()
        return f"{address}/{_BITS[self.version] - behind}" if behind else str(address)


def report_overlaps(claims: Iterable[Claim], findings: Findings) -> None:
    """Report each claim that shares an address with one before it in address order, the one that reaches farthest."""
    previous: Claim | None = None
    farthest: Claim | None = None
    reach = -1
    for claim in sorted(claims):
        if previous is None or previous.version != claim.version or previous.scope != claim.scope:
            farthest, reach = None, -1
        elif previous.first == claim.first and previous.end == claim.end:
            _report_pair(previous, claim, findings)
        elif farthest is not None and claim.first <= reach:
            _report_pair(farthest, claim, findings)
        if -claim.end > reach:
            farthest, reach = claim, -claim.end
        previous = claim


def _report_pair(a: Claim, b: Claim, findings: Findings) -> None:
    first, second = sorted((a, b), key=lambda claim: claim.origin)
    other = f"{first.owner} ({first.origin})"
    if (a.first, a.end) == (b.first, b.end):
        findings.report("address-twice", second.origin, f"{second} of {second.owner} is also owned by {other}")
    else:
        message = f"{second} of {second.owner} overlaps {first} of {other}"
        findings.report("prefix-overlap", second.origin, message)
