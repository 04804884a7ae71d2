"""What several verbs need: a look at the host, and ways to print."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from reconciler import app
from reconciler.settings import Settings, settle

if TYPE_CHECKING:
    from rich.console import Console

EXIT_OK, EXIT_FAILED = 0, 1

Arguments = argparse.Namespace


def add_rewind_option(parser: argparse.ArgumentParser) -> None:
    text = "take a commit that does not descend from the one applied last"
    parser.add_argument("--allow-rewind", action="store_true", help=text)


def survey(arguments: Arguments) -> tuple[Settings, app.Survey]:
    settings = settle(arguments)
    desired = app.load_site(settings)
    name = app.host_name(settings, desired)
    seen = app.survey(desired, app.open_host(settings), name)
    tell_interrupted(settings)
    return settings, seen


def tell_interrupted(settings: Settings) -> None:
    for run in app.interrupted_runs(settings):
        print(f"run {run} was interrupted: the next apply finishes its work", file=sys.stderr)


def console() -> Console:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def has_scapy() -> bool:
    from importlib.util import find_spec

    return find_spec("scapy") is not None


def print_json(found: Any) -> None:
    print(json.dumps(found, indent=2, default=str))
