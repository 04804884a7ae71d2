"""Confirmed apply: what answered before a change has to answer after it, or the change is taken back.

Guests are asked as the site says (`health`), and by the program that the host's own configuration names. The host's way
to its remote repository is asked too: a host that cut itself off could never be told to undo that.
"""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING

from reconciler.errors import HostError, ReconcilerError, UsageError
from reconciler.model.plan import Plan
from reconciler.model.probe import Probe, ProbeKind
from reconciler.plan.touched import touched_guests
from reconciler.settings import Settings
from reconciler.stories.following import remote_answers

if TYPE_CHECKING:
    from reconciler.app import Survey
    from reconciler.host.protocol import Host

BEFORE_SECONDS = 3.0
ATTEMPT_SECONDS = 10.0
_PAUSE_SECONDS = 0.2


class Confirmation:
    """Made before the first step: who answers then. Who does not is not asked again."""

    def __init__(self, settings: Settings, host: Host, plan: Plan, seen: Survey) -> None:
        self._settings = settings
        self._host = host
        probes = probes_of(settings, plan, seen)
        self._answered = host.answering(probes, BEFORE_SECONDS) if probes else frozenset()
        self._remote = remote_answers(settings, ATTEMPT_SECONDS)

    def broken(self) -> ReconcilerError | None:
        """What does not answer any more, each given its own time."""
        after = self._host.answering(self._answered, math.inf) if self._answered else frozenset()
        silent = sorted(self._answered - after, key=lambda probe: (probe.guest, probe.describe()))
        if silent:
            told = "; ".join(f"guest {each.guest}: no answer to {each.describe()}" for each in silent)
            return HostError(
                f"{told} within {max(each.within for each in silent):.0f} s, and there was one before the change",
                hint="all steps were taken back; `reconciler trace` says which rule stops a frame",
            )
        if self._remote and not self._remote_is_back():
            return HostError(
                f"{self._settings.repository} does not answer any more within {self._settings.health.within:.0f} s, "
                "and it did before the change",
                hint="all steps were taken back; if the server went down by itself, apply again when it is up",
            )
        return None

    def _remote_is_back(self) -> bool:
        end = time.monotonic() + self._settings.health.within
        while not remote_answers(self._settings, max(1.0, min(ATTEMPT_SECONDS, end - time.monotonic()))):
            if time.monotonic() > end:
                return False
            time.sleep(_PAUSE_SECONDS)
        return True


def probes_of(settings: Settings, plan: Plan, seen: Survey) -> tuple[Probe, ...]:
    """What to ask of the guests that the plan touches. Raises `UsageError` for a program that cannot be run."""
    touched = touched_guests(plan, seen.live)
    guests = [guest for guest in seen.desired.guests_on(seen.host) if guest.name in touched]
    asked = [probe for guest in guests for probe in guest.health]
    if settings.health.command is not None:
        program, within = str(settings.health.command), settings.health.within
        if not os.access(program, os.X_OK):
            message = f"health_command: {program} is not there or not executable; nothing was done"
            raise UsageError(message, hint=f"chmod 755 {program}")
        asked += [Probe(guest.name, ProbeKind.COMMAND, program=program, within=within) for guest in guests]
    return tuple(asked)
