"""Definitions that a guest may get back, as libvirt prints them: of its managed-save image, and of its snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import libvirt


class SavedText(NamedTuple):
    """As `model.live.SavedState`, not yet understood."""

    name: str
    xml: str


def read_saved_states(handle: Any, *, image: bool, snapshots: bool) -> tuple[SavedText, ...]:
    """Nothing is asked for a guest that has neither. Raises libvirtError."""
    return (*(_image(handle) if image else ()), *(_snapshots(handle) if snapshots else ()))


def _image(handle: Any) -> Iterator[SavedText]:
    if handle.hasManagedSaveImage():
        # Without SECURE the image would lose the passwords of consoles when it is rewritten.
        yield SavedText("managed-save", handle.managedSaveGetXMLDesc(libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE))


def _snapshots(handle: Any) -> Iterator[SavedText]:
    for snapshot in handle.listAllSnapshots():
        yield SavedText(f"snapshot/{snapshot.getName()}", snapshot.getXMLDesc())
