"""`run`, as a timer starts it, on a real libvirtd: it converges, it answers in any case, it stays with what it has."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sandboxed
from installed import of_nft
from repositories import OpenPgp, Repository, allowed_signers, make_ssh_key, sign_with_ssh
from sandboxed import left_by
from sites import EXAMPLE, SITE, guest_yaml, mac

from reconciler import units
from reconciler.host.processes import Completed, run
from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.handle import Lab

pytestmark = pytest.mark.lab


@dataclass
class Timer:
    """A host of the lab, its repository, and its configuration."""

    lab: Lab
    repository: Repository
    folder: Path

    def configure(self, **keys: str) -> None:
        told = {"connect": self.lab.uri, "repo": str(self.repository.folder), "var": str(self.folder / "var")} | keys
        text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in {"host": "kvm01", **told}.items())
        (self.folder / "config.yaml").write_text(text)

    def command(self, *words: str, expected: int = 0) -> Completed:
        words = ("--config", str(self.folder / "config.yaml"), *words)
        ended = run([sys.executable, "-m", "reconciler", *words], check=False, timeout=120)
        assert ended.returncode == expected, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
        return ended

    def run(self, *words: str, expected: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.command("--output", "json", "run", *words, expected=expected).stdout)
        return found

    def by_hand(self, address: str) -> None:
        name = next(n for n in self.virsh("nwfilter-list").split() if n.startswith("guard-web01"))
        text = self.virsh("nwfilter-dumpxml", name).replace("10.0.0.10", address)
        path = self.folder / "guard.xml"
        path.write_text(text)
        self.virsh("nwfilter-define", str(path))

    def virsh(self, *words: str) -> str:
        return self.lab.run(["virsh", "--connect", self.lab.uri, *words]).stdout


@pytest.fixture
def timer(lab: Lab, tmp_path: Path) -> Timer:
    repository = Repository(tmp_path / "origin")
    shutil.copytree(EXAMPLE / "filters", repository.folder / "state/filters")
    repository.write("site.yaml", SITE.decode() + "hosts: {kvm01: {}}\n")
    repository.write("guests/web01.yaml", guest_yaml("web01", 1, "[10.0.0.10]").decode())
    repository.commit()
    xml = tmp_path / "web01.xml"
    xml.write_text(tiny_domain_xml("web01", [NicSpec(mac(1))]))
    timer = Timer(lab, repository, tmp_path)
    timer.virsh("define", str(xml))
    timer.virsh("start", "web01")
    timer.configure()
    return timer


def test_a_timers_runs_from_the_first_commit_to_the_last(timer: Timer) -> None:
    """One story on one lab: apply, nothing to do, drift, a remote that is down, a bad site, a rewound branch."""
    first = timer.run()
    assert (first["outcome"], first["execution"]["ok"], first["drift"]) == ("applied", True, [])
    assert {each["proof"] for each in first["interfaces"]} == {"enforced"}

    again = timer.run()
    assert (again["outcome"], again["steps"], again["found"]) == ("in-sync", [], [])

    page = timer.command("status").stdout
    assert f"kvm01: {first['source'][:12]}, applied since" in page and "the repository answered 0:00:0" in page
    assert "nothing differs, nothing waits" in page and "enforced" in page

    timer.by_hand("10.0.0.66")
    health = json.loads(timer.command("--output", "json", "status").stdout)
    assert health["applied"]["commit"] == first["source"] and health["asked"] and health["drift"]
    looked = json.loads(timer.command("--output", "json", "report", expected=1).stdout)
    assert looked["outcome"] == "drift" and looked["drift"] and looked["found"] == looked["drift"]
    mended = timer.run()
    assert mended["outcome"] == "applied" and mended["drift"] == []
    assert mended["found"] == looked["drift"]

    timer.by_hand("10.0.0.66")
    timer.repository.folder.rename(timer.folder / "away")
    held = timer.run()
    assert (held["outcome"], held["source"], held["drift"]) == ("applied", first["source"], [])
    assert held["stale_since"] and "could not fetch main" in held["error"]["message"]
    assert "does not answer since" in timer.command("run").stdout
    looked_at = timer.command("diff")
    assert "could not fetch main" in looked_at.stderr and "the last one that passed every check" in looked_at.stderr
    assert "nothing differs" in timer.command("status").stdout
    timer.command("apply", "--yes", expected=1)
    (timer.folder / "away").rename(timer.repository.folder)

    timer.repository.write("guests/web01.yaml", guest_yaml("web01", 1, "[10.0.9.9]").decode())
    bad = timer.repository.commit()
    refused = timer.run(expected=1)
    assert (refused["outcome"], refused["source"], refused["steps"]) == ("invalid", bad, [])
    assert refused["problems"][0]["path"] == "guests/web01.yaml"

    timer.repository.write("guests/web01.yaml", guest_yaml("web01", 1, "[10.0.0.11]").decode())
    good = timer.repository.commit()
    assert (timer.run()["outcome"], timer.run()["source"]) == ("applied", good)

    timer.repository.git("reset", "--quiet", "--hard", first["source"])
    timer.by_hand("10.0.0.66")
    rewound = timer.run(expected=1)
    assert (rewound["outcome"], rewound["source"]) == ("refused", good)
    assert "does not descend from" in rewound["error"]["message"]
    timer.command("apply", "--yes", expected=1)
    timer.command("apply", "--yes", "--allow-rewind")
    assert timer.run()["source"] == first["source"]


def test_an_unsigned_commit_is_refused_and_the_signed_one_stays_in_force(timer: Timer) -> None:
    key = make_ssh_key(timer.folder, "signer")
    timer.configure(signature="commit", signers=str(allowed_signers(timer.folder, key)))
    nothing = timer.run(expected=1)
    assert (nothing["outcome"], nothing["source"]) == ("failed", None)
    signed = timer.repository.commit("signed", *sign_with_ssh(key))
    assert timer.run()["source"] == signed
    timer.repository.write("guests/web01.yaml", guest_yaml("web01", 1, "[10.0.0.66]").decode())
    unsigned = timer.repository.commit("unsigned")
    told = timer.run(expected=1)
    assert (told["outcome"], told["source"], told["steps"]) == ("refused", signed, [])
    assert unsigned[:12] in told["error"]["message"] and "not signed" in told["error"]["message"]


def test_what_waits_for_somebody_ends_with_3_and_is_told(timer: Timer) -> None:
    timer.repository.write("site.yaml", SITE.decode() + "hosts: {kvm01: {}}\npolicy: {disruption: none}\n")
    timer.repository.commit()
    told = timer.run(expected=3)
    assert told["outcome"] == "waiting" and told["waiting"]
    timer.run("--allow", "rebuild")


def test_a_run_while_another_one_is_at_work_is_an_error_and_no_report(timer: Timer) -> None:
    timer.configure(publish="branch")
    timer.run()
    before = timer.repository.git("rev-parse", "refs/heads/reports/kvm01")
    with (timer.folder / "var/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = timer.command("run", expected=1)
    assert "another reconciler is at work" in ended.stderr
    assert timer.repository.git("rev-parse", "refs/heads/reports/kvm01") == before


def test_a_host_that_cannot_be_reached_is_a_failed_run_with_a_reason(timer: Timer) -> None:
    timer.configure(connect="qemu+unix:///system?socket=/nowhere")
    told = timer.run(expected=1)
    assert told["outcome"] == "failed" and "/nowhere" in told["error"]["message"]


def test_the_rights_and_system_calls_that_the_unit_leaves_are_enough_for_all_that_a_run_does(timer: Timer) -> None:
    """In the lab's own namespaces, as on a host; without a right or a system call that the unit does not name."""
    if of_nft(timer.lab) and timer.lab.system.foreign:
        pytest.skip("without rights no tree's nft can be run, and the machine's own cannot read its rules")
    unit = (Path(units.__file__).parent / "reconciler.service").read_text()
    [kept] = re.findall("^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)
    rights = ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in kept.split())])
    calls = ",".join(map(str, left_by(unit)))
    held = ["setpriv", f"--bounding-set={rights}", "--no-new-privs", "--"]
    held += [sys.executable, sandboxed.__file__, calls]
    status = timer.lab.run([*held, "cat", "/proc/self/status"]).stdout
    assert "CapEff:\t0000000000003000" in status and "Seccomp:\t2" in status, "the test drops nothing"
    assert "permission denied" in timer.lab.run([*held, "mount", "-t", "tmpfs", "x", "/mnt"], check=False).stderr

    key, pgp = make_ssh_key(timer.folder, "signer"), OpenPgp(timer.folder / "pgp", "signer")
    timer.configure(
        connect="qemu:///system", metrics_file=str(timer.folder / "reconciler.prom"), publish="branch notes",
        signature="commit", signers=str(allowed_signers(timer.folder, key)),
        keyring=str(pgp.export(timer.folder / "keyring")),
    )  # fmt: skip
    command = [*held, sys.executable, "-m", "reconciler", "--config", str(timer.folder / "config.yaml")]
    timer.repository.commit("signed with ssh", *sign_with_ssh(key))
    timer.lab.run([*command, "run"], timeout=120)
    timer.repository.write("guests/web01.yaml", guest_yaml("web01", 1, "[10.0.0.12]", attach="direct").decode())
    timer.repository.commit("signed with gpg", *pgp.program())
    ended = timer.lab.run([*command, "--output", "json", "run"], timeout=120)
    told = json.loads(ended.stdout)
    assert (told["outcome"], told["drift"]) == ("applied", [])
    assert {each["proof"] for each in told["interfaces"]} == {"enforced"}
    assert "change-live-filterref" in {step["kind"] for step in told["steps"]}, "no port was closed meanwhile"
    assert "reconciler_last_success_timestamp_seconds" in (timer.folder / "reconciler.prom").read_text()
    assert timer.repository.git("rev-parse", "refs/heads/reports/kvm01")
    ssh = timer.lab.run([*held, "ssh", "-o", "BatchMode=yes", "-p", "1", "127.0.0.1"], check=False)
    assert "Connection refused" in ssh.stderr or "Network is unreachable" in ssh.stderr, ssh.stderr
