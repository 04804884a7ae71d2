"""Ask guests whether they are well: over the network of the daemon, through their agents, by a program of the host."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import libvirt

from reconciler.errors import HostTimeout
from reconciler.host import probe_program
from reconciler.host.processes import Namespaces, run
from reconciler.host.shutdown import has_agent
from reconciler.model.probe import Probe, ProbeKind

_NETWORK = (ProbeKind.PING, ProbeKind.TCP)
_SPARE_SECONDS = 10.0
_PAUSE_SECONDS = 0.1
_AGENT_SECONDS = 2
_AT_ONCE = 8
_GUEST_PING = json.dumps({"execute": "guest-ping"})


def answering(
    probes: Iterable[Probe], most_seconds: float, within: Namespaces | None, ask_agent: Callable[[str], bool]
) -> frozenset[Probe]:
    """Those that are answered, each within its own seconds, or within `most_seconds` where that is less.

    A program of the host is run in the host's own network, all else in that of the daemon (`within`).
    """
    timed = {probe: min(probe.within, most_seconds) for probe in probes}
    found = set(_over_network({probe: left for probe, left in timed.items() if probe.kind in _NETWORK}, within))
    found |= _by_agents({probe: left for probe, left in timed.items() if probe.kind is ProbeKind.AGENT}, ask_agent)
    commands = [probe for probe in timed if probe.kind is ProbeKind.COMMAND]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        well = pool.map(_ends_well, commands, [timed[probe] for probe in commands])
        found |= {probe for probe, is_well in zip(commands, well, strict=True) if is_well}
    return frozenset(found)


def _over_network(timed: dict[Probe, float], within: Namespaces | None) -> Iterable[Probe]:
    if not timed:
        return ()
    wanted = [{"address": str(p.address), "port": p.port, "seconds": seconds} for p, seconds in timed.items()]
    argv = [sys.executable, "-I", "-S", probe_program.__file__]
    longest = max(timed.values()) + _SPARE_SECONDS
    try:
        told = run(argv, stdin=json.dumps(wanted), timeout=longest, within=within and within.network).stdout
    except HostTimeout:  # which would say that nobody knows what a step has done
        return ()
    answered: Sequence[bool] = json.loads(told)
    return (probe for probe, has_answered in zip(timed, answered, strict=True) if has_answered)


def _by_agents(timed: dict[Probe, float], ask_agent: Callable[[str], bool]) -> set[Probe]:
    """All in turn, again and again: an agent that is silent must not cost the others their time."""
    began = time.monotonic()
    left, found = set(timed), set[Probe]()
    while left:
        answered = {probe for probe in left if ask_agent(probe.guest)}
        passed = time.monotonic() - began
        found |= answered
        left = {probe for probe in left - answered if timed[probe] > passed}
        if left:
            time.sleep(_PAUSE_SECONDS)
    return found


def _ends_well(probe: Probe, seconds: float) -> bool:
    """Only that it ends with 0 in time, at the first time or a later one; its one argument is the guest's name."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        with suppress(HostTimeout):
            if run([probe.program, probe.guest], timeout=left, check=False).ok:
                return True
            time.sleep(_PAUSE_SECONDS)
    return False


def agent_answers(handle: Any) -> bool:
    """Whether a guest's agent answers now; one that is not connected would cost libvirt's own time-out."""
    import libvirt_qemu

    try:
        if not handle.isActive() or not has_agent(handle):
            return False
        return bool(libvirt_qemu.qemuAgentCommand(handle, _GUEST_PING, _AGENT_SECONDS, 0))
    except libvirt.libvirtError:
        return False
