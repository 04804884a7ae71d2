"""A real libvirtd and the in-memory host behind one face, with what others do to them, for tests that hold for both."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import pytest

from reconciler.errors import HostTimeout
from reconciler.host import libvirt_host
from reconciler.host.libvirt_host import open_host
from reconciler.host.memory import MemoryHost
from reconciler.host.protocol import Host
from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.handle import Lab
from reconciler.lab.init import ROOT
from reconciler.model.kernel import Backend
from reconciler.model.live import MANAGED_SAVE, SavedState
from reconciler.nwfilter.expand import Expected

FOLDER = "/etc/libvirt/nwfilter"
GUESTS = ("g1", "g2", "g3")
FILTERS = ("leaf", "root", "other", "extra")
_DEADLINE = 20.0
_POLL_SECONDS = 0.01
_CHAIN = re.compile(
    r"(?P<verb>create|add|delete) chain bridge "
    r"(nat libvirt-(?P<kind>[IJ])-(?P<port>\S+)|libvirt_nwfilter_ethernet (?P<new>n-)?(?P<nft_port>\S+)-out)"
)


def mac(guest: str, place: int = 0) -> str:
    return f"52:54:00:00:{place:02x}:{int(guest[1:]):02x}"


def guest_xml(guest: str, *filterrefs: str, uuid: str = "") -> str:
    """With an interface for each filterref, or one without any; `mac` is that of the first."""
    uuid = uuid or f"00000000-0000-4000-8000-{int(guest[1:]):012x}"
    specs = [NicSpec(mac(guest, place), filterref_xml=xml) for place, xml in enumerate(filterrefs or ("",))]
    return tiny_domain_xml(guest, specs, uuid=uuid)


@dataclass
class Seen:
    """Ports whose rules were built anew, in their order, and those that were without any for an instant."""

    rebuilt: list[str] = field(default_factory=list)
    bare: set[str] = field(default_factory=set)


class World(Protocol):
    """A host, and what others do to it."""

    @property
    def host(self) -> Host: ...

    def watch(self) -> AbstractContextManager[Seen]: ...

    def save(self, guest: str) -> None:
        """As `virsh managedsave`."""

    def lose_file(self, name: str) -> None: ...

    def unwritable(self) -> AbstractContextManager[None]:
        """libvirt's folder of filters can be read only."""

    def add_foreign_rule(self, rule: str) -> None:
        """Put a rule of frames first."""

    def leave_behind(self, port: str) -> None:
        """Chains of a port that is no device any more."""

    def hang(self) -> AbstractContextManager[None]:
        """The next call is not answered."""


class MemoryWorld:
    def __init__(self) -> None:
        self.host = MemoryHost(deaf=set(GUESTS))

    @contextmanager
    def watch(self) -> Iterator[Seen]:
        seen, before = Seen(), dict(self.host.rebuilds)
        had = set(self.host.installed)

        def look(host: MemoryHost) -> None:
            for port, count in host.rebuilds.items():
                seen.rebuilt.extend([port] * (count - before.get(port, 0)))
            before.update(host.rebuilds)
            seen.bare.update((had & host.devices()) - set(host.installed))

        self.host.on_change = look
        yield seen
        self.host.on_change = None

    def save(self, guest: str) -> None:
        domain = self.host.domains[guest]
        image = SavedState(MANAGED_SAVE, domain.persistent, domain.persistent_xml)
        self.host.destroy_domain(guest)
        self.host.domains[guest] = replace(self.host.domains[guest], saved=(image,))

    def lose_file(self, name: str) -> None:
        self.host.staged[name] = None

    @contextmanager
    def unwritable(self) -> Iterator[None]:
        self.host.unsaved.update(FILTERS)
        yield
        self.host.unsaved.clear()

    def add_foreign_rule(self, rule: str) -> None:
        self.host.foreign.add(("PREROUTING", f"-A PREROUTING {rule}"))

    def leave_behind(self, port: str) -> None:
        self.host.installed[port] = _as_if_of(next(iter(self.host.installed.values())), port)

    @contextmanager
    def hang(self) -> Iterator[None]:
        def fault(call: str, _target: str) -> None:
            raise HostTimeout(f"libvirt did not answer `{call}`")

        self.host.fault = fault
        yield
        self.host.fault = None


def _as_if_of(rules: Expected, port: str) -> Expected:
    chains = tuple(
        replace(chain, name=chain.name.replace(rules.port, port))
        for chain in rules.ethernet.chains
        if rules.port in chain.name
    )
    return replace(rules, port=port, ethernet=replace(rules.ethernet, chains=chains))


