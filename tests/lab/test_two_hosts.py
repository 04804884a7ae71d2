"""Two labs as two hosts that follow one repository: each takes its own, and an address moves only when it is free."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from installed import rule_lines
from repositories import Repository
from sites import EXAMPLE, SITE, guest_yaml, mac

from reconciler.host.processes import run
from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.handle import Lab
from reconciler.lab.labs import lab as new_lab

pytestmark = pytest.mark.lab

HOME = {"web01": "kvm01", "db01": "kvm02"}


class Fleet:
    """Two hosts, a guest on each, and what they publish."""

    def __init__(self, labs: dict[str, Lab], folder: Path) -> None:
        self.labs = labs
        self.folder = folder
        self.repository = Repository(folder / "origin")
        shutil.copytree(EXAMPLE / "filters", self.repository.folder / "state/filters")
        self.repository.write("site.yaml", SITE.decode() + "hosts: {kvm01: {}, kvm02: {}}\n")
        for number, (guest, host) in enumerate(HOME.items(), 1):
            xml = folder / f"{guest}.xml"
            xml.write_text(tiny_domain_xml(guest, [NicSpec(mac(number))]))
            self.virsh(host, "define", str(xml))
            self.virsh(host, "start", guest)

    def virsh(self, host: str, *words: str) -> str:
        lab = self.labs[host]
        return lab.run(["virsh", "--connect", lab.uri, *words]).stdout

    def commit(self, **addresses: str) -> str:
        for number, (guest, host) in enumerate(HOME.items(), 1):
            text = guest_yaml(guest, number, addresses[guest], more=f"hosts: [{host}]").decode()
            self.repository.write(f"guests/{guest}.yaml", text)
        return self.repository.commit()

    def run(self, host: str, *words: str, expected: int = 0, verb: str = "run") -> dict[str, Any]:
        config = self.folder / f"{host}.yaml"
        keys = {
            "connect": self.labs[host].uri, "repo": str(self.repository.folder), "var": str(self.folder / host),
            "host": host, "publish": "branch notes",
        }  # fmt: skip
        config.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in keys.items()))
        argv = [sys.executable, "-m", "reconciler", "--config", str(config), "--output", "json", verb, *words]
        ended = run(argv, check=False, timeout=120)
        assert ended.returncode == expected, ended.stdout + ended.stderr
        found: dict[str, Any] = json.loads(ended.stdout)
        return found

    def published(self, host: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.repository.git("show", f"refs/heads/reports/{host}:report.json"))
        return found

    def rules(self, host: str) -> str:
        return "\n".join(rule_lines(self.labs[host]))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with ExitStack() as stack:
        labs = {host: stack.enter_context(new_lab()) for host in ("kvm01", "kvm02")}
        yield Fleet(labs, tmp_path)


def test_each_host_takes_its_own_and_an_address_moves_only_when_the_other_has_let_go(fleet: Fleet) -> None:
    first = fleet.commit(web01="[10.0.0.10]", db01="[10.0.0.20]")
    for host, guest in (("kvm01", "web01"), ("kvm02", "db01")):
        told = fleet.run(host)
        assert told["outcome"] == "applied" and {each["guest"] for each in told["interfaces"]} == {guest}
    assert fleet.published("kvm01")["held"] == [{"guest": "web01", "addresses": ["10.0.0.10/32"]}]
    assert fleet.published("kvm02")["held"] == [{"guest": "db01", "addresses": ["10.0.0.20/32"]}]
    for host in ("kvm01", "kvm02"):
        assert f"{host}: applied" in fleet.repository.git("notes", f"--ref=reconciler/{host}", "show", first)

    moved = fleet.commit(web01="[10.0.0.11]", db01="[10.0.0.10]")
    waits = fleet.run("kvm02", expected=3)
    assert {each["why"] for each in waits["waiting"]} == {"release"}
    assert "kvm01 has not said that it let go" in waits["waiting"][0]["hint"]
    assert "10.0.0.10" not in fleet.rules("kvm02"), "it was claimed before it was free"
    assert fleet.run("kvm02", expected=0, verb="plan")["waiting"] == waits["waiting"]
    assert fleet.published("kvm02")["outcome"] == "waiting"

    assert fleet.run("kvm01")["source"] == moved
    assert "10.0.0.10" not in fleet.rules("kvm01")
    claimed = fleet.run("kvm02")
    assert claimed["outcome"] == "applied" and "10.0.0.10" in fleet.rules("kvm02")
    assert fleet.run("kvm02")["outcome"] == "in-sync"


def test_without_the_release_nothing_is_claimed_unless_somebody_says_that_the_host_is_gone(fleet: Fleet) -> None:
    fleet.commit(web01="[10.0.0.10]", db01="[10.0.0.20]")
    fleet.run("kvm01")
    fleet.run("kvm02")
    fleet.commit(web01="[10.0.0.11]", db01="[10.0.0.10]")
    fleet.repository.git("update-ref", "-d", "refs/heads/reports/kvm01")
    fleet.run("kvm02", expected=3)
    forged = fleet.published("kvm02") | {"source": "--help", "outcome": "applied", "held": "none"}
    blob = fleet.repository.git("hash-object", "-w", "--stdin", stdin=json.dumps(forged).encode())
    tree = fleet.repository.git("mktree", stdin=f"100644 blob {blob}\treport.json\n".encode())
    fleet.repository.git("update-ref", "refs/heads/reports/kvm01", fleet.repository.git("commit-tree", "-m", "x", tree))
    fleet.run("kvm02", expected=3)
    assert "10.0.0.10" not in fleet.rules("kvm02")
    fleet.run("kvm02", "--released", "kvm01")
    assert "10.0.0.10" in fleet.rules("kvm02")


def test_a_suspended_guest_is_left_alone_and_the_report_says_so(fleet: Fleet) -> None:
    fleet.commit(web01="[10.0.0.10]", db01="[10.0.0.20]")
    fleet.run("kvm01")
    fleet.run("kvm01", "guest/web01", "--reason", "moving its disk", verb="suspend")
    fleet.commit(web01="[10.0.0.11]", db01="[10.0.0.20]")
    told = fleet.run("kvm01")
    assert (told["outcome"], told["suspended"], told["steps"]) == ("suspended", ["guest/web01"], [])
    assert "10.0.0.10" in fleet.rules("kvm01") and "10.0.0.11" not in fleet.rules("kvm01")
    assert fleet.published("kvm01")["suspended"] == ["guest/web01"]
    fleet.run("kvm01", verb="resume")
    assert fleet.run("kvm01")["outcome"] == "applied"
    assert "10.0.0.11" in fleet.rules("kvm01")


def test_doctor_says_what_this_host_lacks(fleet: Fleet) -> None:
    fleet.commit(web01="[10.0.0.10]", db01="[10.0.0.20]")
    found = {each["id"]: each for each in fleet.run("kvm01", verb="doctor")["checks"]}
    assert found["libvirt"]["health"] == found["repository"]["health"] == found["rights"]["health"] == "ok"
    assert found["signature"]["health"] == found["hook"]["health"] == "warning"
    assert "9.0" in found["versions"]["message"] or found["versions"]["health"] == "ok"
    fleet.repository.folder.rename(fleet.folder / "away")
    broken = {each["id"]: each for each in fleet.run("kvm01", verb="doctor", expected=1)["checks"]}
    assert broken["repository"]["health"] == "failed" and broken["repository"]["message"]
