"""What guests can do, asked of a real host: `verify --explain`, `trace --live` and `status` on the kernel's rules."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from installed import of_nft, proof
from sites import EXAMPLE, SITE, guest_yaml, mac

from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.handle import Lab
from reconciler.lab.labs import lab as new_lab
from reconciler.model.kernel import Backend

pytestmark = pytest.mark.lab

GUESTS = {
    "web01": guest_yaml("web01", 1, "[10.0.0.10]", '["2001:db8::10"]'),
    "own01": guest_yaml("own01", 2, "[10.0.0.20]").replace(b"attach", b"filter: clean-traffic\n    attach"),
    "off01": guest_yaml("off01", 3, "[10.0.0.30]"),
}
PLAIN, LEARNING = 4, 5
BY_HAND = {"plain01": (PLAIN, ""), "learn01": (LEARNING, "<filterref filter='clean-traffic'/>")}


@dataclass
class Desk:
    """A lab whose guests are as the site says, and two more that somebody started by hand, which it names."""

    lab: Lab
    site: Path
    var: Path

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        where = ["--connect", self.lab.uri, "--site", str(self.site), "--var", str(self.var)]
        argv = [sys.executable, "-m", "reconciler", *where, *arguments]
        return subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def document(self, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
        ended = self.command("--output", "json", *arguments)
        assert ended.returncode == exit_code, ended.stdout + ended.stderr
        found: dict[str, Any] = json.loads(ended.stdout)
        return found

    def start(self, name: str, number: int, filterref: str = "") -> None:
        path = self.var / f"{name}.xml"
        path.write_text(tiny_domain_xml(name, [NicSpec(mac(number), filterref_xml=filterref)]))
        self.virsh("define", str(path))
        self.virsh("start", name)

    def virsh(self, *arguments: str) -> str:
        return self.lab.run(["virsh", "--connect", self.lab.uri, *arguments]).stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    site, var = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("var")
    for folder in ("guests", "filters"):
        (site / folder).mkdir()
    for path in (EXAMPLE / "filters").glob("*.xml"):
        (site / "filters" / path.name).write_bytes(path.read_bytes())
    (site / "site.yaml").write_bytes(SITE)
    for name, content in GUESTS.items():
        (site / "guests" / f"{name}.yaml").write_bytes(content)
    with new_lab() as lab:
        desk = Desk(lab, site, var)
        for number, name in enumerate(GUESTS, 1):
            desk.start(name, number)
        applied = desk.command("apply")
        assert applied.returncode == 0, applied.stdout + applied.stderr
        desk.virsh("destroy", "off01")
        for name, (number, filterref) in BY_HAND.items():
            (site / "guests" / f"{name}.yaml").write_bytes(guest_yaml(name, number, f"[10.0.0.{number}0]"))
            desk.start(name, number, filterref)
        yield desk


ADVERTISEMENT = {Backend.IPTABLES: "router-advertisement", Backend.NFTABLES: "icmpv6 type 134"}


def test_a_case_is_explained_by_the_filters_rule_behind_the_kernels(desk: Desk) -> None:
    found = desk.document("verify", "--explain", "nd-ra", "--explain", "l2-lldp", "--guest", "web01", exit_code=1)
    told = {case["case"]: case for case in found["cases"] if "path" in case}
    assert set(told) == {"nd-ra", "l2-lldp"}
    assert {case["guest"] for case in told.values()} == {"web01"}
    advertisement = told["nd-ra"]
    assert (advertisement["expected"], advertisement["got"], advertisement["layer"]) == ("drop", "drop", "kernel")
    assert advertisement["frame"].endswith("icmpv6 134")
    *_, last = advertisement["path"]
    assert (last["file"], last["target"]) == ("filters/guest-ipv6-source.xml", "DROP")
    assert last["rule"] == advertisement["rule"] and ADVERTISEMENT[desk.lab.system.backend] in last["rule"]
    assert told["l2-lldp"]["path"][-1]["file"] == "filters/guest-nothing-else.xml"


def test_libvirts_own_filters_are_named_too(desk: Desk) -> None:
    ended = desk.command("verify", "--explain", "arp-request-foreign", "--guest", "own01")
    assert "own01 52:54:00:00:00:02 arp-request-foreign: expected drop, got drop, on the kernel's rules" in ended.stdout
    assert "DROP by filter/no-arp-ip-spoofing, rule 2" in ended.stdout


def test_what_leaks_through_clean_traffic_is_explained(desk: Desk) -> None:
    ended = desk.command("verify", "--explain", "dhcpv4-server", "--guest", "own01")
    assert "dhcpv4-server: expected drop, got pass" in ended.stdout
    assert "ACCEPT by filter/clean-traffic, rule 1" in ended.stdout


def test_frames_that_were_sent_are_explained_as_they_are_foretold(desk: Desk) -> None:
    found = desk.document("verify", "--frames", "--explain", "nd-ra", "--explain", "l2-lldp", exit_code=1)
    told = {(case["guest"], case["case"]): case for case in found["cases"] if "path" in case}
    assert {guest for guest, case in told if case == "nd-ra"} == {"web01"}
    case = told["web01", "nd-ra"]
    assert (case["layer"], case["got"], case["path"][-1]["filter"]) == ("frames", "drop", "guest-ipv6-source")
    of_libvirts_own = told["own01", "l2-lldp"]
    assert (of_libvirts_own["got"], of_libvirts_own["path"]) == ("drop", [])
    assert "no interface here has a case" in desk.command("verify", "--frames", "--explain", "rules-installed").stderr


def test_an_unknown_case(desk: Desk) -> None:
    ended = desk.command("verify", "--explain", "nd-rx")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[0] == "error: no interface here has a case 'nd-rx'"
    assert "nd-ra" in ended.stderr.splitlines()[1]


def test_a_trace_on_the_rules_of_a_running_guest(desk: Desk) -> None:
    found = desk.document("trace", "own01", "--live", "ip", "src", "10.0.0.99")
    [case] = found["cases"]
    assert (case["got"], case["layer"]) == ("drop", "kernel")
    assert case["path"][-1]["filter"] == "no-ip-spoofing"
    assert desk.command("trace", "own01", "ip").returncode == 2
    stopped = desk.command("trace", "off01", "--live", "ip")
    assert stopped.returncode == 2 and "does not run on this host" in stopped.stderr


def test_what_is_foretold_is_what_the_kernel_does(desk: Desk) -> None:
    """Without a host the rules of ebtables are foretold, which see behind extension headers, as those of nft do not."""
    for words in ("ip", "ip src 10.0.0.99", "arp sender 10.0.0.99", "ipv6 hop-by-hop icmpv6 ra", "vlan 5 ip"):
        told = [desk.document("trace", "web01", words, *live)["cases"][0] for live in ([], ["--live"])]
        if of_nft(desk.lab) and "hop-by-hop" in words:
            assert [case["got"] for case in told] == ["drop", "pass"]
            continue
        steps = [[(step["filter"], step["number"]) for step in case["path"] if step["filter"]] for case in told]
        assert told[0]["got"] == told[1]["got"] and steps[0] == steps[1], words


def test_the_status_of_each_interface(desk: Desk) -> None:
    found = {each["guest"]: each for each in desk.document("status")["interfaces"]}
    shown = {name: (each["filter"], each["state"]) for name, each in found.items()}
    assert shown == {
        "web01": ("guest-dual-stack", proof(desk.lab)),
        "own01": ("clean-traffic", "present"),
        "off01": ("guest-ipv4", "not-running"),
        "plain01": (None, "absent"),
        "learn01": ("clean-traffic", shown["learn01"][1]),
    }
    flags = {name: set(each["flags"]) for name, each in found.items()}
    unseen = {"no-ra-guard", "no-dhcp-server-guard"} if of_nft(desk.lab) else set()
    assert flags["web01"] == {"no-nd-guard"} | unseen
    assert flags["own01"] == {"ipv4-only", "no-dhcp-server-guard"}
    assert flags["off01"] == {"ipv4-only"}
    assert "unfiltered" in flags["plain01"]
    assert "address-learning" in flags["learn01"]
    scores = {name: each["score"] for name, each in found.items()}
    assert scores["off01"] == 1 > max(scores["web01"], scores["own01"])
    assert min(scores["web01"], scores["own01"]) > scores["plain01"] > 0
    # clean-traffic, which drops all IPv6, has nothing that nft's rules could fail to see.
    assert (scores["web01"] > scores["own01"]) is not of_nft(desk.lab)


def test_the_status_says_of_each_what_verify_says(desk: Desk) -> None:
    proofs = {each["mac"]: each["proof"] for each in desk.document("verify", exit_code=1)["interfaces"]}
    states = {each["mac"]: each["state"] for each in desk.document("status")["interfaces"]}
    assert states == proofs


def test_the_status_is_a_line_an_interface(desk: Desk) -> None:
    ended = desk.command("status")
    assert ended.returncode == 0
    lines = [line for line in ended.stdout.splitlines() if mac(1)[:8] in line]
    assert len(lines) == len(GUESTS) + len(BY_HAND)
