"""`reconciler lab`: a private libvirtd for trying things, by hand or in a script."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from reconciler.lab import labs
from reconciler.lab.handle import Lab
from reconciler.lab.trees import RELEASES
from reconciler.model.kernel import Backend

DEFAULT_NAME = "lab"
DEFAULT_SHELL = "/bin/sh"


def add_parser(subparsers: Any) -> None:
    """Add `lab` and its verbs to what `ArgumentParser.add_subparsers` returned; `main` runs the parsed arguments."""
    parser = subparsers.add_parser("lab", help="a private libvirtd in its own namespaces")
    verbs = parser.add_subparsers(dest="lab_verb", metavar="VERB", required=True)
    _add_up(verbs)
    _add_down(verbs)
    verbs.add_parser("list", help="show the labs that are up").set_defaults(lab_action=_list)
    _add_named(verbs, "uri", "print the libvirt URI of a lab").set_defaults(lab_action=_uri)
    run = _add_named(verbs, "exec", "run a program in a lab; the exit code is the program's")
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD …")
    run.set_defaults(lab_action=_exec, lab_parser=run)
    _add_named(verbs, "shell", "open a shell in a lab").set_defaults(lab_action=_shell)


def main(args: argparse.Namespace) -> int:
    """Run a verb of `reconciler lab`; returns the exit code, raises `ReconcilerError`."""
    result: int = args.lab_action(args)
    return result


def _add_up(verbs: Any) -> None:
    parser = verbs.add_parser("up", help="start a lab that stays until it is taken down")
    parser.add_argument("name", nargs="?", default=DEFAULT_NAME, metavar="NAME")
    parser.add_argument("--stp", action="store_true", help="turn on the spanning tree protocol of its bridges")
    parser.add_argument("--bridge", action="append", metavar="NAME", help="a bridge, may be repeated (default: br0)")
    parser.add_argument(
        "--release",
        default="",
        metavar="NAME",
        help=f"run the libvirt of a Debian release ({', '.join(RELEASES)}) instead of the machine's own",
    )
    parser.add_argument("--backend", default="", metavar="NAME", help=f"how it makes rules: {' or '.join(Backend)}")
    parser.set_defaults(lab_action=_up)


def _add_down(verbs: Any) -> None:
    parser = verbs.add_parser("down", help="remove a lab and all that runs in it")
    parser.add_argument("name", nargs="?", default=DEFAULT_NAME, metavar="NAME")
    parser.add_argument("--all", action="store_true", help="remove every lab, also what killed processes left behind")
    parser.set_defaults(lab_action=_down)


def _add_named(verbs: Any, verb: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(verb, help=text)
    parser.add_argument("name", metavar="NAME")
    return parser


def _up(args: argparse.Namespace) -> int:
    bridges = args.bridge or ("br0",)
    lab = labs.up(args.name, stp=args.stp, bridges=bridges, release=args.release, backend=args.backend, say=_say)
    print(f"lab {lab.name} is up: {lab.uri}")
    return 0


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _down(args: argparse.Namespace) -> int:
    if not args.all:
        labs.down(args.name)
        print(f"lab {args.name} is gone")
        return 0
    for state in labs.listing():
        labs.down(state.name)
        print(f"lab {state.name} is gone")
    for name in labs.sweep():
        print(f"lab {name} is gone")
    return 0


def _list(args: argparse.Namespace) -> int:
    for state in labs.listing():
        life = "kept" if state.kept else f"of process {state.owner.pid}"
        what = f"{state.system.release}\t{state.system.backend}"
        print(f"{state.name}\t{state.phase}\t{life}\t{what}\t{state.folder}")
    return 0


def _uri(args: argparse.Namespace) -> int:
    print(labs.find(args.name).uri)
    return 0


def _exec(args: argparse.Namespace) -> int:
    words = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not words:
        args.lab_parser.error("no program given")
    _become(labs.find(args.name), words)
    return 0


def _shell(args: argparse.Namespace) -> int:
    _become(labs.find(args.name), [os.environ.get("SHELL", DEFAULT_SHELL)])
    return 0


def _become(lab: Lab, words: Sequence[str]) -> None:
    """Turn this process into a program in the lab, with its input, outputs and environment; virsh finds the lab."""
    wrapped = lab.namespaces.wrap(words)
    os.execvpe(wrapped[0], wrapped, {**os.environ, "LIBVIRT_DEFAULT_URI": lab.uri})
