"""Ask a guest to shut down, by its agent where one is connected, else by its power button, and wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import libvirt
from lxml import etree

from reconciler.errors import HostError

_POLL_SECONDS = 0.1
_PRESS_AGAIN_SECONDS = 15.0
_AGENT = "org.qemu.guest_agent.0"

Call = Callable[[str, Callable[[], Any]], Any]


def shut_down(handle: Any, seconds: float, call: Call) -> bool:
    """Whether the guest was down within that time. The button is pressed again: a guest that boots does not hear it."""
    end = time.monotonic() + seconds
    press_at = 0.0
    while call("look at", lambda: _is_active(handle)):
        now = time.monotonic()
        if now > end:
            return False
        if now >= press_at:
            call("shut down", lambda: _press(handle))
            press_at = now + _PRESS_AGAIN_SECONDS
        time.sleep(_POLL_SECONDS)
    return True


def _is_active(handle: Any) -> bool:
    try:
        return bool(handle.isActive())
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return False
        raise


def _press(handle: Any) -> None:
    """An agent that is configured and not connected would cost libvirt's own time-out: it is not asked."""
    if has_agent(handle):
        try:
            handle.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT)
        except libvirt.libvirtError:
            pass
        else:
            return
    try:
        handle.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise HostError(f"libvirt refused to press the power button: {error.get_error_message()}") from error


def has_agent(handle: Any) -> bool:
    """Whether its agent is connected now."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    root = etree.fromstring(handle.XMLDesc(0).encode(), parser)
    targets = root.iterfind("devices/channel/target")
    return any(target.get("name") == _AGENT and target.get("state") == "connected" for target in targets)
