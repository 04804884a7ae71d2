"""A change that cuts off a guest which was well, or the host's own way to its repository, is taken back."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

import pytest
from repositories import Repository
from servers import git_server, make_certificate
from settled import Host, write_site
from sites import guest_yaml, mac

from reconciler import app
from reconciler.host.libvirt_host import open_host
from reconciler.lab import labs
from reconciler.lab.console import Console
from reconciler.lab.guests import GuestImage, NicSpec, domain_xml, tiny_domain_xml
from reconciler.lab.handle import Lab
from reconciler.model.kernel import Backend
from reconciler.model.probe import Probe, ProbeKind
from reconciler.settings import GitSettings, HealthSettings

pytestmark = pytest.mark.lab

OWN, HOST_ADDRESS = "10.0.0.11", "10.0.0.1"
PING = f"health: [{{ping: {OWN}, within: 3}}]"
CONNECT = "health: [{tcp: 'own:80', within: 3}]"
NO_ECHO = "<rule action='drop' direction='out' priority='-999'><ip protocol='icmp'/></rule>\n</filter>"
CUT_OFF = "<rule action='drop' direction='inout' priority='-999'><ip/></rule>\n</filter>"


@pytest.fixture
def host(tmp_path: Path, guest_image: GuestImage) -> Iterator[Host]:
    """A guest that answers, and one without a system, which never does."""
    guests = {"web01": web01(), "deaf": guest_yaml("deaf", 2, "[10.0.0.12]", more="health: [{ping: own}]")}
    write_site(tmp_path / "site", guests)
    with labs.lab() as lab:
        lab.run(["ip", "address", "add", f"{HOST_ADDRESS}/24", "dev", "br0"])
        host = Host(lab, tmp_path)
        for name, xml in (
            ("web01", domain_xml("web01", guest_image, [NicSpec(mac(1))])),
            ("deaf", tiny_domain_xml("deaf", [NicSpec(mac(2))])),
        ):
            (tmp_path / "guest.xml").write_text(xml)
            host.virsh("define", str(tmp_path / "guest.xml"))
            host.virsh("start", name)
        with Console(lab, "web01") as console:
            console.wait_for_prompt()
            console.command(f"ip address add {OWN}/24 dev eth0")
            console.command("while :; do echo well | nc -l -p 80; done >/dev/null 2>&1 &")
        host.converge()
        yield host


def web01(health: str = "") -> bytes:
    return guest_yaml("web01", 1, f"[{OWN}]", more=health)


def change_filter(host: Host, rule: str) -> None:
    assert host.settings.site is not None
    path = host.settings.site / "filters/guest-ipv4.xml"
    path.write_text(path.read_text().replace("</filter>", rule))


def answers(host: Host) -> bool:
    return host.lab.run(["busybox", "ping", "-c", "1", "-W", "2", OWN], check=False).ok


def definition(host: Host) -> str:
    return host.virsh("nwfilter-dumpxml", "guest-ipv4")


@pytest.mark.parametrize(
    ("health", "rule", "told"),
    [
        (PING, NO_ECHO, f"guest web01: no answer to a ping of {OWN} within 3 s"),
        (CONNECT, CUT_OFF, f"guest web01: no answer to a connection to port 80 of {OWN} within 3 s"),
    ],
    ids=["ping", "tcp"],
)
def test_a_filter_that_cuts_a_guest_off_is_taken_back(host: Host, health: str, rule: str, told: str) -> None:
    before = definition(host)
    host.write({"web01": web01(health)})
    change_filter(host, rule)
    done = host.apply()
    assert done.execution is not None
    assert told in str(done.execution.error)
    assert done.execution.reverted and not done.execution.unreverted
    assert definition(host) == before
    assert answers(host)


def test_without_a_probe_nobody_notices(host: Host) -> None:
    assert answers(host)
    change_filter(host, CUT_OFF)
    host.apply()
    assert not answers(host)


def test_a_change_that_harms_nobody_stays_and_a_guest_that_never_answered_costs_no_time(host: Host) -> None:
    host.write({"web01": web01(PING)})
    change_filter(host, "<rule action='drop' direction='out' priority='999'><ip protocol='sctp'/></rule>\n</filter>")
    started = time.monotonic()
    host.converge()
    assert time.monotonic() - started < 30
    assert answers(host)


def test_a_guest_that_no_step_touches_is_not_asked(host: Host) -> None:
    host.write({"web01": web01(PING), "deaf": guest_yaml("deaf", 2, "[10.0.0.13]")})
    with Console(host.lab, "web01") as console:
        console.wait_for_prompt()
        console.command("ip link set eth0 down")
    host.converge()


def test_the_hosts_own_program_decides_too(host: Host, tmp_path: Path) -> None:
    """It finds web01 well until its filter drops something more."""
    if host.lab.system.backend is Backend.NFTABLES:
        pytest.skip("the program counts rules of ebtables")
    program = tmp_path / "is-well"
    program.write_text(f'#!/bin/sh\n[ "$1" = web01 ] && nsenter --target={host.lab.init.pid} --net ebtables-save | ')
    with program.open("a") as file:
        file.write("grep -c sctp >/dev/null && exit 1\nexit 0\n")
    program.chmod(0o755)
    host.settings = host.settings._replace(health=HealthSettings(program, 1))
    change_filter(host, "<rule action='drop' direction='out' priority='999'><ip protocol='sctp'/></rule>\n</filter>")
    done = host.apply()
    assert done.execution is not None
    assert f"guest web01: no answer to {program}, which has to end with 0 within 1 s" in str(done.execution.error)
    assert not done.execution.unreverted
    assert app.plan_of(host.survey()).steps


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_pings_and_connections_are_told_from_silence(lab: Lab, address: str) -> None:
    where = lab.namespaces.wrap([sys.executable, "-m", "http.server", "--bind", address, "8080"])
    here, nowhere = ip_address(address), ip_address("192.0.2.1")
    pinged = [Probe("g", ProbeKind.PING, each, within=5) for each in (here, nowhere)]
    connected = [Probe("g", ProbeKind.TCP, here, port, within=5) for port in (8080, 8081)]
    with subprocess.Popen(where, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        found = open_host(lab.uri).answering([*pinged, *connected], 4)
        server.terminate()
    assert found == {pinged[0], connected[0]}


def test_a_change_after_which_the_repository_is_gone_is_taken_back(host: Host, tmp_path: Path) -> None:
    """The server goes away while the steps are taken, as it would behind a filter that cuts the host off."""
    assert host.settings.site is not None
    repository = Repository(tmp_path / "served")
    shutil.copytree(host.settings.site, repository.folder / "state", dirs_exist_ok=True)
    repository.commit()
    with ExitStack() as serving:
        server = serving.enter_context(git_server(tmp_path, make_certificate(tmp_path)))
        git = GitSettings(ca_file=server.certificate)
        url = server.url("served/.git")
        settings = host.settings._replace(site=None, repository=url, git=git, health=HealthSettings(within=1))
        assert app.apply(settings, lambda _event, _step: None).execution is None
        before = host.virsh("nwfilter-dumpxml", "guard-web01-000001")
        repository.write("guests/web01.yaml", guest_yaml("web01", 1, "[10.0.0.14]").decode())
        repository.commit()
        done = app.apply(settings, lambda event, _step: serving.close() if event == "done" else None)
    assert done.execution is not None
    assert f"{url} does not answer any more within 1 s" in str(done.execution.error)
    assert done.execution.reverted and not done.execution.unreverted
    assert host.virsh("nwfilter-dumpxml", "guard-web01-000001") == before


def test_an_agent_that_is_not_there_costs_no_time_out(host: Host) -> None:
    host.write({"web01": guest_yaml("web01", 1, f"[{OWN}, 10.0.0.14]", more="health: [{agent: true, within: 600}]")})
    started = time.monotonic()
    host.converge()
    assert time.monotonic() - started < 30
