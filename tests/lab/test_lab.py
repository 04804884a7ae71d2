"""A lab comes up fast, is alone, and is a libvirtd like any other."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt
import pytest
from installed import out_chain, rule_lines

from reconciler.errors import HostError, UsageError
from reconciler.lab import calls, guests, init, labs, ports
from reconciler.lab.guests import NicSpec
from reconciler.lab.handle import Lab
from reconciler.lab.registry import LabError

pytestmark = pytest.mark.lab

READY_SECONDS = 3.0
MAC = "52:54:00:00:00:01"
CLEAN_TRAFFIC = "<filterref filter='clean-traffic'><parameter name='IP' value='192.0.2.1'/></filterref>"
LIBVIRT_FOLDERS = [Path(folder) for folder in init.LIBVIRT_FOLDERS.values()]


@pytest.fixture
def connection(lab: Lab) -> Iterator[libvirt.virConnect]:
    opened = libvirt.open(lab.uri)
    yield opened
    opened.close()


def start_tiny(opened: libvirt.virConnect, name: str, mac: str = MAC, filterref: str = "") -> libvirt.virDomain:
    domain = opened.defineXML(guests.tiny_domain_xml(name, [NicSpec(mac, filterref_xml=filterref)]))
    domain.create()
    return domain


def test_is_ready_under_the_deadline() -> None:
    began = time.monotonic()
    with labs.lab() as lab:
        opened = libvirt.open(lab.uri)
        assert "clean-traffic" in opened.listNWFilters()
        assert time.monotonic() - began < READY_SECONDS
        opened.close()


def test_has_its_bridges_and_is_silent(lab: Lab) -> None:
    links = lab.run(["ip", "-brief", "link"]).stdout.splitlines()
    assert [line.split()[0] for line in links] == ["lo", "br0"]
    assert all("UP" in line.split()[3] for line in links)
    assert "fe80" not in lab.run(["ip", "address"]).stdout


def test_spanning_tree_is_off_unless_asked_for(lab: Lab) -> None:
    assert stp_state(lab, "br0") == "0"
    ports.set_stp(lab, "br0", True)
    assert stp_state(lab, "br0") == "1"
    with labs.lab(stp=True, bridges=("br0", "br1")) as other:
        assert [stp_state(other, bridge) for bridge in other.bridges] == ["1", "1"]


def stp_state(lab: Lab, bridge: str) -> str:
    return lab.run(["cat", f"/sys/class/net/{bridge}/bridge/stp_state"]).stdout.strip()


def test_two_at_once_know_nothing_of_each_other() -> None:
    with labs.lab() as one, labs.lab() as two:
        first, second = libvirt.open(one.uri), libvirt.open(two.uri)
        start_tiny(first, "guest", filterref=CLEAN_TRAFFIC)
        assert second.listAllDomains() == []
        assert "vnet0" not in two.run(["ip", "-brief", "link"]).stdout
        start_tiny(second, "guest", filterref=CLEAN_TRAFFIC)
        assert {connection.listAllNWFilterBindings()[0].portDev() for connection in (first, second)} == {"vnet0"}
        assert [first.getHostname(), second.getHostname()] == [one.name, two.name]
        for connection in (first, second):
            connection.close()


def test_a_filtered_guest_has_its_chains_inside_and_none_outside(lab: Lab, connection: libvirt.virConnect) -> None:
    outside = rules_outside()
    start_tiny(connection, "guest", filterref=CLEAN_TRAFFIC)
    inside = "\n".join(rule_lines(lab))
    assert out_chain(lab, "vnet0", "ipv4-ip") in inside and "192.0.2.1" in inside
    assert rules_outside() == outside


def rules_outside() -> str:
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def test_guests_outlive_the_daemon(lab: Lab, connection: libvirt.virConnect, eventually: Callable[..., None]) -> None:
    start_tiny(connection, "guest", filterref=CLEAN_TRAFFIC)
    chains = rule_lines(lab)
    pid = lab.daemon_pid
    lab.restart_daemon()
    assert is_new(lab.daemon_pid, pid)
    lab.kill_daemon()
    assert not is_new(lab.daemon_pid, pid)
    lab.start_daemon()
    lab.wait_until_ready()
    again = libvirt.open(lab.uri)
    assert [domain.name() for domain in again.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING)] == ["guest"]
    assert rule_lines(lab) == chains
    processes = ["sh", "-c", "cat /proc/[0-9]*/comm"]
    eventually(lambda: "qemu-system" in lab.run(processes, check=False).stdout, "the guest runs")
    again.close()


def is_new(pid: int | None, old: int | None) -> bool:
    return pid is not None and pid != old


def test_a_daemon_that_cannot_start_says_why(lab: Lab, connection: libvirt.virConnect) -> None:
    start_tiny(connection, "guest", filterref=CLEAN_TRAFFIC)
    lab.kill_daemon()
    (lab.folder / "etc/nwfilter/clean-traffic.xml").write_text("<filter")
    lab.start_daemon()
    with pytest.raises(HostError, match="has ended: vir"):
        lab.wait_until_ready()


def test_the_log_tells_what_was_written(lab: Lab, connection: libvirt.virConnect) -> None:
    start_tiny(connection, "guest")
    after = calls.mark(lab)
    domain = connection.lookupByName("guest")
    connection.nwfilterDefineXML("<filter name='mine'/>").undefine()
    domain.updateDeviceFlags(domain.XMLDesc().partition("<interface")[1] + interface_of(domain), 0)
    port = domain.XMLDesc().partition("<target dev='")[2].partition("'")[0]
    connection.nwfilterBindingCreateXML(binding_xml(port, MAC, "no-mac-spoofing")).delete()
    written = [call.name for call in calls.writes(lab, after)]
    assert written == [
        "virNWFilterDefineXML",
        "virNWFilterUndefine",
        "virDomainUpdateDeviceFlags",
        "virNWFilterBindingCreateXML",
        "virNWFilterBindingDelete",
    ]
    assert "virDomainLookupByName" in [call.name for call in calls.calls(lab, after)]
    assert "<filter name='mine'/>" in calls.writes(lab, after)[0].arguments


def interface_of(domain: libvirt.virDomain) -> str:
    return str(domain.XMLDesc().partition("<interface")[2].partition("</interface>")[0] + "</interface>")


def binding_xml(port: str, mac: str, name: str) -> str:
    owner = "<owner><name>test</name><uuid>11111111-2222-3333-4444-555555555555</uuid></owner>"
    what = f"<portdev name='{port}'/><mac address='{mac}'/><filterref filter='{name}'/>"
    return f"<filterbinding>{owner}{what}</filterbinding>"


EXCHANGE = """
import socket, sys
def end(name):
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    opened.bind((name, 0))
    opened.settimeout(10)
    return opened
