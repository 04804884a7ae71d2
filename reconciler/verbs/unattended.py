"""The verbs of a host that runs by itself: what the timer starts, and what goes with it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Protocol

from reconciler.verbs import run
from reconciler.verbs.common import Arguments


class AddVerb(Protocol):
    """How the command takes a verb."""

    def __call__(self, name: str, run: Callable[[Arguments], int], help_text: str) -> argparse.ArgumentParser: ...


def register(add: AddVerb) -> None:
    run.add_run_options(add("run", run.run, "what the timer starts: fetch, apply, verify, and an answer in any case"))
    add("report", run.report, "what differs on this host, told to those who read reports; nothing is changed")
