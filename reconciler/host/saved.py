"""Definitions that a guest may get back: of its managed-save image, and of its snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libvirt

from reconciler.domain.parse import parse_nics, snapshot_definitions
from reconciler.model.live import MANAGED_SAVE, SavedState


def read_saved_states(handle: Any, *, image: bool, snapshots: bool) -> tuple[SavedState, ...]:
    """Nothing is asked for a guest that has neither. Raises libvirtError."""
    return (*(_image(handle) if image else ()), *(_snapshots(handle) if snapshots else ()))


def _image(handle: Any) -> Iterator[SavedState]:
    if handle.hasManagedSaveImage():
        # Without SECURE the image would lose the passwords of consoles when it is rewritten.
        xml = handle.managedSaveGetXMLDesc(libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE)
        yield SavedState(MANAGED_SAVE, parse_nics(xml), xml)


def _snapshots(handle: Any) -> Iterator[SavedState]:
    for snapshot in handle.listAllSnapshots():
        nics = (nic for text in snapshot_definitions(snapshot.getXMLDesc()) for nic in parse_nics(text))
        yield SavedState(f"snapshot/{snapshot.getName()}", tuple(dict.fromkeys(nics)))
