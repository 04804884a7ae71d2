"""The same change twice, with real guests: as administrators made it by hand, and by the reconciler.

Two running guests without filters get the files of an example site and are held to their addresses. By hand that takes
the guests down; the reconciler stops none. Afterwards the kernel runs the same rules, and a guest that changes its
address on purpose is heard by nobody.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import product
from pathlib import Path

import pytest
from installed import rule_lines
from sites import EXAMPLE

from reconciler.host.processes import clean_environment
from reconciler.lab.console import Console
from reconciler.lab.guests import GuestImage, NicSpec, domain_xml
from reconciler.lab.handle import Lab
from reconciler.lab.labs import lab as new_lab
from reconciler.lab.ports import GUEST_SUFFIX, add_port

pytestmark = pytest.mark.lab

SITE = EXAMPLE / "examples/dual-later"
FILTER = "clean-traffic-dual"
OVERHEAR = Path(__file__).parent / "overhear.py"
GATEWAY, UPLINK, HOST = "192.168.0.1", "uplink", "br0"
UPLINK_END = f"{UPLINK}{GUEST_SUFFIX}"

Record = Callable[[str, object], None]


@dataclass(frozen=True)
class Guest:
    """A guest with its addresses: IPv4, IPv6, and the link-local one that comes of its MAC."""

    name: str
    mac: str
    ipv4: str
    ipv6: str
    link_local: str

    @property
    def filterref(self) -> str:
        values = (("IP", self.ipv4), ("IPV6", self.ipv6), ("IPV6", self.link_local))
        parameters = "".join(f"<parameter name='{name}' value='{value}'/>" for name, value in values)
        return f"<filterref filter='{FILTER}'>{parameters}</filterref>"

    @property
    def yaml(self) -> str:
        interface = f'{{mac: "{self.mac}", segment: lan, ipv4: [{self.ipv4}], ipv6: ["{self.ipv6}"], attach: direct}}'
        return f"name: {self.name}\ninterfaces:\n  - {interface}\n"


MOVER = Guest("mover", "52:54:00:00:00:01", "192.168.0.11", "2001:db8::11", "fe80::5054:ff:fe00:1")
NEIGHBOUR = Guest("neighbour", "52:54:00:00:00:02", "192.168.0.12", "2001:db8::12", "fe80::5054:ff:fe00:2")
GUESTS = (MOVER, NEIGHBOUR)
TAKEN = ("192.168.0.99", "2001:db8::99")


@dataclass
class Host:
    """A lab with both guests running, each with a console and its boot id of the beginning."""

    lab: Lab
    consoles: dict[str, Console]
    boots: dict[str, str] = field(default_factory=dict)

    def virsh(self, *arguments: str) -> str:
        return self.lab.run(["virsh", "--connect", self.lab.uri, *arguments]).stdout

    def in_guest(self, guest: Guest, line: str, *, check: bool = True) -> str:
        return self.consoles[guest.name].command(line, check=check)

    def port(self, guest: Guest) -> str:
        return self.virsh("domiflist", guest.name).split("\n")[2].split()[0]

    def boot_id(self, guest: Guest) -> str:
        return self.in_guest(guest, "cat /proc/sys/kernel/random/boot_id")

    def bring_up(self, guest: Guest) -> None:
        """What a guest's own configuration does at boot."""
        self.consoles[guest.name].wait_for_prompt()
        self.in_guest(guest, "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad")
        self.take_addresses(guest, guest.ipv4, guest.ipv6)

    def take_addresses(self, guest: Guest, ipv4: str, ipv6: str) -> None:
        self.in_guest(guest, "ip address flush dev eth0 scope global; ip neigh flush dev eth0")
        self.in_guest(guest, f"ip address add {ipv4}/24 dev eth0; ip address add {ipv6}/64 dev eth0")

    def rules(self) -> list[str]:
        """Both guests' rules in the kernel, with a guest's name in the place of its port's."""
        saved = rule_lines(self.lab)
        ports = {guest.name: self.port(guest) for guest in GUESTS}
        return sorted(line.replace(port, name) for name, port in ports.items() for line in saved if port in line)


@dataclass(frozen=True)
class Cost:
    """What a change took: until both guests answered under their filters."""

    seconds: float
    guests_stopped: int
    daemon_restarted: bool


@contextmanager
def two_guests(image: GuestImage) -> Iterator[Host]:
    """A lab whose guests run without any filter, start with their host, and are up at their addresses."""
    with new_lab() as lab, ExitStack() as stack:
        host = Host(lab, {guest.name: stack.enter_context(Console(lab, guest.name)) for guest in GUESTS})
        add_port(lab, UPLINK)
        lab.run(["ip", "address", "add", f"{GATEWAY}/24", "dev", HOST])
        for guest in GUESTS:
            xml = lab.folder / f"{guest.name}.xml"
            xml.write_text(domain_xml(guest.name, image, [NicSpec(guest.mac)]))
            for words in (("define", str(xml)), ("autostart", guest.name), ("start", guest.name)):
                host.virsh(*words)
        for guest in GUESTS:
            host.bring_up(guest)
            host.boots[guest.name] = host.boot_id(guest)
        yield host


