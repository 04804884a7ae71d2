"""`run` and `report`: what the timer starts, and the same without changing anything."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from reconciler.errors import PublishError
from reconciler.host.wake import take_knocks
from reconciler.report.run import run_document, summary
from reconciler.settings import Settings, settle
from reconciler.stories import run as story
from reconciler.stories.publishing import publish
from reconciler.stories.telling import log, write_metrics
from reconciler.verbs.common import (
    EXIT_OK,
    Arguments,
    add_allow_option,
    add_rewind_option,
    print_document,
    tell_error,
    tell_progress,
)
from reconciler.verbs.looking import tell_interrupted

EXIT_UNREPORTED = 4

if TYPE_CHECKING:
    from reconciler.model.report import Report


def add_run_options(parser: argparse.ArgumentParser) -> None:
    add_rewind_option(parser)
    add_allow_option(parser)


def run(arguments: Arguments) -> int:
    take_knocks()  # before anything can fail: a knock that nobody takes starts the service again at once
    settings = settle(arguments)
    tell_interrupted(settings)
    told = story.run(settings, tell_progress, arguments.allow)
    return _tell(arguments, settings, told)


def report(arguments: Arguments) -> int:
    settings = settle(arguments)
    return _tell(arguments, settings, story.report(settings))


def _tell(arguments: Arguments, settings: Settings, told: Report) -> int:
    if arguments.output == "text":
        print(summary(told))
        _show(told)
    else:
        print_document(arguments, run_document(told))
    if told.problems:
        from reconciler.report.text import problem_lines

        print(problem_lines(told.problems), file=sys.stderr)
    if told.trouble is not None:
        tell_error(told.trouble)
    failures = [*publish(settings, told)]
    if told.verb == "run":
        log(told)
        try:
            write_metrics(settings, told)
        except PublishError as error:
            failures.append(error)
    for failure in failures:
        tell_error(failure)
    return story.exit_code(told) or (EXIT_UNREPORTED if failures else EXIT_OK)


def _show(told: Report) -> None:
    if not told.found and not (told.plan and told.plan.waiting):
        return
    from reconciler.report.text import show_drift, show_waiting
    from reconciler.verbs.common import console

    show_drift(console(), told.found)
    if told.plan is not None:
        show_waiting(console(), told.plan.waiting)