sender, receiver = end(sys.argv[1]), end(sys.argv[2])
for frame in sys.argv[3:]:
    sender.send(bytes.fromhex(frame))
heard = b""
while heard != bytes.fromhex(sys.argv[-1]):
    heard = receiver.recv(2048)
    print(heard.hex())
"""


def frame(source: str, text: bytes) -> str:
    return "ff" * 6 + source.replace(":", "") + "88b5" + text.ljust(46, b".").hex()


def test_ports_carry_frames_and_nothing_else(lab: Lab, connection: libvirt.virConnect) -> None:
    one, two = ports.add_port(lab, "p0", mac=MAC), ports.add_port(lab, "p1")
    own, forged = frame(MAC, b"own"), frame(two.mac, b"forged")
    send = [sys.executable, "-I", "-S", "-c", EXCHANGE, one.guest_end, two.guest_end]
    assert lab.run([*send, forged, own]).stdout.split() == [forged, own]
    connection.nwfilterBindingCreateXML(binding_xml("p0", MAC, "no-mac-spoofing"))
    assert lab.run([*send, forged, own]).stdout.split() == [own]
    ports.remove_port(lab, one)
    assert "p0" not in lab.run(["ip", "-brief", "link"]).stdout


def test_a_port_needs_a_name_that_fits(lab: Lab) -> None:
    with pytest.raises(UsageError, match="too long"):
        ports.add_port(lab, "p" * 14)


@pytest.fixture
def decoy(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that bears the name of the daemon, outside of every lab."""
    program = tmp_path / "libvirtd"
    shutil.copy(shutil.which("sleep") or "", program)
    process = subprocess.Popen([program, "600"])
    yield process
    process.kill()
    process.wait()


