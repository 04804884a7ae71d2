"""`hook`: what the files in hooks/ call."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reconciler.errors import printable
from reconciler.verbs.common import EXIT_FAILED, EXIT_OK, Arguments

NAMES = ("pre-commit", "pre-receive", "post-receive")


def add_hook_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", choices=NAMES, help="which of git's hooks this is; it gives its lines on standard input"
    )


def hook(arguments: Arguments) -> int:
    from reconciler.stories import hooks

    folder = Path()
    match arguments.name:
        case "pre-commit":
            verdict = hooks.staged(folder)
        case "pre-receive":
            verdict = hooks.pushed(folder, hooks.read_updates(sys.stdin.buffer))
        case _:
            verdict = hooks.knock(folder, hooks.read_updates(sys.stdin.buffer))
    for line in verdict.lines:
        print(printable(line), file=sys.stderr)
    return EXIT_FAILED if verdict.refused else EXIT_OK
