"""What was told of a host is told again only while the host answers what it answered then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from settled import Host, start_guests, write_site
from sites import guest_yaml

from reconciler.errors import HostTimeout
from reconciler.host import glance, session
from reconciler.lab.labs import lab as new_lab
from reconciler.model.kernel import Backend
from reconciler.records.suspensions import Suspension, suspend

pytestmark = pytest.mark.lab

GUESTS = {
    "web01": guest_yaml("web01", 1, "[10.0.0.10]", '["2001:db8::10"]'),
    "fw01": guest_yaml("fw01", 2, "[10.0.0.40]", "none").replace(b"    segment", b"    filter: walled\n    segment"),
}
SUPPLEMENT = b"policy: {supplement: nftables, flood_limit: {rate: 50}}\n"
VERB = """
import sys
from reconciler.cli import main
code = main(sys.argv[1:])
print("understood" if {"reconciler.diff", "lxml.etree"} & set(sys.modules) else "recalled", file=sys.stderr)
sys.exit(code)
"""


class Told(NamedTuple):
    code: int
    out: str
    recalled: bool
    err: str


class Watched(Host):
    """A host whose verbs are processes, as a timer starts them."""

    def tell(self, *words: str, var: Path | None = None) -> Told:
        where = ("--connect", self.lab.uri, "--site", str(self.settings.site), "--host", "kvm01")
        argv = [sys.executable, "-c", VERB, *where, "--var", str(var or self.settings.var), *words]
        ended = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        return Told(ended.returncode, ended.stdout, ended.stderr.endswith("recalled\n"), ended.stderr)

    def document(self, verb: str, var: Path | None = None) -> tuple[dict[str, Any], bool]:
        told = self.tell("--output", "json", verb, var=var)
        found: dict[str, Any] = json.loads(told.out)
        return {key: value for key, value in found.items() if key not in ("time", "seconds")}, told.recalled


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("agreements")
    write_site(folder / "site", GUESTS)
    site = folder / "site/site.yaml"
    site.write_bytes(site.read_bytes() + SUPPLEMENT)
    (folder / "var").mkdir(mode=0o700)
    with new_lab(bridges=("br0",)) as lab:
        start_guests(lab, folder, GUESTS)
        running = Watched(lab, folder)
        running.converge()
        yield running


def agree(host: Watched, *verbs: str) -> None:
    """Until each of these verbs has told twice what it tells."""
    host.converge()
    for verb in verbs:
        told = [host.tell(verb) for _ in range(2)]
        assert told[-1].recalled, told[-1].err
        assert told[0][:2] == told[1][:2]


@pytest.mark.parametrize("verb", ["diff", "run", "report", "apply"])
def test_what_is_told_again_is_what_would_be_found(host: Watched, verb: str, tmp_path: Path) -> None:
    agree(host, verb)
    anew, looked = host.document(verb, var=tmp_path)
    again, recalled = host.document(verb)
    assert (looked, recalled) == (False, True)
    assert again == anew
    assert anew.get("interfaces") or verb == "diff"


def test_what_the_site_does_not_name_is_told_again(host: Watched, tmp_path: Path) -> None:
    agree(host, "diff")
    path = tmp_path / "theirs.xml"
    path.write_text("<filter name='theirs' chain='root'/>")
    host.virsh("nwfilter-define", str(path))
    try:
        told = [host.tell("diff") for _ in range(2)]
        assert [each.recalled for each in told] == [False, True]
        assert "theirs" in told[0].out
        assert told[0].out == told[1].out
    finally:
        host.virsh("nwfilter-undefine", "theirs")


def counters(host: Watched) -> list[str]:
    return [line for line in host.lab.run(["iptables-save"]).stdout.splitlines() if line.startswith(":")]


def need_iptables(host: Watched) -> None:
    if host.lab.system.backend is Backend.NFTABLES:
        pytest.skip("where libvirt uses nft, what iptables says of packets decides nothing about a guest")


def test_packets_that_are_counted_change_nothing(host: Watched) -> None:
    need_iptables(host)
    agree(host, "diff")
    before = counters(host)
    counted = "*filter\n:FORWARD ACCEPT [7:900]\nCOMMIT\n"
    host.lab.run(["iptables-restore", "--counters", "--noflush"], stdin=counted)
    assert counters(host) != before
    assert host.tell("diff").recalled


def _guard(host: Watched) -> str:
    return next(word for word in host.virsh("nwfilter-list").split() if word.startswith("guard-web01"))


def _rewrite_guard(host: Watched) -> None:
    path = host.settings.var.parent / "guard.xml"
    path.write_text(host.virsh("nwfilter-dumpxml", _guard(host)).replace("10.0.0.10", "10.0.0.11"))
    host.virsh("nwfilter-define", str(path))


def _edit_file(host: Watched) -> None:
    path = Path(f"/proc/{host.lab.daemon_pid}/root/etc/libvirt/nwfilter/{_guard(host)}.xml")
    text = path.read_text()
    path.write_text(text.replace("10.0.0.10", "10.0.0.11"))


def _change_stored(host: Watched) -> None:
    path = host.settings.var.parent / "stored.xml"
    path.write_text(host.virsh("dumpxml", "--inactive", "web01").replace(_guard(host), "clean-traffic"))
    host.virsh("define", str(path))


def _change_running(host: Watched) -> None:
    mac = host.virsh("domiflist", "web01").split()[-1]
    host.virsh("domif-setlink", "web01", mac, "down")


def _delete_rule(host: Watched) -> None:
    chain = f"libvirt-I-{host.port('web01')}"
    host.lab.run(["ebtables", "-t", "nat", "-D", chain, "1"], check=False)


CHANGES: dict[str, Callable[[Watched], object]] = {
    "a guard": _rewrite_guard,
    "a filter's file": _edit_file,
    "a stored definition": _change_stored,
    "a running one": _change_running,
    "autostart": lambda host: host.virsh("autostart", "fw01"),
    "a rule of frames": lambda host: host.lab.run(["ebtables", "-t", "nat", "-I", "PREROUTING", "-j", "ACCEPT"]),
    "a rule of packets": lambda host: host.lab.run(["iptables", "-I", "FORWARD", "-j", "ACCEPT"]),
    "the supplement": lambda host: host.lab.run(["nft", "flush", "table", "bridge", "reconciler"]),
    "a binding": lambda host: host.virsh("nwfilter-binding-delete", host.port("web01")),
    "a device": lambda host: host.lab.run(["ip", "link", "add", f"new{time.monotonic_ns() % 10**6}", "type", "bridge"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_of_the_host_is_looked_at(host: Watched, change: str, tmp_path: Path) -> None:
    if change == "a rule of packets":
        need_iptables(host)
    agree(host, "diff", "report")
    CHANGES[change](host)
    for verb in ("diff", "report"):
        anew, _ = host.document(verb, var=tmp_path)
        found, recalled = host.document(verb)
        assert not recalled
        assert found == anew


def test_a_change_of_the_site_is_looked_at(host: Watched) -> None:
    agree(host, "diff")
    host.write({"web01": GUESTS["web01"].replace(b"10.0.0.10", b"10.0.0.12")})
    try:
        told = host.tell("diff")
        assert (told.code, told.recalled) == (1, False)
        assert "10.0.0.12" in told.out
    finally:
        host.write(GUESTS)


def test_a_suspended_host_is_looked_at_by_those_who_change_it(host: Watched) -> None:
    agree(host, "run")
    now = datetime.now(UTC)
    suspend(host.settings.var, Suspension("host", "maintenance", now, now + timedelta(hours=1)))
    try:
        assert not host.tell("run").recalled
    finally:
        (host.settings.var / "suspended.json").unlink()


def test_an_interrupted_run_is_looked_at(host: Watched) -> None:
    agree(host, "diff", "run")
    journal = host.settings.var / "journal/20261125T000000.000000Z-0.jsonl"
    journal.write_text('{"event": "run", "epoch": 1}\n')
    try:
        told = host.tell("diff")
        assert not told.recalled
        assert "was interrupted" in told.err
        assert not host.tell("run").recalled
    finally:
        journal.unlink(missing_ok=True)


def test_another_host_of_the_site_is_looked_at(host: Watched) -> None:
    agree(host, "diff")
    site = host.settings.site
    assert site is not None
    assert not host.tell("--host", "kvm02", "diff").recalled
    assert host.tell("diff").recalled


def test_an_agreement_that_somebody_else_could_have_written_is_none(host: Watched) -> None:
    agree(host, "diff")
    for path in (host.settings.var / "agreed").iterdir():
        path.chmod(0o660)
    assert not host.tell("diff").recalled


def test_a_daemon_that_hangs_is_told_as_ever(host: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    account = host.survey().live.account
    assert account is not None
    assert glance.is_as_before(host.lab.uri, account)
    monkeypatch.setattr(session.open_session, "__defaults__", (1.0,))
    assert host.lab.daemon_pid is not None
    os.kill(host.lab.daemon_pid, signal.SIGSTOP)
    try:
        with pytest.raises(HostTimeout, match="did not answer within 1 s"):
            glance.is_as_before(host.lab.uri, account)
    finally:
        os.kill(host.lab.daemon_pid, signal.SIGCONT)
