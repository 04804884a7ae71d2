"""`adopt`: from a host that runs already to the site that says it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reconciler.model.adoption import Adoption
from reconciler.report import document as json_document
from reconciler.settings import settle
from reconciler.stories import adopting
from reconciler.verbs.common import EXIT_FAILED, EXIT_OK, Arguments, print_document

DEFAULT_FOLDER = Path("state")


def add_adopt_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("guests", metavar="GUEST", nargs="*", help="only these guests (all that libvirt has)")
    parser.add_argument("--out", metavar="DIR", type=Path, help="the site's folder, made where there is none (./state)")
    parser.add_argument("--force", action="store_true", help="replace files of guests and filters that are there")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where something was left out")


def adopt(arguments: Arguments) -> int:
    settings = settle(arguments)
    folder: Path = arguments.out or settings.site or DEFAULT_FOLDER
    done = adopting.adopt(settings, arguments.guests, folder, force=arguments.force)
    if arguments.output != "text":
        parts = {"host": done.host, "source": str(folder), "written": list(done.files)}
        print_document(
            arguments, json_document.document("adopt", **parts, skipped=json_document.omissions(done.omissions))
        )
    else:
        _print(done, folder)
    lost = [omission for omission in done.omissions if omission.missing]
    if lost:
        print(f"{len(lost)} left out: apply does not touch what the site does not mention", file=sys.stderr)
    return EXIT_FAILED if lost and arguments.strict else EXIT_OK


def _print(done: Adoption, folder: Path) -> None:
    for path in done.files:
        print(f"wrote {folder / path}")
    for omission in done.omissions:
        print(f"left out {omission.object}: {omission.reason}\n  hint: {omission.hint}")
    if not done.files:
        print("nothing was written")