def measured(host: Host, change: Callable[[], None]) -> Cost:
    started, daemon = time.monotonic(), host.lab.daemon_pid
    change()
    for guest in GUESTS:
        assert "1 packets received" in host.in_guest(guest, f"ping -c 1 {GATEWAY}")
    seconds = time.monotonic() - started
    stopped = sum(host.boot_id(guest) != host.boots[guest.name] for guest in GUESTS)
    return Cost(round(seconds, 1), stopped, host.lab.daemon_pid != daemon)


def change_by_hand(host: Host, eventually: Callable[..., None]) -> None:
    etc = host.lab.folder / "etc"
    for guest in GUESTS:
        host.virsh("shutdown", guest.name)
    eventually(lambda: not host.virsh("list", "--name").strip(), "both guests have shut down")
    for path in (SITE / "filters").glob("*.xml"):
        shutil.copyfile(path, etc / "nwfilter" / path.name)
    for guest in GUESTS:
        definition = etc / "qemu" / f"{guest.name}.xml"
        text = definition.read_text()
        assert text.count("</interface>") == 1
        definition.write_text(text.replace("</interface>", f"{guest.filterref}</interface>"))
    # libvirt starts guests once a boot of the host; this mark says that it has.
    (host.lab.folder / "run/qemu/autostarted").unlink()
    host.lab.restart_daemon()
    for guest in GUESTS:
        host.consoles[guest.name].close()
        host.bring_up(guest)


def change_by_reconciler(host: Host, folder: Path) -> None:
    site = folder / "site"
    shutil.copytree(SITE, site, ignore=shutil.ignore_patterns("guests"))
    (site / "guests").mkdir()
    for guest in GUESTS:
        (site / "guests" / f"{guest.name}.yaml").write_text(guest.yaml)
    where = ["--connect", host.lab.uri, "--site", str(site), "--var", str(folder / "var")]
    argv = [sys.executable, "-m", "reconciler", *where, "apply", "--yes"]
    ended = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def heard_from(host: Host, *addresses: str) -> set[tuple[str, str]]:
    """The mover takes addresses and speaks from them to its neighbour and to the host: which is heard by whom?"""
    host.take_addresses(MOVER, *addresses)
    pings = " ".join(f"ping -c 1 -W 1 {target} &" for target in (NEIGHBOUR.ipv4, NEIGHBOUR.ipv6, GATEWAY))
    with overhearing(host.lab, *everybody(host)) as heard:
        host.in_guest(MOVER, f"{pings} arping -c 1 -w 1 -I eth0 {GATEWAY}; wait", check=False)
    host.take_addresses(MOVER, MOVER.ipv4, MOVER.ipv6)
    return {
        (address, device)
        for address, (device, frames) in product(addresses, heard.items())
        if any(is_spoken_from(address, frame) for frame in frames)
    }


def everybody(host: Host) -> set[str]:
    """Devices that show what is heard outside, by the host, and by the neighbour."""
    return {UPLINK_END, HOST, host.port(NEIGHBOUR)}


def is_spoken_from(address: str, frame: str) -> bool:
    content = bytes.fromhex(frame)
    return content[6:12] == bytes.fromhex(MOVER.mac.replace(":", "")) and ip_address(address).packed in content


@contextmanager
def overhearing(lab: Lab, *devices: str) -> Iterator[dict[str, list[str]]]:
    heard: dict[str, list[str]] = {}
    argv = lab.namespaces.wrap([sys.executable, "-I", "-S", str(OVERHEAR), *devices])
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment()
    ) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "ready\n"
        try:
            yield heard
        finally:
            process.stdin.close()
            heard.update(json.loads(process.stdout.read()))


def test_one_change_by_hand_stops_the_guests_and_by_the_reconciler_none(
    guest_image: GuestImage, eventually: Callable[..., None], tmp_path: Path, record_property: Record
) -> None:
    own = (MOVER.ipv4, MOVER.ipv6)
    with two_guests(guest_image) as hand, two_guests(guest_image) as ours:
        for host in (hand, ours):
            assert heard_from(host, *TAKEN) == set(product(TAKEN, everybody(host)))
        by_hand = measured(hand, lambda: change_by_hand(hand, eventually))
        by_us = measured(ours, lambda: change_by_reconciler(ours, tmp_path))
        for way, cost in (("by hand", by_hand), ("by the reconciler", by_us)):
            record_property(way, vars(cost))
            print(f"{way}: {cost}")
        assert hand.rules() == ours.rules() != []
        for host in (hand, ours):
            assert heard_from(host, *TAKEN) == set()
            assert heard_from(host, *own) == set(product(own, everybody(host)))
    assert (by_hand.guests_stopped, by_hand.daemon_restarted) == (len(GUESTS), True)
    assert (by_us.guests_stopped, by_us.daemon_restarted) == (0, False)
