"""A guest moves between two hosts while it runs: what it may send comes with it, and nobody changes that meanwhile."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import libvirt
import pytest
from conftest import Eventually
from frames import stream, udp_frame
from installed import flush_port
from settled import Host, write_site
from sites import guest_yaml, mac

from reconciler.cli import main
from reconciler.host.processes import clean_environment
from reconciler.lab import labs
from reconciler.lab.console import Console
from reconciler.lab.guests import GuestImage, NicSpec, domain_xml, tiny_domain_xml
from reconciler.lab.ports import add_port, remove_port

pytestmark = pytest.mark.lab

OWN, NEIGHBOUR, OTHER = "10.0.0.11", "10.0.0.12", "10.0.0.21"
GUESTS = {"web01": guest_yaml("web01", 1, f"[{OWN}]"), "db01": guest_yaml("db01", 2, f"[{NEIGHBOUR}]")}
CHANGED = {"web01": guest_yaml("web01", 1, f"[{OTHER}]"), "db01": guest_yaml("db01", 2, "[10.0.0.22]")}
FORGED = "10.0.0.66"
FRAMES = {"own": udp_frame(mac(1), OWN), "forged": udp_frame(mac(1), FORGED)}
IP_OF = {each: ip_address(each).packed + ip_address("10.0.0.255").packed for each in (OWN, FORGED)}
OVERHEAR = Path(__file__).parent / "overhear.py"
GUARD = "guard-web01-000001"
FLAGS = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
SLOW, FAST = 1, 4000  # MiB a second


@dataclass
class Pair:
    """Two hosts with one site: web01 runs on the first, and db01, which stays, on each has a namesake of its own."""

    here: Host
    there: Host
    road: Path

    def write(self, guests: dict[str, bytes]) -> None:
        for host in (self.here, self.there):
            host.write(guests)

    def need_a_road(self) -> None:
        if self.here.lab.system.foreign:
            pytest.skip("a migrating guest needs a folder of both daemons, and releases' trees have none")

    def migrate(self, bandwidth: int = FAST) -> None:
        with opened(self.here) as source, opened(self.there) as target:
            # Each lab has a /run of its own, so the way between them is in a folder that both have.
            way = {"migrate_uri": f"unix://{self.road}/guest.sock", "bandwidth": bandwidth}
            source.lookupByName("web01").migrate3(target, way, FLAGS)

    @contextmanager
    def slowly_migrating(self, eventually: Eventually) -> Iterator[None]:
        """The guest is on its way as long as the block lasts, and has arrived after it."""
        with ThreadPoolExecutor(1) as pool, opened(self.here) as source, opened(self.there) as target:
            migration = pool.submit(self.migrate, SLOW)
            eventually(lambda: "web01" in {each.name() for each in target.listAllDomains()}, "it is on its way")
            guest = source.lookupByName("web01")
            try:
                yield
                assert not migration.done(), "it arrived too early for the test"
            finally:
                guest.migrateSetMaxSpeed(FAST)
            migration.result(60)


@contextmanager
def opened(host: Host) -> Iterator[Any]:
    connection = libvirt.open(host.lab.uri)
    try:
        yield connection
    finally:
        connection.close()


@pytest.fixture
def pair(tmp_path: Path, guest_image: GuestImage) -> Iterator[Pair]:
    with ExitStack() as stack:
        road = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        hosts = []
        for name in ("here", "there"):
            write_site(tmp_path / name / "site", GUESTS)
            lab = stack.enter_context(labs.lab())
            lab.run(["ip", "address", "add", "10.0.0.1/24", "dev", "br0"])
            hosts.append(Host(lab, tmp_path / name))
            with opened(hosts[-1]) as connection:
                connection.defineXML(tiny_domain_xml("db01", [NicSpec(mac(2))])).create()
        pair = Pair(hosts[0], hosts[1], road)
        with opened(pair.here) as connection:
            connection.defineXML(domain_xml("web01", guest_image, [NicSpec(mac(1))])).create()
        for host in hosts:
            host.converge()
        with Console(pair.here.lab, "web01") as console:
            console.wait_for_prompt()
            for address in (OWN, FORGED):
                console.command(f"ip address add {address}/24 dev eth0")
        yield pair


def answers(host: Host, address: str) -> bool:
    return host.lab.run(["busybox", "ping", "-c", "1", "-W", "3", address], check=False).ok


def status(host: Host, *words: str) -> str:
    where = ["--connect", host.lab.uri, "--site", str(host.settings.site), "--var", str(host.settings.var)]
    with contextlib.redirect_stdout(io.StringIO()) as told:
        assert main([*where, "--host", "kvm01", *words, "status"]) == 0
    return told.getvalue()


def not_to_be_migrated(host: Host) -> set[str]:
    found = json.loads(status(host, "--output", "json"))["interfaces"]
    return {each["guest"] for each in found if "do-not-migrate" in each["flags"]}


def speak(host: Host) -> None:
    """Let the guest itself say something from both addresses, again and again, wherever it is."""
    with Console(host.lab, "web01") as console:
        console.wait_for_prompt()
        for address in (OWN, FORGED):
            console.command(f"ping -i 0.02 -I {address} 10.0.0.255 >/dev/null 2>&1 &")


@contextmanager
def overheard(host: Host) -> Iterator[dict[str, int]]:
    """How many of the guest's frames came through to another port of its bridge, by their source."""
    counted: dict[str, int] = {}
    port = add_port(host.lab, "listen0")
    argv = host.lab.namespaces.wrap([sys.executable, "-I", "-S", str(OVERHEAR), port.guest_end])
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment()
    ) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "ready\n"
        try:
            yield counted
        finally:
            heard = [bytes.fromhex(frame) for frame in json.loads(process.communicate()[0])[port.guest_end]]
            counted |= {each: sum(IP_OF[each] in frame for frame in heard) for each in (OWN, FORGED)}
            remove_port(host.lab, port)


