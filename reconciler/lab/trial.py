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
from reconciler.nwfilter.parse import parse_dump

PEER, UPLINK, HOST = "peer", "uplink", "br0"
_BUILD_SECONDS = 120.0
_SEND_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Subject:
    """One interface to try: its filterref, the frames that it sends, and those that are sent to it (whole frames).

    `host_hears` counts the host as a witness; with iptables-level rules it is none, because a bridge hears a packet
    before iptables has judged it.
    """

    mac: str
    filterref: FilterRef
    sent: tuple[bytes, ...] = ()
    received: tuple[bytes, ...] = ()
    host_hears: bool = True


@dataclass(frozen=True, slots=True)
class Heard:
    """For each frame of a subject, in its order, whether it came through."""

    sent: tuple[bool, ...]
    received: tuple[bool, ...]


def define_filters(lab: Lab, filters: Iterable[NwFilter]) -> None:
    """Define filters in a lab, references first or last: libvirt accepts either while nothing is bound."""
    with tempfile.TemporaryDirectory(dir=lab.folder) as folder:
        for definition in filters:
            path = Path(folder) / "filter.xml"
            path.write_text(format_filter(definition))
            _virsh(lab, "nwfilter-define", str(path))


def with_stock_filters(lab: Lab, filters: Iterable[NwFilter], roots: Iterable[str]) -> dict[str, NwFilter]:
    """The filters by name, and those of libvirt's own, as the lab has them, that are reached from the roots too."""
    known = {definition.name: definition for definition in filters}
    waiting, seen = list(roots), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in known:
            dumped = lab.run(["virsh", "--connect", lab.uri, "nwfilter-dumpxml", name])
            known[name] = parse_dump(dumped.stdout)
        waiting.extend(entry.filter for entry in known[name].entries if isinstance(entry, FilterRef))
    return known


def try_frames(lab: Lab, subjects: Sequence[Subject]) -> tuple[Heard, ...]:
    """Send every frame of every subject, one subject after another.

    Raises `HostError` when libvirt cannot build the rules of a subject.
    """
    peer, uplink = add_port(lab, PEER), add_port(lab, UPLINK)
    ports = [add_port(lab, f"try{number}", mac=subject.mac) for number, subject in enumerate(subjects)]
    try:
        for port, subject in zip(ports, subjects, strict=True):
            _bind(lab, port, subject)
        return tuple(_try_one(lab, port, s, peer, uplink) for port, s in zip(ports, subjects, strict=True))
    finally:
        for port in ports:
            lab.run(["virsh", "--connect", lab.uri, "nwfilter-binding-delete", port.name], check=False)
        for port in (*ports, peer, uplink):
            remove_port(lab, port)


def _try_one(lab: Lab, port: Port, subject: Subject, peer: Port, uplink: Port) -> Heard:
    witnesses = [peer.guest_end, uplink.guest_end, *([HOST] if subject.host_hears else [])]
    return Heard(
        _send(lab, port.guest_end, witnesses, subject.sent),
        _send(lab, peer.guest_end, [port.guest_end], subject.received),
    )


def _bind(lab: Lab, port: Port, subject: Subject) -> None:
    binding = Binding(port.name, port.name, subject.mac, subject.filterref)
    with tempfile.NamedTemporaryFile("w", suffix=".xml", dir=lab.folder) as file:
        file.write(binding_xml(binding, str(uuid.uuid4())))
        file.flush()
        _virsh(lab, "nwfilter-binding-create", file.name)


def _send(lab: Lab, sender: str, witnesses: list[str], frames: Sequence[bytes]) -> tuple[bool, ...]:
    if not frames:
        return ()
    wanted = json.dumps({"listen": witnesses, "send": {sender: [frame.hex() for frame in frames]}})
    ended = lab.run([sys.executable, "-I", "-S", burst.__file__], stdin=wanted, timeout=_SEND_SECONDS)
    heard: set[int] = set().union(*json.loads(ended.stdout)[sender].values())
    return tuple(index in heard for index in range(len(frames)))


def _virsh(lab: Lab, *arguments: str) -> None:
    lab.run(["virsh", "--quiet", "--connect", lab.uri, *arguments], timeout=_BUILD_SECONDS)
