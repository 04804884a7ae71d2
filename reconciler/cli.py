"""The command: its verbs, and the options that all of them have. What they do is in `verbs` and `app`."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from reconciler import __version__
from reconciler.errors import ReconcilerError, SiteError, UsageError, did_you_mean

EXIT_FAILED, EXIT_UNUSABLE = 1, 2
ERROR_CODES = {"diff": 2, "plan": 1}
"""Of verbs whose exit code says something else where that of an error is not this one."""
DETAILED = "--detailed-exitcode"
COMMON_OPTIONS = ("--connect", "--site", "--repo", "--branch", "--config", "--var", "--host", "--output")
TRACEBACK = "RECONCILER_TRACEBACK"
OBJECTS_BETWEEN_COLLECTIONS = 1_000_000


class Verb(NamedTuple):
    """Where a verb is: a module of `verbs` has a function of its name, and add_<verb>_options if it has options."""

    module: str
    help: str


VERBS = {
    "check": Verb("check", "look at the site alone: every problem of every file, without a host"),
    "diff": Verb("diff", "what differs between the site and this host, on every layer"),
    "plan": Verb("changing", "what apply would do: ordered steps, cost, disruption, revert"),
    "apply": Verb("changing", "bring this host to the site, prove it, take it back on failure"),
    "history": Verb("runs", "what earlier runs did, the newest first"),
    "rollback": Verb("runs", "go back to how a run had left the host: take back all later ones"),
    "verify": Verb("guests", "read all layers back and prove isolation on the kernel's rules"),
    "trace": Verb("guests", "what becomes of a frame that is described in words, and by which rule"),
    "status": Verb("guests", "each interface's filter, how it is enforced, and what it covers"),
    "adopt": Verb("adopt", "write the site's files of what libvirt has; libvirt itself is only read"),
    "schema": Verb("check", "the JSON Schema of the site's files"),
    "run": Verb("run", "what the timer starts: fetch, apply, verify, and an answer in any case"),
    "report": Verb("run", "what differs on this host, told to those who read reports; nothing is changed"),
    "install": Verb("install", "write this host's units, configuration and state folder"),
    "uninstall": Verb("install", "stop and remove the units; configuration and state stay"),
    "doctor": Verb("doctor", "what this host lacks: programs, rights, kernel settings, its repository"),
    "suspend": Verb("suspend", "leave the host, a guest or a filter alone for a while"),
    "resume": Verb("suspend", "end that, for some or for all"),
    "hook": Verb("hook", "what git's hooks call: look at what is staged or pushed, wake hosts"),
    "wake": Verb("install", "start a run now, as the timer would"),
}


def command() -> int:
    """One verb as a process, which lives too briefly to look often for garbage, or at all when it ends."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what a terminal has no letters for ends no verb
    code = main()
    gc.freeze()
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code; errors are printed as one sentence and a hint, never a traceback."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        arguments = _parser(words).parse_args(words)
    except SystemExit as ended:
        # Where 2 says that there are changes, it does not say that the words are not understood.
        raise SystemExit(EXIT_FAILED) if ended.code == EXIT_UNUSABLE and DETAILED in words else ended from None
    try:
        return _done(arguments)
    except KeyboardInterrupt:
        print("interrupted; what was begun is in the journal", file=sys.stderr)
        return 130
    except OSError as error:
        return _not_told(arguments, error)
    except Exception as fault:
        if os.environ.get(TRACEBACK):
            raise
        return _unforeseen(arguments, fault)


