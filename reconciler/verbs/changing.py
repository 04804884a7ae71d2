"""`plan` and `apply`: what would be done, and doing it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler import app
from reconciler.ahead import import_ahead
from reconciler.errors import ReconcilerError, UsageError
from reconciler.settings import settle
from reconciler.verbs.common import (
    EXIT_FAILED,
    EXIT_OK,
    Arguments,
    add_allow_option,
    add_rewind_option,
    at_a_terminal,
    confirmed,
    console,
    print_document,
    short_source,
    tell_error,
    tell_progress,
)
from reconciler.verbs.looking import survey, tell_ignored, tell_interrupted

if TYPE_CHECKING:
    from reconciler.model.outcome import Execution
    from reconciler.model.plan import Plan, Step

EXIT_PLAN_CHANGES, EXIT_WAITING = 2, 3
_AFTER_THE_STEPS = ("reconciler.nwfilter.prove", "reconciler.report.text", "rich.console", "rich.table", "rich.box")


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the plan for `apply FILE`")
    parser.add_argument("--detailed-exitcode", action="store_true", help="0 nothing to do, 2 changes, 1 error")
    add_allow_option(parser)


def add_apply_options(parser: argparse.ArgumentParser) -> None:
    text = "apply only if the plan is still this one"
    parser.add_argument("plan", metavar="PLANFILE", nargs="?", type=Path, help=text)
    parser.add_argument("--yes", action="store_true", help="do not ask on a terminal")
    add_rewind_option(parser)
    add_allow_option(parser)


def plan(arguments: Arguments) -> int:
    _, seen = survey(arguments)
    found = app.plan_of(seen, arguments.allow)
    if arguments.out is not None:
        _write_plan(arguments.out, _plan_document(seen, found))
    if arguments.output != "text":
        print_document(arguments, _plan_document(seen, found))
    elif found.steps or found.waiting:
        from reconciler.report.text import show_plan

        show_plan(console(), found)
    else:
        print(f"nothing to do: {seen.host} is as {short_source(found.source)} says")
    changes = bool(found.steps or found.waiting)
    return EXIT_PLAN_CHANGES if changes and arguments.detailed_exitcode else EXIT_OK


def _plan_document(seen: app.Survey, found: Plan) -> dict[str, Any]:
    from reconciler.report import document as json_document

    return json_document.document("plan", **json_document.plan_parts(found), drift=json_document.drift(seen.drift))


def _write_plan(path: Path, found: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the plan cannot be written to {path} ({error.strerror})") from error


def apply(arguments: Arguments) -> int:
    settings = settle(arguments)
    digest = _planned_digest(arguments.plan) if arguments.plan else None
    if at_a_terminal() and not arguments.yes and digest is None:
        digest = _confirmed(arguments)
        if digest is None:
            print("nothing was done", file=sys.stderr)
            return EXIT_OK
    tell_interrupted(settings)
    events: list[dict[str, str]] = []

    def notify(event: str, step: Step) -> None:
        if not events:
            import_ahead(*_AFTER_THE_STEPS)
        events.append({"event": event, "step": step.id})
        tell_progress(event, step)

    done = app.apply(settings, notify, arguments.allow, digest)
    tell_ignored(done.drift)
    _print_application(arguments, done, events)
    if done.execution is not None and done.execution.error is not None:
        _tell_failure(done.execution, done.execution.error)
        return EXIT_FAILED
    return EXIT_WAITING if done.plan.waiting else EXIT_OK


def _tell_failure(execution: Execution, error: ReconcilerError) -> None:
    tell_error(error)
    if execution.reverted:
        print(f"taken back: {', '.join(step.id for step in execution.reverted)}", file=sys.stderr)
    for step, reason in execution.unreverted:
        print(f"NOT taken back: {step.id}: {reason}", file=sys.stderr)
    print(f"the journal of this run is {execution.run}", file=sys.stderr)


def _planned_digest(path: Path) -> str:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        digest = found["digest"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{path} is no plan; nothing was done", hint="`reconciler plan --out FILE` writes one"
        ) from error
    return str(digest)


def _confirmed(arguments: Arguments) -> str | None:
    from reconciler.report.text import show_plan

    _, seen = survey(arguments)
    plan = app.plan_of(seen, arguments.allow)
    show_plan(console(stderr=arguments.output != "text"), plan)
    if not plan.steps:
        return plan.digest
    return plan.digest if confirmed("apply these steps?") else None


def _print_application(arguments: Arguments, done: app.Application, events: list[dict[str, str]]) -> None:
    if arguments.output != "text":
        from reconciler.report import document as json_document

        parts = json_document.plan_parts(done.plan)
        parts |= {"drift": json_document.drift(done.drift), "cases": json_document.cases(done.proofs)}
        parts |= {
            "interfaces": json_document.interfaces(done.proofs),
            "execution": json_document.execution(done.execution),
        }
        print_document(arguments, json_document.document("apply", **parts, events=events))
        return
    if done.execution is None and done.plan.waiting:
        print(f"nothing can be done now: {done.plan.host} is not as {short_source(done.plan.source)} says")
    elif done.execution is None:
        print(f"nothing to do: {done.plan.host} is as {short_source(done.plan.source)} says")
    elif done.execution.ok:
        from reconciler.report.text import show_proofs, summary

        running = [proof for proof in done.proofs if proof.port is not None or not proof.managed]
        show_proofs(console(), running)
        if len(running) < len(done.proofs):
            print(f"interfaces of guests that do not run: {len(done.proofs) - len(running)}")
        print(f"applied: {summary(done.plan)}")
    if done.plan.waiting:
        from reconciler.report.text import show_waiting

        show_waiting(console(), done.plan.waiting)
