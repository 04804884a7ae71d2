"""What one job of a connection's thread reads: many objects for one hand-over between threads.

Texts are given as they are; `understanding` says what they mean. What is the same question for every guest is asked
once, as a list: on a host with a thousand guests that is five calls and not five thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import libvirt

from reconciler.host.answers import FilterText
from reconciler.host.filter_folder import read_file
from reconciler.host.saved import SavedText, read_saved_states

T = TypeVar("T")

ABSENT = (libvirt.VIR_ERR_NO_NWFILTER, libvirt.VIR_ERR_NO_NWFILTER_BINDING, libvirt.VIR_ERR_NO_DOMAIN)
_SECURE = libvirt.VIR_DOMAIN_XML_SECURE
"""Without it a later define would lose the passwords of consoles."""


class GuestState(NamedTuple):
    """What libvirt tells of a guest beside its definitions; `saved` and `snapshots` say whether there are any."""

    active: bool
    persistent: bool
    autostart: bool
    saved: bool
    snapshots: bool


_STATES = (
    libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE,
    libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT,
    libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART,
    libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE,
    libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT,
)
"""In the order of `GuestState`."""


class GuestTexts(NamedTuple):
    """A guest's definitions as libvirt prints them, empty where it has none."""

    name: str
    uuid: str
    state: GuestState
    stored: str
    running: str
    saved: tuple[SavedText, ...]
    busy: bool


def state_of(handle: Any) -> GuestState:
    """Raises libvirtError."""
    persistent = bool(handle.isPersistent())
    autostart = persistent and bool(handle.autostart())
    return GuestState(
        bool(handle.isActive()), persistent, autostart, bool(handle.hasManagedSaveImage()), bool(handle.snapshotNum())
    )


def list_guests(connection: Any) -> tuple[tuple[Any, GuestState], ...]:
    """Every guest with its state. Raises libvirtError."""

    def those(flag: int) -> frozenset[bytes]:
        return frozenset(handle.UUID() for handle in connection.listAllDomains(flag))

    having = tuple(map(those, _STATES))
    found = ((handle, handle.UUID()) for handle in connection.listAllDomains(0))
    return tuple((handle, GuestState(*(uuid in each for each in having))) for handle, uuid in found)


def read_guests(listed: Iterable[tuple[Any, GuestState]]) -> tuple[GuestTexts, ...]:
    """Without those that went away meanwhile. Raises libvirtError."""
    found = (_present(partial(_read_guest, handle, state)) for handle, state in listed)
    return tuple(texts for texts in found if texts is not None)


def _read_guest(handle: Any, state: GuestState) -> GuestTexts:
    stored = handle.XMLDesc(_SECURE | libvirt.VIR_DOMAIN_XML_INACTIVE) if state.persistent else ""
    running = handle.XMLDesc(_SECURE) if state.active else ""
    saved = read_saved_states(handle, image=state.saved, snapshots=state.snapshots)
    busy = state.active and _is_busy(handle)
    return GuestTexts(handle.name(), handle.UUIDString(), state, stored, running, saved, busy)


def read_filters(connection: Any, folder: Path, names: Iterable[str]) -> tuple[FilterText, ...]:
    """The text of each, and of each that there is its file in libvirt's folder. Raises libvirtError."""

    def read(name: str) -> str:
        text: str = connection.nwfilterLookupByName(name).XMLDesc(0)
        return text

    found = ((name, _present(partial(read, name))) for name in names)
    return tuple(FilterText(name, xml, None if xml is None else read_file(folder, name)) for name, xml in found)


def read_bindings(connection: Any) -> tuple[str, ...]:
    """The text of each. Raises libvirtError."""
    found = (_present(handle.XMLDesc) for handle in connection.listAllNWFilterBindings(0))
    return tuple(text for text in found if text is not None)


def _present(read: Callable[[], T]) -> T | None:
    """What is read, or None when the object does not exist or went away meanwhile."""
    try:
        return read()
    except libvirt.libvirtError as error:
        if error.get_error_code() in ABSENT:
            return None
        raise


def _is_busy(handle: Any) -> bool:
    """Whether it is migrated, saved or dumped.

    libvirt refuses to tell of a guest that is just being migrated to us, and of one that has ended since it was found.
    """
    try:
        return bool(handle.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE)
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_OPERATION_UNSUPPORTED, libvirt.VIR_ERR_OPERATION_INVALID):
            raise
        return True
