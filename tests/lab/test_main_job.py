"""The main job on a real libvirtd with running guests: from a repository to the kernel's rules."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest
from frames import stream, udp_frame
from installed import assert_proven, flush_port, gated, nft, of_nft, rule_lines
from settled import start_guests
from sites import EXAMPLE, SITE, guest_yaml, mac

from reconciler.domain.rewrite import interface_xml, set_filterref
from reconciler.lab.handle import Lab
from reconciler.lab.labs import lab as new_lab
from reconciler.model.filter import FilterRef
from reconciler.model.kernel import Family
from reconciler.nwfilter.nftables import TABLES

pytestmark = pytest.mark.lab

WRITE_CALLS = (
    "virNWFilterDefineXML", "virNWFilterUndefine", "virNWFilterBindingCreateXML", "virNWFilterBindingDelete",
    "virDomainDefineXML", "virDomainUpdateDeviceFlags", "virDomainSetAutostart", "virDomainCreate", "virDomainUndefine",
    "virDomainAttachDevice", "virDomainDetachDevice", "virDomainDestroy", "virDomainShutdown",
)  # fmt: skip


@dataclass
class Desk:
    """A lab with two running guests, and a repository whose site the command applies there."""

    lab: Lab
    repository: Path
    var: Path

    def commit(self, **guests: bytes) -> str:
        folder = self.repository / "guests"
        for name, content in guests.items():
            (folder / f"{name}.yaml").write_bytes(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a change")
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *arguments: str) -> str:
        author = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        argv = ["git", "-C", str(self.repository), *author, *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        where = ["--connect", self.lab.uri, "--repo", str(self.repository), "--var", str(self.var)]
        argv = [sys.executable, "-m", "reconciler", *where, *arguments]
        return subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def document(self, verb: str, exit_code: int = 0) -> dict[str, object]:
        ended = self.command("--output", "json", verb)
        assert ended.returncode == exit_code, ended.stdout + ended.stderr
        found: dict[str, object] = json.loads(ended.stdout)
        return found

    def apply(self) -> None:
        ended = self.command("apply")
        assert ended.returncode == 0, ended.stdout + ended.stderr

    def port(self, guest: str) -> str:
        words = self.virsh("domiflist", guest).split("\n")[2].split()
        return words[0]

    def virsh(self, *arguments: str) -> str:
        return self.lab.run(["virsh", "--connect", self.lab.uri, *arguments]).stdout

    def rules(self, port: str) -> list[str]:
        return rule_lines(self.lab, port)

    def write_calls(self, action: Callable[[], object]) -> list[str]:
        """The calls that change something, of those that libvirt's own log shows during an action."""
        before = self.lab.log_path.stat().st_size
        action()
        with self.lab.log_path.open("rb") as log:
            log.seek(before)
            text = log.read().decode(errors="replace")
        assert "virDomainGetXMLDesc" in text, "the log shows no call at all"
        return [
            call for call in WRITE_CALLS for line in text.splitlines() if f"{call}:" in line or f"{call}Flags:" in line
        ]


FIRST = {
    "web01": guest_yaml("web01", 1, "[10.0.0.10]", '["2001:db8::10"]'),
    "db01": guest_yaml("db01", 2, "[10.0.0.20]", '["2001:db8::20"]', attach="direct"),
}


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "stp"])
def running_lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with new_lab(stp=request.param) as lab:
        start_guests(lab, tmp_path_factory.mktemp("xml"), FIRST)
        yield lab


@pytest.fixture
def desk(running_lab: Lab, tmp_path: Path) -> Desk:
    return committed(running_lab, tmp_path)


def committed(running_lab: Lab, folder: Path) -> Desk:
    """The site of FIRST, committed and applied."""
    repository = folder / "repository"
    for part in ("guests", "filters"):
        (repository / part).mkdir(parents=True)
    for path in (EXAMPLE / "filters").glob("*.xml"):
        (repository / "filters" / path.name).write_bytes(path.read_bytes())
    (repository / "site.yaml").write_bytes(SITE)
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(repository)], check=True)
    desk = Desk(running_lab, repository, folder / "var")
    desk.commit(**FIRST)
    desk.apply()
    return desk


def test_after_apply_there_is_no_drift_and_everything_is_enforced(desk: Desk) -> None:
    assert desk.document("diff")["drift"] == []
    assert_proven(desk.lab, desk.document("verify", exit_code=int(of_nft(desk.lab))))


def test_a_second_apply_makes_no_libvirt_write_call(desk: Desk) -> None:
    assert desk.write_calls(desk.apply) == []


