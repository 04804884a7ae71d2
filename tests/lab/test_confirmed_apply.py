"""A change that cuts off a guest which was well, or the host's own way to its repository, is taken back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from settled import Host, write_site
from sites import guest_yaml, mac

from reconciler import app
from reconciler.lab import labs
from reconciler.lab.console import Console
from reconciler.lab.guests import GuestImage, NicSpec, domain_xml, tiny_domain_xml
from reconciler.settings import HealthSettings

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
    program = tmp_path / "is-well"
    program.write_text(f'#!/bin/sh\n[ "$1" = web01 ] && nsenter --target={host.lab.init.pid} --net ebtables-save | ')
    with program.open("a") as file:
        file.write("grep -c sctp >/dev/null && exit 1\nexit 0\n")
    program.chmod(0o755)
    host.settings = replace(host.settings, health=HealthSettings(program, 1))
    change_filter(host, "<rule action='drop' direction='out' priority='999'><ip protocol='sctp'/></rule>\n</filter>")
    done = host.apply()
    assert done.execution is not None
    assert f"guest web01: no answer to {program}, which has to end with 0 within 1 s" in str(done.execution.error)
    assert not done.execution.unreverted
    assert app.plan_of(host.survey()).steps


def test_an_agent_that_is_not_there_costs_no_time_out(host: Host) -> None:
    host.write({"web01": guest_yaml("web01", 1, f"[{OWN}, 10.0.0.14]", more="health: [{agent: true, within: 600}]")})
    started = time.monotonic()
    host.converge()
    assert time.monotonic() - started < 30
