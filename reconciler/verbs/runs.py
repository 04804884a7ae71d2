"""`history` and `rollback`: what runs did, and the way back."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from reconciler.report import document as json_document
from reconciler.settings import settle
from reconciler.verbs.common import (
    EXIT_FAILED,
    EXIT_OK,
    Arguments,
    at_a_terminal,
    confirmed,
    print_document,
    tell_error,
    tell_progress,
)

if TYPE_CHECKING:
    from reconciler.execute.runs import Run
    from reconciler.model.plan import Step


def add_rollback_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("since", metavar="RUN", help="a run of `history`, or the beginning of its name")
    parser.add_argument("--itself", action="store_true", help="take back that run too")
    parser.add_argument("--yes", action="store_true", help="do not ask on a terminal")


def history(arguments: Arguments) -> int:
    from reconciler.stories.rollback import history as runs_of

    runs = runs_of(settle(arguments))
    if arguments.output != "text":
        print_document(arguments, json_document.document("history", runs=[_document(run) for run in runs]))
        return EXIT_OK
    for run in runs:
        steps = sum(event["event"] == "done" for event in run.events)
        print(f"{run.name}  {run.outcome:<10}  {steps} step{'' if steps == 1 else 's'}  {run.source}")
        for guest in sorted(run.owed()) if run.is_open else ():
            print(f"    owes a start to {guest}")
    return EXIT_OK


def rollback(arguments: Arguments) -> int:
    from reconciler.stories.rollback import rollback as go_back

    settings = settle(arguments)
    if at_a_terminal() and not arguments.yes and not confirmed(f"take back what was done since {arguments.since}?"):
        print("nothing was done", file=sys.stderr)
        return EXIT_OK
    events: list[dict[str, str]] = []

    def notify(event: str, step: Step) -> None:
        events.append({"event": event, "step": step.id})
        tell_progress(event, step)

    done = go_back(settings, arguments.since, notify, itself=arguments.itself)
    if arguments.output != "text":
        found = json_document.document("rollback", execution=json_document.execution(done), events=events)
        print_document(arguments, found)
    elif done is None:
        print("nothing to take back: the host is as that run left it")
    elif done.ok:
        print(f"taken back, as run {done.run}; the next apply brings the site's state again: revert its commit too")
    if done is not None and done.error is not None:
        tell_error(done.error)
        return EXIT_FAILED
    return EXIT_OK


def _document(found: Run) -> dict[str, Any]:
    return {
        "run": found.name,
        "started": found.started,
        "source": found.source,
        "outcome": found.outcome,
        "steps": [event["id"] for event in found.events if event["event"] == "done"],
        "owed": sorted(found.owed()) if found.is_open else [],
    }
