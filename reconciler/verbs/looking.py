"""A look at the host beside its site, and what every verb tells of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from reconciler import app
from reconciler.settings import Settings
from reconciler.stories.holding import with_holds
from reconciler.stories.reading import read_site
from reconciler.verbs.common import Arguments, in_force

if TYPE_CHECKING:
    from reconciler.model.drift import Drift
    from reconciler.source.snapshot import Snapshot


def survey(arguments: Arguments) -> tuple[Settings, app.Survey]:
    settings = in_force(arguments)
    return settings, look(settings, read_site(settings))


def look(settings: Settings, found: Snapshot) -> app.Survey:
    """The host beside a site that was read."""
    desired = app.load_site(settings, found)
    name = app.host_name(settings, desired)
    seen = with_holds(settings, app.survey(desired, app.open_host(settings), name))
    tell_interrupted(settings)
    tell_ignored(seen.drift)
    return seen


def tell_interrupted(settings: Settings) -> None:
    for run in app.interrupted_runs(settings):
        owed = f"; it owes a start to {', '.join(sorted(run.owed()))}" if run.owed() else ""
        print(f"run {run.name} was interrupted: the next apply finishes its work{owed}", file=sys.stderr)


def tell_ignored(drift: Iterable[Drift]) -> None:
    """Every verb that looks at a host says what it leaves alone, with the site's reason."""
    for each in drift:
        if each.ignored is not None:
            print(f"ignored: {each.layer} {each.object} {each.field}: {each.ignored}", file=sys.stderr)