def test_an_address_change_under_guard_is_one_filter_and_only_that_guests_chains(desk: Desk) -> None:
    before = desk.virsh("dumpxml", "web01"), desk.virsh("dumpxml", "--inactive", "web01"), desk.rules(desk.port("db01"))
    old = desk.rules(desk.port("web01"))
    desk.commit(web01=guest_yaml("web01", 1, "[10.0.0.11]", '["2001:db8::11"]'))
    plan = desk.document("plan")
    assert [(step["kind"], step["target"], step["rebuilds"]) for step in plan["steps"]] == [  # type: ignore[attr-defined]
        ("define-filter", "filter/guard-web01-000001", 1)
    ]
    assert desk.write_calls(desk.apply) == ["virNWFilterDefineXML"]
    after = desk.virsh("dumpxml", "web01"), desk.virsh("dumpxml", "--inactive", "web01"), desk.rules(desk.port("db01"))
    assert after == before
    new = desk.rules(desk.port("web01"))
    assert (
        [line.replace("10.0.0.11", "10.0.0.10").replace("2001:db8::11", "2001:db8::10") for line in new] == old != new
    )


def test_no_forged_frame_passes_while_a_direct_filterref_changes(desk: Desk, tmp_path: Path) -> None:
    frames = {
        "forged IPv4": udp_frame(mac(2), "10.0.0.66"),
        "forged IPv6": udp_frame(mac(2), "2001:db8::66"),
        "own": udp_frame(mac(2), "10.0.0.20"),
    }
    desk.commit(db01=guest_yaml("db01", 2, "[10.0.0.20, 10.0.0.21]", '["2001:db8::21"]', attach="direct"))
    with stream(desk.lab, desk.port("db01"), frames, tmp_path, rate=2000) as counted:
        desk.apply()
    assert counted.sent("forged IPv4") > 500
    assert counted.arrived("forged IPv4") == counted.arrived("forged IPv6") == 0
    assert counted.arrived("own") > 0


def test_a_carrier_flap_does_not_open_the_gate(desk: Desk, tmp_path: Path) -> None:
    port = desk.port("db01")
    frames = {"forged": udp_frame(mac(2), "10.0.0.66"), "own": udp_frame(mac(2), "10.0.0.20")}
    desk.commit(db01=guest_yaml("db01", 2, "[10.0.0.20, 10.0.0.23]", '["2001:db8::20"]', attach="direct"))
    ended = Event()

    def flap() -> None:
        while not ended.is_set():
            for state in ("down", "up"):
                desk.lab.run(["ip", "link", "set", port, state])

    with stream(desk.lab, port, frames, tmp_path) as counted, ThreadPoolExecutor() as pool:
        flapping = pool.submit(flap)
        try:
            desk.apply()
        finally:
            ended.set()
        flapping.result()
    assert counted.arrived("forged") == 0 < counted.sent("forged")
    assert desk.document("diff")["drift"] == []


def test_without_the_gate_forged_frames_pass_so_the_test_above_can_fail(desk: Desk, tmp_path: Path) -> None:
    frames = {"forged": udp_frame(mac(2), "10.0.0.66")}
    reference = FilterRef("guest-ipv4", (("IP", "10.0.0.20"), ("IPMASK", "32")))
    (tmp_path / "nic.xml").write_text(
        interface_xml(set_filterref(desk.virsh("dumpxml", "db01"), mac(2), reference), mac(2))
    )
    with stream(desk.lab, desk.port("db01"), frames, tmp_path) as counted:
        desk.virsh("update-device", "db01", str(tmp_path / "nic.xml"), "--live")
    assert counted.arrived("forged") > 0


# libvirt accepts it, and its program refuses it when the rules are built: iptables knows no such set, to which nft has
# no rule at all, and nft takes no number of a TCP option.
BROKEN = b"""<filter name='broken' chain='root'>
  <filterref filter='guest-ipv4'/>
  <rule action='accept' direction='in'><all ipset='nosuchset' ipsetflags='src'/></rule>
  <rule action='drop' direction='in'><tcp option='5'/></rule>
</filter>
"""


def test_a_failing_change_puts_the_old_filterref_and_its_rules_back(desk: Desk) -> None:
    before = desk.virsh("dumpxml", "db01"), desk.rules(desk.port("db01"))
    (desk.repository / "filters/broken.xml").write_bytes(BROKEN)
    desk.commit(
        db01=guest_yaml("db01", 2, "[10.0.0.20]", attach="direct").replace(b"attach", b"filter: broken\n    attach")
    )
    ended = desk.command("apply")
    assert ended.returncode == 1 and "libvirt refused" in ended.stderr, ended.stdout + ended.stderr
    assert (desk.virsh("dumpxml", "db01"), desk.rules(desk.port("db01"))) == before
    assert not gated(desk.lab)
    assert "broken" not in desk.virsh("nwfilter-list")


