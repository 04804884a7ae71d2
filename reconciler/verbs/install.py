"""`install`, `uninstall` and `wake`: the service of a host."""

from __future__ import annotations

import argparse
from pathlib import Path

from reconciler.errors import UsageError
from reconciler.settings import DEFAULT_CONFIG
from reconciler.verbs.common import EXIT_OK, Arguments


def add_install_options(parser: argparse.ArgumentParser) -> None:
    text = "the root of the file system to install into (/)"
    parser.add_argument("--prefix", metavar="DIR", type=Path, default=Path("/"), help=text)


def install(arguments: Arguments) -> int:
    from reconciler.stories.installing import Place, install

    if arguments.config is not None:
        raise UsageError(
            f"the units read {DEFAULT_CONFIG} and not {arguments.config}; nothing was done",
            hint=f"put the configuration there, or point {DEFAULT_CONFIG} to it by a symbolic link",
        )
    for line in install(Place(arguments.prefix.absolute())):
        print(line)
    print("next: fill in the configuration, then `systemctl enable --now reconciler.timer reconciler-wake.socket`")
    return EXIT_OK


def add_uninstall_options(parser: argparse.ArgumentParser) -> None:
    add_install_options(parser)


def uninstall(arguments: Arguments) -> int:
    from reconciler.stories.installing import Place, uninstall

    for line in uninstall(Place(arguments.prefix.absolute())):
        print(line)
    return EXIT_OK


def add_wake_options(parser: argparse.ArgumentParser) -> None:
    from reconciler.host.wake import SOCKET

    parser.add_argument("--socket", metavar="PATH", type=Path, default=SOCKET, help=f"the socket ({SOCKET})")


def wake(arguments: Arguments) -> int:
    from reconciler.host.wake import wake

    wake(arguments.socket)
    return EXIT_OK