def _done(arguments: argparse.Namespace) -> int:
    verb: Callable[[argparse.Namespace], int] = arguments.run
    try:
        _refuse_junit(arguments)
        code = verb(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except ReconcilerError as error:
        _print_error(arguments, error)
        return ERROR_CODES.get(arguments.verb, error.exit_code)


def _unforeseen(arguments: argparse.Namespace, fault: Exception) -> int:
    """A fault of the program itself, with its place."""
    trace = fault.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f", in {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    hint = f"what was begun is in the journal, and the next apply finishes it; {TRACEBACK}=1 shows the whole way to it"
    message = f"the reconciler itself has a fault: {type(fault).__name__}: {fault}{place}"
    _print_error(arguments, ReconcilerError(message, hint=hint))
    return ERROR_CODES.get(arguments.verb, EXIT_FAILED)


def _not_told(arguments: argparse.Namespace, error: OSError) -> int:
    """Whoever reads the answer has gone, or its disk is full. What was done stands."""
    from reconciler.verbs.common import speak_to_nobody, tell_error

    if sys.stdout is not None:
        speak_to_nobody(sys.stdout)
    if not isinstance(error, BrokenPipeError):
        message = f"{error.filename or 'standard output'}: {error.strerror}; what was done before stands"
        tell_error(UsageError(message, hint="`reconciler diff` says what differs, `reconciler history` what was done"))
    return ERROR_CODES.get(arguments.verb, EXIT_FAILED)


def _refuse_junit(arguments: argparse.Namespace) -> None:
    if arguments.output == "junit" and arguments.verb != "check":
        hint = "it shows the problems of files; --output json is for every verb"
        raise UsageError("--output junit is for check alone; nothing was done", hint=hint)


class _Parser(argparse.ArgumentParser):
    """Its errors say what is often meant."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        hint = _usage_hint(message)
        self.exit(EXIT_UNUSABLE, f"{self.prog}: error: {message}\n" + (f"hint: {hint}\n" if hint else ""))


def _usage_hint(message: str) -> str:
    kind, _, rest = message.partition(": ")
    if kind == "unrecognized arguments":
        options = [word.partition("=")[0] for word in rest.split()]
        early = [option for option in options if option in COMMON_OPTIONS]
        return f"{' and '.join(early)} before the verb, as in `reconciler {early[0]} … check`" if early else ""
    _, said, word = message.partition("argument VERB: invalid choice: '")
    return did_you_mean(word.partition("'")[0], VERBS) if said else ""


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The verbs of this command; only one that is named is imported, with what its options need."""
    parser = _Parser(
        prog="reconciler",
        description="Keep KVM guests to their own addresses: libvirt's nwfilter, reconciled from Git.",
        epilog="The options come before the verb; `reconciler VERB --help` tells of those that a verb has.",
    )
    _add_options(parser)
    # Without a name for its verbs argparse would format its help to find one.
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", prog=parser.prog)
    for name, verb in VERBS.items():
        added = verbs.add_parser(name, help=verb.help, description=verb.help)
        if name in argv:
            _fill(added, name)
    _add_lab(verbs, needed="lab" in argv)
    return parser


def _fill(parser: argparse.ArgumentParser, name: str) -> None:
    module = import_module(f"reconciler.verbs.{VERBS[name].module}")
    add_options = getattr(module, f"add_{name}_options", None)
    if add_options is not None:
        add_options(parser)
    parser.set_defaults(run=getattr(module, name))


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


def _add_lab(verbs: Any, needed: bool) -> None:
    """The lab's own verbs cost an import that a timer's run should not pay."""
    if not needed:
        verbs.add_parser("lab", help="a private libvirtd in its own namespaces")
        return
    from reconciler.lab import cli as lab

    lab.add_parser(verbs)
    verbs.choices["lab"].set_defaults(run=lab.main)


def _print_error(arguments: argparse.Namespace, error: ReconcilerError) -> None:
    from reconciler.verbs.common import print_document, tell_error

    if arguments.output != "text":
        from reconciler.report import document as json_document

        print_document(arguments, json_document.error(arguments.verb, error))
    if isinstance(error, SiteError):
        from reconciler.report.text import problem_lines

        print(problem_lines(error.problems), file=sys.stderr)
    tell_error(error)