def test_a_port_whose_rules_cannot_be_restored_stays_closed_until_they_are_proven(desk: Desk, tmp_path: Path) -> None:
    desk.commit(db01=guest_yaml("db01", 2, "[10.0.0.22]", '["2001:db8::20"]', attach="direct"))
    port = desk.port("db01")
    frames = {"old": udp_frame(mac(2), "10.0.0.20"), "new": udp_frame(mac(2), "10.0.0.22")}
    with no_new_rules(desk.lab, port), stream(desk.lab, port, frames, tmp_path) as counted:
        ended = desk.command("apply")
        assert ended.returncode == 1 and f"port {port} of guest db01 was left closed" in ended.stderr
        closed = gated(desk.lab)
    assert closed == {port}
    assert counted.arrived("new") == 0 < counted.sent("new")
    interrupted = desk.command("diff")
    assert "was interrupted" in interrupted.stderr and ".gate: closed" in interrupted.stdout
    desk.apply()
    assert desk.document("diff")["drift"] == []
    assert not gated(desk.lab)


@contextmanager
def no_new_rules(lab: Lab, port: str) -> Iterator[None]:
    """Make libvirt fail to build rules for a port: its temporary chain is there already, and in use.

    With nft it would build into that chain; it cannot give it its name when another has that already.
    """
    if of_nft(lab):
        with taken_name(lab, port):
            yield
        return
    ebtables = ["ebtables", "-t", "nat"]
    lab.run([*ebtables, "-N", f"libvirt-J-{port}"])
    lab.run([*ebtables, "-A", "OUTPUT", "-o", "nowhere", "-j", f"libvirt-J-{port}"])
    try:
        yield
    finally:
        lab.run([*ebtables, "-F", "OUTPUT"])
        lab.run([*ebtables, "-X", f"libvirt-J-{port}"], check=False)


@contextmanager
def taken_name(lab: Lab, port: str) -> Iterator[None]:
    """A chain of libvirt's tables that it cannot delete, under the name that it gives: a foreign rule jumps to it."""
    table = TABLES[Family.NFT_ETHERNET]
    nft(lab, "add", "chain", "bridge", table, "foreign")
    nft(lab, "add", "rule", "bridge", table, "foreign", "jump", f"{port}-out")
    try:
        yield
    finally:
        nft(lab, "delete", "chain", "bridge", table, "foreign")


def test_a_hand_made_change_is_found_and_put_right(desk: Desk, tmp_path: Path) -> None:
    text = desk.virsh("nwfilter-dumpxml", "guard-web01-000001").replace("10.0.0.10", "10.0.0.99")
    (tmp_path / "guard.xml").write_text(text)
    desk.virsh("nwfilter-define", str(tmp_path / "guard.xml"))
    drift = desk.document("diff", exit_code=1)["drift"]
    assert {"object": "filter/guard-web01-000001", "field": "parameters.IP", "layer": "persistent",
            "desired": ["10.0.0.10"], "actual": ["10.0.0.99"],
            "ignored": False, "reason": None} in drift  # type: ignore[operator]  # fmt: skip
    desk.apply()
    assert desk.document("diff")["drift"] == []


def test_flushed_rules_are_drift_of_their_guest_and_are_rebuilt(desk: Desk) -> None:
    port = desk.port("web01")
    flush_port(desk.lab, port)
    drift = desk.document("diff", exit_code=1)["drift"]
    assert {(each["object"], each["layer"]) for each in drift} == {("guest/web01", "kernel")}  # type: ignore[attr-defined]
    desk.apply()
    assert desk.document("diff")["drift"] == []


def test_a_plan_file_is_refused_when_the_host_has_changed(desk: Desk, tmp_path: Path) -> None:
    desk.commit(web01=guest_yaml("web01", 1, "[10.0.0.12]", '["2001:db8::10"]'))
    assert desk.command("plan", "--out", str(tmp_path / "plan.json")).returncode == 0
    desk.commit(web01=guest_yaml("web01", 1, "[10.0.0.13]", '["2001:db8::10"]'))
    refused = desk.command("apply", str(tmp_path / "plan.json"))
    assert refused.returncode == 1 and "not what the plan was made for" in refused.stderr
    assert "10.0.0.10" in desk.virsh("nwfilter-dumpxml", "guard-web01-000001")


def test_a_filter_that_asks_for_one_more_variable_gets_it_first(desk: Desk) -> None:
    """Guarded and not: as long as one running port lacks the variable, libvirt refuses the filter."""
    leaf = desk.repository / "filters" / "guest-ipv4-source.xml"
    rule = "<rule action='drop' direction='out' priority='150'><ip dstipaddr='$FORBIDDEN'/></rule>\n</filter>"
    leaf.write_text(leaf.read_text().replace("</filter>", rule))
    more = b"    parameters: {FORBIDDEN: [192.0.2.7, 192.0.2.8]}\n"
    desk.commit(**{name: content + more for name, content in FIRST.items()})
    desk.apply()
    assert desk.document("diff")["drift"] == []
    assert_proven(desk.lab, desk.document("verify", exit_code=int(of_nft(desk.lab))))
