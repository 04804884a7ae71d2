"""`suspend` and `resume`: what the reconciler leaves alone for a while, why, and until when."""

from __future__ import annotations

import argparse
import getpass
import os
import re
import sys
from datetime import UTC, datetime, timedelta

from reconciler.errors import ReconcilerError, UsageError, did_you_mean
from reconciler.report import document as json_document
from reconciler.settings import Settings, settle
from reconciler.verbs.common import EXIT_OK, Arguments, print_document

_TARGET = re.compile(r"host|(guest|filter)/[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_LENGTH = re.compile(r"(\d{1,4})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_HINT = "host, guest/NAME or filter/NAME"


def add_suspend_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="WHAT", help=_HINT)
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why, for those who find it")
    parser.add_argument("--for", dest="length", metavar="TIME", default="24h", help="how long: 30m, 12h, 7d (24h)")


def add_resume_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("targets", metavar="WHAT", nargs="*", help=f"{_HINT}; everything when left out")


def suspend(arguments: Arguments) -> int:
    from reconciler.records.suspensions import Suspension
    from reconciler.records.suspensions import suspend as keep

    settings = settle(arguments)
    now = datetime.now(UTC).replace(microsecond=0)
    target, reason = _target(arguments.target), _reason(arguments.reason)
    keep(settings.var, Suspension(target, reason, now, now + _length(arguments.length), _user()))
    _warn_of_a_stranger(settings, target)
    return _show(arguments, f"{target} is suspended")


def resume(arguments: Arguments) -> int:
    from reconciler.records.suspensions import resume as forget

    settings = settle(arguments)
    asked = tuple(_target(each) for each in arguments.targets)
    named = tuple(each.target for each in forget(settings.var, asked))
    others = tuple(each for each in asked if each not in named)
    sentences = [f"resumed: {', '.join(named)}"] if named else []
    sentences += [f"not suspended: {', '.join(others)}"] if others else []
    return _show(arguments, "; ".join(sentences) or "nothing was suspended")


def _show(arguments: Arguments, sentence: str) -> int:
    from reconciler.records.suspensions import read_suspensions

    found = read_suspensions(settle(arguments).var)
    if arguments.output != "text":
        texts = [
            {"target": each.target, "reason": each.reason, "until": each.until.isoformat(), "by": each.by}
            for each in found
        ]
        print_document(arguments, json_document.document(arguments.verb, suspensions=texts))
        return EXIT_OK
    print(sentence)
    for each in found:
        print(f"{each.target} until {each.until:%Y-%m-%d %H:%M} UTC, by {each.by}: {each.reason}")
    return EXIT_OK


def _target(text: str) -> str:
    if not _TARGET.fullmatch(text):
        raise UsageError(f"{text!r} is nothing that can be suspended; nothing was done", hint=_HINT)
    return text


def _warn_of_a_stranger(settings: Settings, target: str) -> None:
    """A misspelt guest is left alone in vain. The repository is not asked: who suspends something may be in a hurry."""
    from reconciler import app
    from reconciler.model.guest import guard_name
    from reconciler.records.commits import read_applied

    try:
        if settings.repository is not None:
            settings = settings._replace(commit=read_applied(settings.var).commit)
        if target == "host" or (settings.commit is None and settings.site is None):
            return
        desired = app.load_site(settings)
    except ReconcilerError:
        return
    guards = [guard_name(guest.name, each.mac) for guest in desired.guests for each in guest.interfaces]
    known = [f"guest/{guest.name}" for guest in desired.guests]
    known += [f"filter/{name}" for name in (*(each.name for each in desired.filters), *guards)]
    if target not in known:
        hint = did_you_mean(target, known)
        print(f"warning: the site has no {target}{f': {hint}' if hint else ''}", file=sys.stderr)


def _reason(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise UsageError(
            f"{text!r} is no reason that a person can read on one line; nothing was done",
            hint="say in a few words why it is left alone",
        )
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in a container
        return str(os.getuid())


def _length(text: str) -> timedelta:
    found = _LENGTH.fullmatch(text)
    if found is None or not int(found[1]):
        raise UsageError(f"{text!r} is no length of time; nothing was done", hint="30m, 12h or 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
