"""The command: verbs and their options, thin. What they do is in `app`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler import __version__, app
from reconciler.errors import ReconcilerError, SiteError, UsageError
from reconciler.model.plan import Step
from reconciler.report import document as json_document
from reconciler.settings import settle
from reconciler.verbs import adopt, check, guests, runs, unattended
from reconciler.verbs.common import (
    EXIT_FAILED,
    EXIT_OK,
    Arguments,
    add_allow_option,
    add_rewind_option,
    console,
    print_document,
    print_json,
    survey,
    tell_error,
    tell_ignored,
    tell_interrupted,
    tell_progress,
)

if TYPE_CHECKING:
    from reconciler.model.coverage import Unmanaged
    from reconciler.model.outcome import Execution

EXIT_DIFF_ERROR, EXIT_PLAN_CHANGES, EXIT_WAITING = 2, 2, 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code; errors are printed as one sentence and a hint, never a traceback."""
    words = sys.argv[1:] if argv is None else list(argv)
    arguments = _parser(words).parse_args(words)
    verb: Callable[[Arguments], int] = arguments.run
    try:
        _refuse_junit(arguments)
        return verb(arguments)
    except ReconcilerError as error:
        _print_error(arguments, error)
        return EXIT_DIFF_ERROR if arguments.verb == "diff" else error.exit_code
    except KeyboardInterrupt:
        print("interrupted; what was begun is in the journal", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED


def _refuse_junit(arguments: Arguments) -> None:
    if arguments.output == "junit" and arguments.verb != "check":
        hint = "it shows the problems of files; --output json is for every verb"
        raise UsageError("--output junit is for check alone; nothing was done", hint=hint)


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reconciler",
        description="Keep KVM guests to their own addresses: libvirt's nwfilter, reconciled from Git.",
    )
    _add_options(parser)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add = partial(_verb, verbs)
    check.add_options(add("check", check.run, "look at the site alone: every problem of every file, without a host"))
    add("diff", _diff, "what differs between the site and this host, on every layer")
    _add_changing_verbs(add)
    _add_looking_verbs(add, traces="trace" in argv)
    unattended.register(add)
    _add_lab(verbs, needed="lab" in argv)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--connect", metavar="URI", help="libvirt's daemon on this host (qemu:///system)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--site", metavar="DIR", type=Path, help="the folder with site.yaml (./state)")
    where.add_argument("--repo", metavar="URL", help="the Git repository with the site")
    parser.add_argument("--branch", metavar="B", help="its branch (main)")
    parser.add_argument("--config", metavar="FILE", type=Path, help="/etc/reconciler/config.yaml")
    parser.add_argument("--var", metavar="DIR", type=Path, help="journal, mirror and lock (/var/lib/reconciler)")
    parser.add_argument("--host", metavar="NAME", help="the site's name of this host (its own name)")
    parser.add_argument(
        "--output",
        choices=("text", "json", "markdown", "html", "junit"),
        default="text",
        help="what goes to standard output (junit: check)",
    )


_Add = Callable[[str, Callable[[Arguments], int], str], argparse.ArgumentParser]


def _add_changing_verbs(add: _Add) -> None:
    plan = add("plan", _plan, "what apply would do: ordered steps, cost, disruption, revert")
    plan.add_argument("--out", metavar="FILE", type=Path, help="write the plan for `apply FILE`")
    plan.add_argument("--detailed-exitcode", action="store_true", help="0 nothing to do, 2 changes, 1 error")
    apply = add("apply", _apply, "bring this host to the site, prove it, take it back on failure")
    apply.add_argument(
        "plan", metavar="PLANFILE", nargs="?", type=Path, help="apply only if the plan is still this one"
    )
    apply.add_argument("--yes", action="store_true", help="do not ask on a terminal")
    add_rewind_option(apply)
    add_allow_option(apply)
    add("history", runs.history, "what earlier runs did, the newest first")
    back = add("rollback", runs.rollback, "go back to how a run had left the host: take back all later ones")
    runs.add_rollback_options(back)


def _add_looking_verbs(add: _Add, *, traces: bool) -> None:
    verify = add("verify", guests.verify, "read all layers back and prove isolation on the kernel's rules")
    guests.add_verify_options(verify)
    trace = add("trace", guests.trace, "what becomes of a frame that is described in words, and by which rule")
    if traces:
        guests.add_trace_options(trace)
    status = add("status", guests.status, "each interface's filter, how it is enforced, and what it covers")
    guests.add_status_options(status)
    take = add("adopt", adopt.run, "write the site's files of what libvirt has; libvirt itself is only read")
    adopt.add_options(take)
    schema = add("schema", _schema, "the JSON Schema of the site's files")
    schema.add_argument("kind", choices=("site", "guest"))


