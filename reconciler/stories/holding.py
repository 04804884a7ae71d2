"""What waits on this host although the policy would allow it: what is suspended, and what another host still holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.records.suspensions import read_suspensions
from reconciler.settings import Settings

if TYPE_CHECKING:
    from reconciler.app import Survey
    from reconciler.plan.holding import Hold, Holds


def with_holds(settings: Settings, seen: Survey) -> Survey:
    """The same look at a host, with all that has to wait there."""
    return replace(seen, holds=dict(_released(settings, seen)) | dict(_suspended(settings)))


def suspended_targets(settings: Settings) -> tuple[str, ...]:
    return tuple(each.target for each in read_suspensions(settings.var))


def _suspended(settings: Settings) -> Iterator[tuple[str, Hold]]:
    from reconciler.model.plan import WaitReason

    for each in read_suspensions(settings.var):
        until = f"{each.until:%Y-%m-%d %H:%M} UTC"
        hint = f"suspended until {until}: {each.reason}; `reconciler resume {each.target}` ends it"
        yield each.target, (WaitReason.SUSPENDED, hint)


def _released(settings: Settings, seen: Survey) -> Holds:
    """Only where hosts tell each other on report branches."""
    if settings.repository is None or "branch" not in settings.publish.targets:
        return {}
    from reconciler.stories.releasing import unreleased_claims

    return unreleased_claims(settings, seen)