def test_with_the_same_guard_on_both_hosts_a_guest_keeps_its_addresses_and_its_isolation(
    pair: Pair, tmp_path: Path
) -> None:
    pair.need_a_road()
    assert answers(pair.here, OWN)
    speak(pair.here)
    with overheard(pair.here) as before, overheard(pair.there) as after:
        pair.migrate()
        assert answers(pair.there, OWN)
        assert pair.there.plan() == []
    assert before[FORGED] == after[FORGED] == 0 < min(before[OWN], after[OWN])
    assert pair.here.virsh("list", "--all", "--name").split() == ["db01"]
    with stream(pair.there.lab, pair.there.port("web01"), FRAMES, tmp_path) as sent:
        assert {str(proof.proof) for proof in pair.there.converge().proofs} == {"enforced"}
    assert sent.arrived("forged") == 0 < sent.arrived("own") == sent.sent("own")


def test_without_its_rules_a_guest_is_overheard_so_the_test_above_can_fail(pair: Pair) -> None:
    speak(pair.here)
    with overheard(pair.here) as counted:
        flush_port(pair.here.lab, pair.here.port("web01"))
        answers(pair.here, OWN)
    assert counted[FORGED] > 0


def test_an_apply_that_meets_a_migrating_guest_leaves_it_alone_on_both_hosts(
    pair: Pair, eventually: Eventually
) -> None:
    pair.need_a_road()
    pair.write(CHANGED)
    with pair.slowly_migrating(eventually):
        for host in (pair.here, pair.there):
            done = host.apply()
            assert done.execution and done.execution.ok, done.execution
            assert {step.action.target for step in done.plan.steps} == {"filter/guard-db01-000002"}
            assert {(each.target, str(each.why)) for each in done.plan.waiting} == {(f"filter/{GUARD}", "busy")}
            assert OWN in host.virsh("nwfilter-dumpxml", GUARD)
    for host in (pair.here, pair.there):
        host.converge()
        assert OTHER in host.virsh("nwfilter-dumpxml", GUARD)
    assert any(OTHER in rule for rule in pair.there.rules(pair.there.port("web01")))


def test_status_warns_of_migrations_while_a_guard_is_not_what_the_site_says(pair: Pair) -> None:
    assert not_to_be_migrated(pair.here) == set() == not_to_be_migrated(pair.there)
    pair.here.write({"web01": CHANGED["web01"]})
    assert not_to_be_migrated(pair.here) == {"web01"}
    assert f"do not migrate web01: filter/{GUARD} " in status(pair.here)
    pair.here.converge()
    assert not_to_be_migrated(pair.here) == set()
    altered = pair.there.virsh("nwfilter-dumpxml", GUARD).replace(OWN, "10.0.0.33")
    pair.there.lab.run(["virsh", "--connect", pair.there.lab.uri, "nwfilter-define", "/dev/stdin"], stdin=altered)
    assert not_to_be_migrated(pair.there) == {"web01"}