def test_the_machine_s_own_libvirt_is_left_alone(decoy: subprocess.Popen[bytes]) -> None:
    before = [contents(folder) for folder in LIBVIRT_FOLDERS], socket.gethostname()
    with labs.lab() as lab:
        connection = libvirt.open(lab.uri)
        start_tiny(connection, "guest", filterref=CLEAN_TRAFFIC)
        connection.close()
        lab.restart_daemon(signal.SIGKILL)
        assert lab.daemon_pid != decoy.pid
    assert ([contents(folder) for folder in LIBVIRT_FOLDERS], socket.gethostname()) == before
    assert decoy.poll() is None


def contents(folder: Path) -> list[tuple[str, int, int]]:
    if not folder.is_dir():
        return []
    found = ((path, path.lstat()) for path in sorted(folder.rglob("*")))
    return [(str(path), status.st_mtime_ns, status.st_size) for path, status in found]


MAKE_ROOM = """
import sys
from pathlib import Path
from reconciler.lab import init
target = Path(sys.argv[1])
init.make_room(target)
(target / "new").touch()
print((target.parent / "link").read_text(), *sorted(path.name for path in target.parent.iterdir()))
"""


def test_a_missing_mount_point_is_made_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("file")
    ended = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", MAKE_ROOM, tmp_path / "libvirt"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.split() == ["kept", "file", "folder", "libvirt", "link"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "link"]


def test_a_lab_is_found_by_name_and_only_once(lab: Lab) -> None:
    assert labs.find(lab.name) == lab
    assert lab.name in [state.name for state in labs.listing()]
    with pytest.raises(LabError, match="is up already"):
        labs.up(lab.name)
    assert labs.find(lab.name).daemon_pid == lab.daemon_pid


@pytest.mark.parametrize("name", ["", "Upper", "-dash", "a" * 32, "a/b", "..", "a b", "ä"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a lab"):
        labs.up(name)


@pytest.mark.parametrize("name", ["", "a b", "-br0", "b" * 16, "br/0"])
def test_bridges_that_no_device_can_be_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a bridge"):
        labs.up("other", bridges=("br0", name))


def test_a_folder_too_deep_for_sockets_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RECONCILER_LAB_DIR", str(tmp_path / ("d" * 80)))
    with pytest.raises(UsageError, match="too long a path"):
        labs.up("lab")


def test_a_lab_that_is_not_there_cannot_be_taken_down() -> None:
    with pytest.raises(LabError, match="there is no lab 'nowhere'") as caught:
        labs.down("nowhere")
    assert caught.value.exit_code == 1


def test_without_root_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UsageError, match="needs root"):
        labs.up()


CLI = """
import argparse, sys
from reconciler.lab import cli
parser = argparse.ArgumentParser()
cli.add_parser(parser.add_subparsers())
sys.exit(cli.main(parser.parse_args(["lab", *sys.argv[1:]])))
"""


def command(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", CLI, *words], input=stdin, capture_output=True, text=True, check=False)


def test_the_command_runs_programs_inside(lab: Lab) -> None:
    ended = command("exec", lab.name, "--", "sh", "-c", "hostname; cat; echo oops >&2; exit 7", stdin="typed\n")
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, f"{lab.name}\ntyped\n", "oops\n")
    assert command("exec", lab.name, "--", "virsh", "nwfilter-list").returncode == 0
    assert command("uri", lab.name).stdout == f"{lab.uri}\n"


def test_the_command_starts_and_removes_a_lab() -> None:
    name = "by-command"
    assert f"lab {name} is up" in command("up", name, "--stp", "--bridge", "br7").stdout
    try:
        assert f"{name}\tready\tkept" in command("list").stdout
        assert stp_state(labs.find(name), "br7") == "1"
        assert labs.find(name).bridges == ("br7",)
    finally:
        assert command("down", name).returncode == 0
    assert name not in command("list").stdout
