"""Addresses that come from another host: what its report must say before this one claims them (promise P4)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from reconciler.errors import PublishError, ReconcilerError
from reconciler.model.plan import WaitReason
from reconciler.plan.claims import Claim, Holding, claims, unreleased
from reconciler.plan.holding import Hold, Holds
from reconciler.records.commits import read_applied
from reconciler.settings import Settings

if TYPE_CHECKING:
    from reconciler.app import Survey
    from reconciler.model.site import Desired


def unreleased_claims(settings: Settings, seen: Survey) -> Holds:
    """Claims of addresses that other hosts have not let go of, as their reports tell."""
    before = _applied_site(settings, seen.desired)
    wanted = claims(before, seen.desired, seen.live, seen.host)
    if not wanted:
        return {}
    hosts = [host for host in seen.desired.hosts if host != seen.host]
    hosts += sorted({host for claim in wanted for host in claim.hosts} - set(hosts))
    try:
        told = dict(_reports(settings, hosts))
    except PublishError:
        return {f"guest/{claim.guest}": _wait(claim, "another host") for claim in wanted if claim.hosts}
    reached = [host for host, report in told.items() if _has_reached(settings, report, seen.desired.source)]
    reached += settings.released
    held = {host: tuple(_holdings(report)) for host, report in told.items() if host not in settings.released}
    waits = ((claim, unreleased(claim, reached, held)) for claim in wanted)
    return {f"guest/{claim.guest}": _wait(claim, host) for claim, host in waits if host is not None}


def _wait(claim: Claim, host: str) -> Hold:
    addresses = ", ".join(str(network) for network in sorted(claim.networks, key=str))
    hint = f"{host} has not said that it let go of an address of {addresses}: its next run does"
    return WaitReason.RELEASE, f"{hint}; if that host is gone for good: `reconciler apply --released {host}`"


def _applied_site(settings: Settings, desired: Desired) -> Desired | None:
    """The site that was applied here last; None when it was this one, or is not known any more."""
    commit = read_applied(settings.var).commit
    if commit is None or commit == desired.source:
        return None
    from reconciler.load import examine
    from reconciler.stories.following import read_pinned

    with suppress(ReconcilerError):
        found = read_pinned(settings._replace(commit=commit))
        return examine(found.files, found.commit, found.odd)[0]
    return None


def _reports(settings: Settings, hosts: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    from reconciler.publish.branch import read_reports
    from reconciler.publish.repository import ReportRepository
    from reconciler.stories.following import access

    repository = ReportRepository(settings.var / "reports", access(settings), "reader")
    for host, text in read_reports(repository, hosts).items():
        with suppress(ValueError, RecursionError):
            found = json.loads(text)
            if isinstance(found, dict):
                yield host, found


def _has_reached(settings: Settings, report: dict[str, Any], commit: str) -> bool:
    """Whether a host has been brought to a commit, or to one that descends from it."""
    from reconciler.stories.following import descends

    source = report.get("source")
    if report.get("outcome") not in ("in-sync", "applied") or not isinstance(source, str):
        return False
    return source == commit or descends(settings, source, commit)


def _holdings(report: dict[str, Any]) -> Iterator[Holding]:
    """What a report says that its host holds; anything else than that is passed over."""
    held = report.get("held")
    for each in held if isinstance(held, list) else ():
        with suppress(TypeError, KeyError, ValueError):
            yield Holding(str(each["guest"]), frozenset(ip_network(text) for text in each["addresses"]))
