"""Try filters with real frames: each interface is a port of a lab with an nwfilter binding, as a guest's tap has.

What goes in at the guest's end is filtered by the kernel's rules that libvirt made; what comes out is heard at a peer
port, at an uplink and at the host. No frame leaves the lab.
"""

from __future__ import annotations

import json
import sys
import tempfile
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.domain.binding import binding_xml
from reconciler.lab import burst
from reconciler.lab.handle import Lab
from reconciler.lab.ports import Port, add_port, remove_port
from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.live import Binding
from reconciler.nwfilter.format import format_filter

PEER, UPLINK, HOST = "peer", "uplink", "br0"
_BUILD_SECONDS = 120.0
_SEND_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Subject:
    """One interface to try: its filterref, and the frames that it sends (whole, with the Ethernet header)."""

    mac: str
    filterref: FilterRef
    frames: tuple[bytes, ...]


def define_filters(lab: Lab, filters: Iterable[NwFilter]) -> None:
    """Define filters in a lab, references first or last: libvirt accepts either while nothing is bound."""
    with tempfile.TemporaryDirectory(dir=lab.folder) as folder:
        for definition in filters:
            path = Path(folder) / "filter.xml"
            path.write_text(format_filter(definition))
            _virsh(lab, "nwfilter-define", str(path))


def try_frames(lab: Lab, subjects: Sequence[Subject]) -> list[list[bool]]:
    """For each subject, whether each of its frames was heard by anybody.

    Raises `HostError` when libvirt cannot build the rules of a subject.
    """
    ears = [add_port(lab, PEER), add_port(lab, UPLINK)]
    ports = [add_port(lab, f"try{number}", mac=subject.mac) for number, subject in enumerate(subjects)]
    try:
        for port, subject in zip(ports, subjects, strict=True):
            _bind(lab, port, subject)
        return _send(lab, [*(ear.guest_end for ear in ears), HOST], ports, subjects)
    finally:
        for port in ports:
            lab.run(["virsh", "--connect", lab.uri, "nwfilter-binding-delete", port.name], check=False)
        for port in (*ports, *ears):
            remove_port(lab, port)


def _bind(lab: Lab, port: Port, subject: Subject) -> None:
    binding = Binding(port.name, port.name, subject.mac, subject.filterref)
    with tempfile.NamedTemporaryFile("w", suffix=".xml", dir=lab.folder) as file:
        file.write(binding_xml(binding, str(uuid.uuid4())))
        file.flush()
        _virsh(lab, "nwfilter-binding-create", file.name)


def _send(lab: Lab, ears: list[str], ports: Sequence[Port], subjects: Sequence[Subject]) -> list[list[bool]]:
    frames = {port.guest_end: [f.hex() for f in s.frames] for port, s in zip(ports, subjects, strict=True)}
    wanted = json.dumps({"listen": ears, "send": frames})
    ended = lab.run([sys.executable, "-I", "-S", burst.__file__], stdin=wanted, timeout=_SEND_SECONDS)
    heard = json.loads(ended.stdout)
    return [
        [any(index in found for found in heard[port.guest_end].values()) for index in range(len(subject.frames))]
        for port, subject in zip(ports, subjects, strict=True)
    ]


def _virsh(lab: Lab, *arguments: str) -> None:
    lab.run(["virsh", "--quiet", "--connect", lab.uri, *arguments], timeout=_BUILD_SECONDS)