def _add_lab(verbs: Any, needed: bool) -> None:
    """The lab's own verbs cost an import that a timer's run should not pay."""
    if not needed:
        verbs.add_parser("lab", help="a private libvirtd in its own namespaces")
        return
    from reconciler.lab import cli as lab

    lab.add_parser(verbs)
    verbs.choices["lab"].set_defaults(run=lab.main)


def _verb(verbs: Any, name: str, run: Callable[[Arguments], int], help_text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=help_text, description=help_text)
    parser.set_defaults(run=run)
    return parser


def _diff(arguments: Arguments) -> int:
    _, seen = survey(arguments)
    unmanaged = app.unmanaged_of(seen)
    if arguments.output != "text":
        parts = {"host": seen.host, "source": seen.desired.source, "drift": json_document.drift(seen.drift)}
        found = json_document.document("diff", **parts, unmanaged=json_document.unmanaged(unmanaged))
        print_document(arguments, found)
    else:
        _show_drift(seen, unmanaged)
    return EXIT_FAILED if any(drift.counts for drift in seen.drift) else EXIT_OK


def _show_drift(seen: app.Survey, unmanaged: Unmanaged) -> None:
    if seen.drift:
        from reconciler.report.text import show_drift

        show_drift(console(), seen.drift)
    else:
        print(f"{seen.host} is as {_short(seen.desired.source)} says")
    if unmanaged:
        from reconciler.report.guests import show_unmanaged

        show_unmanaged(console(), unmanaged)


def _plan(arguments: Arguments) -> int:
    _, seen = survey(arguments)
    plan = app.plan_of(seen)
    found = json_document.document("plan", **json_document.plan_parts(plan), drift=json_document.drift(seen.drift))
    if arguments.out is not None:
        _write_plan(arguments.out, found)
    if arguments.output != "text":
        print_document(arguments, found)
    elif plan.steps or plan.waiting:
        from reconciler.report.text import show_plan

        show_plan(console(), plan)
    else:
        print(f"nothing to do: {seen.host} is as {_short(plan.source)} says")
    changes = bool(plan.steps or plan.waiting)
    return EXIT_PLAN_CHANGES if changes and arguments.detailed_exitcode else EXIT_OK


def _write_plan(path: Path, found: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the plan cannot be written to {path} ({error.strerror})") from error


def _apply(arguments: Arguments) -> int:
    settings = settle(arguments)
    digest = _planned_digest(arguments.plan) if arguments.plan else None
    if sys.stdin.isatty() and not arguments.yes and digest is None:
        digest = _confirmed(arguments)
        if digest is None:
            print("nothing was done", file=sys.stderr)
            return EXIT_OK
    tell_interrupted(settings)
    events: list[dict[str, str]] = []

    def notify(event: str, step: Step) -> None:
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
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no plan; nothing was done", hint="`reconciler plan --out FILE` writes one"
        ) from error
    return str(digest)


def _confirmed(arguments: Arguments) -> str | None:
    from reconciler.report.text import show_plan

    _, seen = survey(arguments)
    plan = app.plan_of(seen, arguments.allow)
    show_plan(console(), plan)
    if not plan.steps:
        return plan.digest
    return plan.digest if input("apply these steps? [y/N] ").strip().lower() in ("y", "yes") else None


def _print_application(arguments: Arguments, done: app.Application, events: list[dict[str, str]]) -> None:
    if arguments.output != "text":
        parts = json_document.plan_parts(done.plan)
        parts |= {"drift": json_document.drift(done.drift), "cases": json_document.cases(done.proofs)}
        parts |= {
            "interfaces": json_document.interfaces(done.proofs),
            "execution": json_document.execution(done.execution),
        }
        print_document(arguments, json_document.document("apply", **parts, events=events))
        return
    if done.execution is None:
        print(f"nothing to do: {done.plan.host} is as {_short(done.plan.source)} says")
    elif done.execution.ok:
        from reconciler.report.text import show_proofs, summary

        show_proofs(console(), done.proofs)
        print(f"applied: {summary(done.plan)}")
    if done.plan.waiting:
        from reconciler.report.text import show_waiting

        show_waiting(console(), done.plan.waiting)


def _schema(arguments: Arguments) -> int:
    from reconciler.load.schema import schemas

    print_json(schemas()[arguments.kind])
    return EXIT_OK


def _short(source: str) -> str:
    """A commit in the length that people use; a folder as it is."""
    is_commit = len(source) in (40, 64) and all(letter in "0123456789abcdef" for letter in source)
    return f"commit {source[:12]}" if is_commit else source


def _print_error(arguments: Arguments, error: ReconcilerError) -> None:
    if arguments.output != "text":
        print_document(arguments, json_document.error(arguments.verb, error))
    if isinstance(error, SiteError):
        from reconciler.report.text import problem_lines

        print(problem_lines(error.problems), file=sys.stderr)
    tell_error(error)
