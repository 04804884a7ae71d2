"""What outlives a lab because making it again costs time.

Guest images, trees of releases, and what libvirt found out about QEMU.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

ENVIRONMENT = "RECONCILER_CACHE"
DEFAULT_FOLDER = Path("/var/cache/reconciler")
# Asking QEMU costs a second. libvirt checks each file against the QEMU binary, the kernel and itself, and asks again
# when one has changed: an outdated copy does no harm.
CAPABILITIES = Path("qemu/capabilities")
OF_RELEASES = Path("qemu/releases")


def folder() -> Path:
    """The cache: $RECONCILER_CACHE, or below $XDG_CACHE_HOME, or /var/cache/reconciler. It is made when missing."""
    place = _place().resolve()
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    return place


def _place() -> Path:
    if chosen := os.environ.get(ENVIRONMENT):
        return Path(chosen)
    if home := os.environ.get("XDG_CACHE_HOME"):
        return Path(home) / "reconciler"
    return DEFAULT_FOLDER


def seed(libvirt_cache: Path, release: str = "") -> None:
    """Give a new lab what earlier ones of its release found out about QEMU."""
    known = folder() / _capabilities(release)
    if known.is_dir():
        shutil.copytree(known, libvirt_cache / CAPABILITIES, copy_function=shutil.copy2)


def harvest(libvirt_cache: Path, release: str = "") -> None:
    """Keep what a lab found out about QEMU, where nothing is known yet or it found something else."""
    known = folder() / _capabilities(release)
    for found in (libvirt_cache / CAPABILITIES).glob("*.xml"):
        keep(found, known / found.name)


def _capabilities(release: str) -> Path:
    return OF_RELEASES / release if release else CAPABILITIES


def keep(source: Path, target: Path) -> None:
    """Copy a file in one step, so that no reader sees half of it; an equal one is left alone."""
    if target.exists() and target.read_bytes() == source.read_bytes():
        return
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        shutil.copy2(source, draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
