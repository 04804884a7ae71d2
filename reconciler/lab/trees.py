"""Minimal trees of Debian releases, each with a libvirtd of its own: built once, kept in the cache.

A tree is made by debootstrap(8) and the release's own apt in a mount and a PID namespace that end with this process.
It gets its name only when it is whole; labs never write to it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import HostError
from reconciler.host import processes
from reconciler.lab import cache

BUILD_SECONDS = 1200.0
PACKAGES = (
    "libvirt-daemon", "libvirt-daemon-driver-qemu", "libvirt-daemon-config-nwfilter",
    "qemu-system-x86", "iptables", "nftables", "systemd-standalone-sysusers",
)  # fmt: skip
# Its ends with ours, whatever ends us; and what it mounts in the tree is gone before the tree could be removed.
SHELTER = (
    "setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc",
)  # fmt: skip
MAKE = r"""
set -e
release=$1 tree=$2 mirror=$3; shift 3
debootstrap --variant=minbase --force-check-gpg $CERTIFICATES "$release" "$tree" $mirror
printf '#!/bin/sh\nexit 101\n' > "$tree/usr/sbin/policy-rc.d"
chmod 755 "$tree/usr/sbin/policy-rc.d"
mount -t proc proc "$tree/proc"
chroot "$tree" apt-get -o Acquire::Check-Valid-Until=false update -qq
chroot "$tree" apt-get -o Dpkg::Options::=--force-unsafe-io install -qq -y --no-install-recommends "$@"
chroot "$tree" apt-get clean
rm -rf "$tree"/var/lib/apt/lists/* "$tree"/usr/share/doc "$tree"/usr/share/man "$tree"/usr/share/locale
umount "$tree/proc"
"""
"""Arguments: release, folder, mirror, packages. Releases of a mirror that stands still are taken, though expired."""


@dataclass(frozen=True, slots=True)
class Release:
    """What is special about a release: packages of its own, and whether its libvirt can use nft."""

    packages: tuple[str, ...] = ("libvirt-daemon-driver-nwfilter",)
    has_backends: bool = False


RELEASES: Mapping[str, Release] = {
    "bookworm": Release(packages=("ebtables",)),
    "trixie": Release(),
    "sid": Release(has_backends=True),
}


def silent(_sentence: str) -> None:
    """Says nothing."""


def tree(release: str, say: Callable[[str], None] = silent) -> Path:
    """The folder of a release's files, built when there is none: a minute, over the network, which `say` is told.

    Two at once build it once. Raises `HostError` when debootstrap is not installed or cannot do its work.
    """
    place = _place(release)
    if not place.is_dir():
        with _alone():
            if not place.is_dir():
                say(f"building a tree of {release}, once: it takes about a minute")
                _build(release, place)
    return place


def _place(release: str) -> Path:
    recipe = "\0".join((MAKE, *PACKAGES, *RELEASES[release].packages))
    return _folder() / f"{release}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"


def _folder() -> Path:
    return cache.folder() / "trees"


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock on all trees; drafts that are there then were left by a builder that was killed."""
    _folder().mkdir(mode=0o700, exist_ok=True)
    handle = os.open(_folder(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for draft in _folder().glob(".draft-*"):
            shutil.rmtree(draft)
        yield
    finally:
        os.close(handle)


def _build(release: str, place: Path) -> None:
    if not shutil.which("debootstrap", path=processes.SEARCH_PATH):
        raise HostError(
            f"a lab of {release} needs a tree of its files, and debootstrap, which makes it, is not installed",
            hint="the package is debootstrap; without --release a lab runs the machine's own libvirt",
        )
    with tempfile.TemporaryDirectory(dir=_folder(), prefix=".draft-", ignore_cleanup_errors=True) as temporary:
        draft = Path(temporary) / "tree"
        _make(release, draft)
        draft.rename(place)


def _make(release: str, draft: Path) -> None:
    mirror = _mirror()
    environment = {**_proxies(), "DEBIAN_FRONTEND": "noninteractive", "CERTIFICATES": ""}
    if mirror.startswith("https:"):
        environment["CERTIFICATES"] = "--include=ca-certificates"
    words = ["sh", "-c", MAKE, "make", release, str(draft), mirror, *PACKAGES, *RELEASES[release].packages]
    ended = processes.run([*SHELTER, *words], timeout=BUILD_SECONDS, env=environment, check=False)
    if not ended.ok:
        raise HostError(
            f"the tree of {release} could not be built: {_reason(ended.stdout + ended.stderr)}",
            hint=f"it is made once, from {mirror or 'the mirror that debootstrap chooses'}: "
            "see whether `apt-get update` reaches it, then try again",
        )


def _reason(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E:", "W: Failure", "dpkg: error"))]
    return (errors or lines or ["no message"])[-1].removeprefix("E: ")


def _mirror() -> str:
    """The mirror that the machine's own apt reads Debian from; empty lets debootstrap choose."""
    listed = _asked("apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages")
    found = (line.partition(" ") for line in listed.splitlines())
    return next((uri for label, _, uri in found if label == "Debian" and uri.startswith("http")), "")


def _proxies() -> dict[str, str]:
    """The proxies of the machine's own apt, else those of our environment."""
    found = {}
    for scheme in ("http", "https"):
        said = _asked("apt-config", "shell", "proxy", f"Acquire::{scheme}::Proxy").strip()
        said = said.removeprefix("proxy=").strip("'")
        proxy = said or os.environ.get(f"{scheme}_proxy", "")
        if proxy and proxy != "DIRECT":
            found[f"{scheme}_proxy"] = proxy
    return found


def _asked(*argv: str) -> str:
    """What one of apt's programs says, nothing where there is no apt."""
    return processes.run(argv, check=False).stdout if shutil.which(argv[0], path=processes.SEARCH_PATH) else ""
