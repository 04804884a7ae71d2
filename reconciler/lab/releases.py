"""Which libvirt a lab runs: the machine's own, or that of a Debian release; and how that libvirt makes rules."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import UsageError, did_you_mean
from reconciler.lab import trees
from reconciler.lab.trees import RELEASES
from reconciler.model.kernel import Backend

RELEASE_ENVIRONMENT = "RECONCILER_LAB_RELEASE"
BACKEND_ENVIRONMENT = "RECONCILER_LAB_BACKEND"
MACHINE = Path("/")
OS_RELEASE = Path("etc/os-release")
# Comes with the driver since it can make rules in two ways.
DRIVER_SETTINGS = Path("etc/libvirt/nwfilter.conf")


@dataclass(frozen=True, slots=True)
class System:
    """A release by its code name, and the folder that its files are in."""

    release: str
    backend: Backend
    root: Path = MACHINE

    @property
    def foreign(self) -> bool:
        """Whether its files are not the machine's own."""
        return self.root != MACHINE

    @property
    def label(self) -> str:
        """Tells systems with other files apart; empty for the machine's own."""
        return self.release if self.foreign else ""

    @property
    def of_nft(self) -> bool:
        return self.backend is Backend.NFTABLES

    @property
    def has_backends(self) -> bool:
        return _has_backends(self.root)


def choose(release: str = "", backend: str = "", say: Callable[[str], None] = trees.silent) -> System:
    """The system of a release, whose tree is built when there is none; the machine's own by default.

    Raises `UsageError` for a release that is not known or has no such backend, `HostError` when a tree cannot be built.
    """
    release = release or os.environ.get(RELEASE_ENVIRONMENT, "") or own_release()
    chosen = _backend(backend or os.environ.get(BACKEND_ENVIRONMENT, "") or Backend.IPTABLES)
    if release == own_release():
        root = MACHINE
    else:
        known = _known(release)
        if chosen is Backend.NFTABLES and not RELEASES[known].has_backends:
            raise _no_backend(release)
        root = trees.tree(known, say)
    if chosen is Backend.NFTABLES and not _has_backends(root):
        raise _no_backend(release)
    return System(release, chosen, root)


def own_release() -> str:
    """The code name of the machine's own release, as its os-release says it."""
    try:
        lines = (MACHINE / OS_RELEASE).read_text().splitlines()
    except OSError:
        return "own"
    words = dict(line.split("=", 1) for line in lines if "=" in line)
    return (words.get("VERSION_CODENAME") or words.get("ID") or "own").strip("\"'")


def _known(release: str) -> str:
    if release not in RELEASES:
        hint = did_you_mean(release, RELEASES) or f"one of {', '.join(RELEASES)}, or none for the machine's own"
        raise UsageError(f"there is no tree of a release {release!r}", hint=hint)
    return release


def _backend(name: str) -> Backend:
    try:
        return Backend(name)
    except ValueError:
        raise UsageError(f"{name!r} is no backend", hint=f"one of {', '.join(Backend)}") from None


def _has_backends(root: Path) -> bool:
    return (root / DRIVER_SETTINGS).exists()


def _no_backend(release: str) -> UsageError:
    return UsageError(
        f"the libvirt of {release} makes its rules with ebtables and iptables only",
        hint="`--release sid` has one with both backends",
    )
