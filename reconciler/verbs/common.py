"""What several verbs need: options, exit codes, and ways to print."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from reconciler.errors import ReconcilerError
from reconciler.settings import Settings, settle

if TYPE_CHECKING:
    from rich.console import Console

    from reconciler.model.disruption import Disruption
    from reconciler.model.plan import Step

EXIT_OK, EXIT_FAILED = 0, 1

Arguments = argparse.Namespace


def add_rewind_option(parser: argparse.ArgumentParser) -> None:
    text = "take a commit that does not descend from the one applied last"
    parser.add_argument("--allow-rewind", action="store_true", help=text)
    text = "a host that is gone for good: do not wait until it lets go of addresses"
    parser.add_argument("--released", metavar="HOST", action="append", default=[], help=text)


def add_allow_option(parser: argparse.ArgumentParser) -> None:
    text = "a higher disruption than the policy's"
    parser.add_argument("--allow", metavar="CLASS", type=_disruption, help=text)


def _disruption(text: str) -> Disruption:
    from reconciler.model.disruption import Disruption

    try:
        return Disruption.parse(text)
    except KeyError:
        names = ", ".join(str(each) for each in Disruption)
        raise argparse.ArgumentTypeError(f"{text!r} is no disruption class: {names}") from None


def in_force(arguments: Arguments) -> Settings:
    """The settings, of a repository those of the commit in force; why it is not the newest one is told."""
    settings = settle(arguments)
    if settings.repository is None:
        return settings
    from reconciler.stories.following import pinned

    settings, trouble = pinned(settings)
    if trouble is not None:
        tell_error(trouble)
        print(f"this is of commit {str(settings.commit)[:12]}, the last one that passed every check", file=sys.stderr)
    return settings


def tell_error(error: ReconcilerError) -> None:
    print(f"error: {error}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


def speak_to_nobody(stream: TextIO) -> None:
    """Behind a stream that takes no more text, its reader gone or its disk full; else Python complains at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def at_a_terminal() -> bool:
    """Whether there is somebody to ask; a process may have been started without any standard input."""
    return sys.stdin is not None and sys.stdin.isatty()


def tell_progress(event: str, step: Step) -> None:
    words = {"start": "  …", "done": "  ✓", "revert": "  ↶"}
    try:
        print(f"{words[event]} {step.action.describe()}", file=sys.stderr, flush=True)
    except OSError:
        speak_to_nobody(sys.stderr)  # the steps go on: a guest may be down, and has to be started


def confirmed(question: str) -> bool:
    """Asked on standard error, so that a document on standard output stays one; the end of the input is a no."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    # Else rich makes pictures of what stands between two colons of an address: 2001:db8:a:b::1, 52:54:00:ab:12:34.
    return Console(highlight=False, soft_wrap=True, emoji=False, stderr=stderr)


def short_source(source: str) -> str:
    """A commit in the length that people use; a folder as it is."""
    is_commit = len(source) in (40, 64) and all(letter in "0123456789abcdef" for letter in source)
    return f"commit {source[:12]}" if is_commit else source


def has_scapy() -> bool:
    from importlib.util import find_spec

    return find_spec("scapy") is not None


def print_document(arguments: Arguments, document: dict[str, Any]) -> None:
    """A verb's document in the form that was asked for."""
    match arguments.output:
        case "markdown":
            from reconciler.report.markdown import markdown

            print(markdown(document), end="")
        case "html":
            from reconciler.report.html import html

            print(html(document), end="")
        case _:
            print_json(document)


def print_json(found: Any) -> None:
    print(json.dumps(found, indent=2, default=str))