class LabWorld:
    """Its kernel tells of every new chain: libvirt builds a port's rules in chains of other names, and renames them."""

    def __init__(self, lab: Lab, events: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lab = lab
        self.host = open_host(lab.uri)
        self._events = events
        self._marks = 0
        self._monkeypatch = monkeypatch

    @contextmanager
    def watch(self) -> Iterator[Seen]:
        seen, start = Seen(), self._mark()
        yield seen
        end = self._mark()
        self._read(seen, self._events.read_text().splitlines()[start:end])

    def _mark(self) -> int:
        """The line up to which the kernel has told of everything so far."""
        self._marks += 1
        name = f"contract-{self._marks}"
        for verb in ("add", "delete"):
            self.lab.run([*own_root(self.lab), "nft", verb, "table", "bridge", name])
        deadline = time.monotonic() + _DEADLINE
        while f"delete table bridge {name}\n" not in (text := self._events.read_text()):
            assert time.monotonic() < deadline, "the kernel tells of no change"
            time.sleep(_POLL_SECONDS)
        return text.count("\n", 0, text.index(f"delete table bridge {name}\n"))

    @staticmethod
    def _read(seen: Seen, lines: list[str]) -> None:
        begun: set[str] = set()
        for match in filter(None, map(_CHAIN.search, lines)):
            port = match["port"] or match["nft_port"]
            is_new = match["kind"] == "J" or match["new"] is not None
            match match["verb"], is_new:
                case "create" | "add", True:
                    begun.add(port)
                case "delete", True:
                    begun.discard(port)
                case "delete", False if port not in begun:
                    seen.bare.add(port)
                case "add", False:
                    seen.rebuilt.append(port)
                    begun.discard(port)

    def save(self, guest: str) -> None:
        self._virsh("managedsave", guest)

    def _virsh(self, *words: str, check: bool = True) -> str:
        return self.lab.run(["virsh", "--connect", self.lab.uri, *words], check=check).stdout

    @property
    def _folder(self) -> str:
        return f"{self.lab.folder / ROOT}{FOLDER}" if self.lab.system.foreign else FOLDER

    def lose_file(self, name: str) -> None:
        self.lab.run(["rm", f"{self._folder}/{name}.xml"])

    @contextmanager
    def unwritable(self) -> Iterator[None]:
        self.lab.run(["mount", "--bind", self._folder, self._folder])
        self.lab.run(["mount", "-o", "remount,bind,ro", self._folder])
        try:
            yield
        finally:
            self.lab.run(["umount", self._folder])

    def add_foreign_rule(self, rule: str) -> None:
        self._need_ebtables()
        self.lab.run(["ebtables", "-t", "nat", "-I", "PREROUTING", *rule.split()])

    def _need_ebtables(self) -> None:
        if self.host.rules().backend is Backend.NFTABLES:
            pytest.skip("libvirt's rules are not those of ebtables")

    def leave_behind(self, port: str) -> None:
        self._need_ebtables()
        for command in (["-N", f"libvirt-I-{port}"], ["-A", "PREROUTING", "-i", port, "-j", f"libvirt-I-{port}"]):
            self.lab.run(["ebtables", "-t", "nat", *command])

    @contextmanager
    def hang(self) -> Iterator[None]:
        pid = self.lab.daemon_pid
        assert pid is not None
        self._monkeypatch.setattr(libvirt_host, "ANSWER_SECONDS", 1.0)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)
            self._monkeypatch.undo()

    def clear(self) -> None:
        """As it was before a test."""
        self.host.close()
        if self.lab.daemon_pid is None:
            self._remove_files()
            self.lab.run(["sh", "-c", "rm -f /run/libvirt/nwfilter-binding/*"])
            self.lab.start_daemon()
            self.lab.wait_until_ready()
        self.host = open_host(self.lab.uri)
        for guest in GUESTS:
            self._virsh("destroy", guest, check=False)
            self._virsh("undefine", "--managed-save", guest, check=False)
        self.lab.run(["touch", *self._files])
        for name in FILTERS:
            self.host.undefine_filter(name)
        self._remove_files()
        for port in self.host.gated():
            self.host.open_gate(port)
        self.lab.run(["ebtables", "-t", "nat", "-F", "PREROUTING"])

    def _remove_files(self) -> None:
        """Of filters that libvirt has lost, too."""
        self.lab.run(["rm", "-f", *self._files])

    @property
    def _files(self) -> list[str]:
        return [f"{self._folder}/{name}.xml" for name in FILTERS]


def own_root(lab: Lab) -> list[str]:
    """An older nft does not understand what a newer one makes."""
    return ["chroot", str(lab.folder / ROOT)] if lab.system.foreign else []


@contextmanager
def listening(lab: Lab, events: Path) -> Iterator[None]:
    """Every change of the kernel's rules goes to a file."""
    inside = [f"--{option}=/proc/{lab.init.pid}/ns/{name}" for option, name in (("net", "net"), ("mount", "mnt"))]
    argv = ["nsenter", *inside, *own_root(lab), "nft", "monitor"]
    with events.open("w") as file, subprocess.Popen(argv, stdout=file) as monitor:
        try:
            yield
        finally:
            monitor.terminate()
