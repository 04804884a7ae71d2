"""`check`: the site alone, what a change of it changes, and what its filters leak, without any host."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from reconciler import app
from reconciler.errors import UsageError, printable
from reconciler.model.change import Proposal
from reconciler.report import document as json_document
from reconciler.settings import Settings, settle
from reconciler.stories.reading import read_site
from reconciler.verbs.common import EXIT_FAILED, EXIT_OK, Arguments, console, has_scapy, print_document, print_json

if TYPE_CHECKING:
    from reconciler.load.mending import Mending
    from reconciler.model.coverage import FilterCoverage
    from reconciler.model.problem import Problem
    from reconciler.model.site import Desired


def add_check_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", metavar="REF", help="show what changes since that commit of the site's repository")
    parser.add_argument("--fix", action="store_true", help="mend in the site's folder what has one correction")
    parser.add_argument("--dry-run", action="store_true", help="with --fix: show a diff, and write nothing")


def check(arguments: Arguments) -> int:
    from reconciler.load import examine

    settings = settle(arguments)
    if arguments.dry_run:
        return _show_mends(arguments, settings)
    found = read_site(settings)
    files, source = found.files, found.commit
    mending = _fix(arguments, settings, files) if arguments.fix else None
    files = {**files, **mending.files} if mending else files
    desired, problems = examine(files, source, found.odd, app.memory_of(settings))
    proposal = app.proposal(settings, desired, arguments.base) if desired and arguments.base else Proposal()
    judged = app.filter_coverage(settings, desired) if desired and has_scapy() else ()
    if arguments.output == "junit":
        from reconciler.report.junit import junit

        print(junit(files, problems, source), end="")
    elif arguments.output != "text":
        parts = {"problems": json_document.problems(problems), **json_document.proposal_parts(proposal)}
        parts |= {"mends": json_document.mends(mending.mends if mending else ()), "source": source}
        document = json_document.document("check", filters=json_document.filters(judged), **parts)
        print_document(arguments, document)
    else:
        _print(problems, proposal, judged)
        if desired and arguments.base and proposal == Proposal(widening_reason=proposal.widening_reason):
            print(f"nothing changes since {arguments.base}")
    if desired is None:
        print(
            f"{len(problems)} problem{'s' if len(problems) != 1 else ''}{_mendable(files, problems)}", file=sys.stderr
        )
        return EXIT_FAILED
    if _refuses(desired, proposal):
        return EXIT_FAILED
    print(f"{source}: {len(desired.guests)} guests, {len(desired.filters)} filters, no problem", file=sys.stderr)
    return EXIT_OK


def _fix(arguments: Arguments, settings: Settings, files: Mapping[str, bytes]) -> Mending:
    """Write what can be mended, and say each mend."""
    mending = app.mend(settings, files, write=True)
    if arguments.output == "text":
        for mend in mending.mends:
            print(printable(f"fixed {mend.origin}: {mend.before} → {mend.after} [{mend.id}]"))
    return mending


def _mendable(files: Mapping[str, bytes], problems: tuple[Problem, ...]) -> str:
    """How many of the problems `--fix` would end. A filter's mend may depend on the others, so all of them are read."""
    from reconciler.load.mending import mend_site

    faulty = {problem.origin.path for problem in problems}
    mends = mend_site({path: files[path] for path in files if path in faulty or path.startswith("filters/")}).mends
    ended = {(mend.id, mend.origin) for mend in mends}
    count = sum((problem.id, problem.origin) in ended for problem in problems)
    return f"; `check --fix` mends {count} of them" if count else ""


def _show_mends(arguments: Arguments, settings: Settings) -> int:
    from reconciler.report.text import unified_diff

    if not arguments.fix:
        raise UsageError("--dry-run goes with --fix; nothing was done", hint="`check` alone writes nothing either")
    found = read_site(settings)
    mending = app.mend(settings, found.files, write=False)
    if arguments.output != "text":
        mends = json_document.mends(mending.mends)
        print_document(arguments, json_document.document("check", mends=mends, source=found.commit))
    else:
        for path, content in mending.files.items():
            print(unified_diff(path, found.files[path], content), end="")
    return EXIT_FAILED if mending.files else EXIT_OK


def _refuses(desired: Desired, proposal: Proposal) -> bool:
    if not desired.policy.forbid_widening or proposal.widening_reason:
        return False
    if proposal.base_problems:
        message = "whether this change lets more frames through cannot be told, and the policy forbids it"
        print(f"error: {message}", file=sys.stderr)
    elif proposal.opens:
        print("error: this change lets frames through that were dropped, and the policy forbids it", file=sys.stderr)
    else:
        return False
    print("hint: a line `Allow-widening: REASON` in a commit's message says that it is meant", file=sys.stderr)
    return True


def _print(problems: tuple[Problem, ...], proposal: Proposal, judged: tuple[FilterCoverage, ...]) -> None:
    from reconciler.report.guests import show_filter_coverage
    from reconciler.report.text import problem_lines, show_changes, show_verdict_changes

    if problems:
        print(problem_lines(problems))
    if proposal.base_problems:
        count = f"{proposal.base_problems} problem{'s' if proposal.base_problems != 1 else ''}"
        print(f"the base has {count} of its own, so what changes since cannot be told")
    if proposal.changes:
        show_changes(console(), proposal.changes)
    if proposal.verdicts:
        show_verdict_changes(console(), proposal.verdicts)
    if proposal.opens and proposal.widening_reason:
        print(f"allowed to widen: {printable(proposal.widening_reason)}")
    if judged:
        show_filter_coverage(console(), judged)


def add_schema_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=("site", "guest"))


def schema(arguments: Arguments) -> int:
    from reconciler.load.schema import schemas

    print_json(schemas()[arguments.kind])
    return EXIT_OK
