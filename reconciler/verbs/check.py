"""`check`: the site alone, what a change of it changes, and what its filters leak, without any host."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from reconciler import app
from reconciler.model.change import Proposal
from reconciler.report import document as json_document
from reconciler.settings import settle
from reconciler.verbs.common import EXIT_FAILED, EXIT_OK, Arguments, console, has_scapy, print_document

if TYPE_CHECKING:
    from reconciler.model.coverage import FilterCoverage
    from reconciler.model.problem import Problem
    from reconciler.model.site import Desired


def run(arguments: Arguments) -> int:
    from reconciler.load import examine

    settings = settle(arguments)
    found = app.read_site(settings)
    source = found.commit
    desired, problems = examine(found.files, source, found.odd)
    proposal = app.proposal(settings, desired, arguments.base) if desired and arguments.base else Proposal()
    judged = app.filter_coverage(desired) if desired and has_scapy() else ()
    if arguments.output != "text":
        parts = {"problems": json_document.problems(problems), **json_document.proposal_parts(proposal)}
        print_document(
            arguments, json_document.document("check", source=source, filters=json_document.filters(judged), **parts)
        )
    else:
        _print(problems, proposal, judged)
    if desired is None:
        print(f"{len(problems)} problem{'s' if len(problems) != 1 else ''}", file=sys.stderr)
        return EXIT_FAILED
    if _refuses(desired, proposal):
        return EXIT_FAILED
    print(f"{source}: {len(desired.guests)} guests, {len(desired.filters)} filters, no problem", file=sys.stderr)
    return EXIT_OK


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
        print(f"allowed to widen: {proposal.widening_reason}")
    if judged:
        show_filter_coverage(console(), judged)
