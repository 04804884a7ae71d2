"""Changed shared filters, and guests that have to go down, on a real libvirtd: the cheapest way, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from frames import stream, udp_frame
from settled import Host, start_guests, write_site
from sites import SITE, guest_yaml, mac

from reconciler import app
from reconciler.lab import labs
from reconciler.lab.guests import GuestImage, NicSpec, domain_xml, tiny_domain_xml
from reconciler.model.plan import Plan

pytestmark = pytest.mark.lab

GUESTS = {f"g{number}": guest_yaml(f"g{number}", number, f"[10.0.0.{10 + number}]") for number in range(1, 5)}
CHANGED = ("guest-mac", "guest-arp", "guest-ipv4-source", "guest-rarp", "guest-nothing-else", "guest-ipv4")
RULE = "<rule action='drop' direction='out' priority='999'><mac srcmacaddr='02:00:00:00:00:01'/></rule>\n</filter>"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    write_site(tmp_path / "site", GUESTS)
    with labs.lab() as lab:
        host = Host(lab, tmp_path)
        start_guests(lab, tmp_path, GUESTS)
        host.converge()
        yield host


def site_of(host: Host) -> Path:
    assert host.settings.site is not None
    return host.settings.site


def change_filters(host: Host, names: tuple[str, ...] = CHANGED) -> None:
    for name in names:
        path = site_of(host) / "filters" / f"{name}.xml"
        path.write_text(path.read_text().replace("</filter>", RULE))


def policy(host: Host, text: str) -> None:
    (site_of(host) / "site.yaml").write_bytes(SITE + text.encode() + b"\n")


def planned(host: Host) -> Plan:
    return app.plan_of(host.survey())


def test_many_changed_filters_cost_two_rebuilds_of_each_guest(host: Host, tmp_path: Path) -> None:
    change_filters(host)
    plan = planned(host)
    costs = {way.name: way.rebuilds for way in plan.ways}
    assert (plan.rebuilds, costs["one-by-one"]) == (2 * len(GUESTS), len(CHANGED) * len(GUESTS))
    assert next(way.name for way in plan.ways if way.chosen) == "copies"
    forged = {"forged": udp_frame(mac(1), "10.0.0.66")}
    with stream(host.lab, host.port("g1"), forged, tmp_path) as counted:
        host.converge()
    assert counted.arrived("forged") == 0 < counted.sent("forged")
    assert ".next-" not in host.virsh("nwfilter-list")


def test_a_canary_proves_each_guest_before_the_next(host: Host) -> None:
    policy(host, "policy: {rollout: canary}")
    change_filters(host, CHANGED[:2])
    kinds = [step.action.kind for step in planned(host).steps]
    assert kinds.count("verify-port") == len(GUESTS)
    host.converge()
    assert ".next-" not in host.virsh("nwfilter-list")


def test_the_classic_way_is_one_restart_of_the_daemon(host: Host, tmp_path: Path) -> None:
    policy(host, "policy: {strategy: restart, disruption: daemon-restart}")
    change_filters(host)
    pid = host.lab.daemon_pid
    assert [step.action.kind for step in planned(host).steps] == ["restart-daemon"]
    forged = {"forged": udp_frame(mac(1), "10.0.0.66")}
    with stream(host.lab, host.port("g1"), forged, tmp_path) as counted:
        host.converge()
    assert host.lab.daemon_pid != pid
    assert counted.arrived("forged") == 0 < counted.sent("forged")
    assert set(host.virsh("list", "--name").split()) == set(GUESTS)


def test_a_restart_that_fails_is_taken_back_and_the_daemon_runs(host: Host) -> None:
    """A filter that libvirt takes, and whose rules the kernel refuses: with it in use the daemon would not start."""
    policy(host, "policy: {strategy: restart, disruption: daemon-restart}")
    path = site_of(host) / "filters/guest-mac.xml"
    before = host.virsh("nwfilter-dumpxml", "guest-mac")
    broken = "<rule action='accept' direction='in'><all ipset='nosuchset' ipsetflags='src'/></rule>\n</filter>"
    path.write_text(path.read_text().replace("</filter>", broken))
    done = host.apply()
    assert done.execution is not None
    assert not done.execution.ok
    assert done.execution.unreverted == ()
    assert host.virsh("nwfilter-dumpxml", "guest-mac") == before
    assert set(host.virsh("list", "--name").split()) == set(GUESTS)


def test_what_the_policy_does_not_allow_waits_and_the_rest_is_done(host: Host) -> None:
    host.write(
        {
            "g1": GUESTS["g1"].replace(mac(1).encode(), mac(0x41).encode()),
            "g2": guest_yaml("g2", 2, "[10.0.0.50]"),
            "g3": guest_yaml("g3", 3, "[10.0.0.53]", more="hold: true"),
        }
    )
    done = host.apply()
    assert done.execution is not None
    assert done.execution.ok, done.execution
    assert any("10.0.0.50" in rule for rule in host.rules(host.port("g2")))
    waiting = {(each.target, str(each.why)) for each in done.plan.waiting}
    assert {("guest/g1", "policy"), ("filter/guard-g3-000003", "policy")} <= waiting
    assert any("10.0.0.13" in rule for rule in host.rules(host.port("g3")))


# A real guest, with a kernel and an init.


@pytest.fixture
def answering(tmp_path: Path, guest_image: GuestImage) -> Iterator[Host]:
    """One guest that obeys its power button, and one that has no system to obey with."""
    text = SITE + b"policy: {disruption: guest-restart, shutdown: {timeout: 25}}\n"
    guests = {"real": guest_yaml("real", 1, "[10.0.0.11]"), "deaf": guest_yaml("deaf", 2, "[10.0.0.12]")}
    write_site(tmp_path / "site", guests, text)
    with labs.lab() as lab:
        host = Host(lab, tmp_path)
        for name, xml in (
            ("real", domain_xml("real", guest_image, [NicSpec(mac(1))])),
            ("deaf", tiny_domain_xml("deaf", [NicSpec(mac(2))])),
        ):
            path = tmp_path / f"{name}.xml"
            path.write_text(xml)
            host.virsh("define", str(path))
            host.virsh("start", name)
        host.converge()
        yield host


def test_a_guest_whose_mac_changes_is_shut_down_by_its_button_and_started_again(answering: Host) -> None:
    answering.write({"real": guest_yaml("real", 7, "[10.0.0.11]")})
    assert [step.action.kind for step in planned(answering).steps][-3:] == [
        "shut-down-guest",
        "define-guest",
        "start-guest",
    ]
    answering.converge()
    assert mac(7) in answering.virsh("dumpxml", "real")
    assert any("10.0.0.11" in rule for rule in answering.rules(answering.port("real")))


def test_a_guest_that_does_not_obey_stays_up_and_all_is_taken_back(answering: Host) -> None:
    policy(answering, "policy: {disruption: guest-restart, shutdown: {timeout: 2}}")
    before = answering.virsh("dumpxml", "deaf"), answering.virsh("dumpxml", "deaf", "--inactive")
    answering.write({"deaf": guest_yaml("deaf", 8, "[10.0.0.12]")})
    done = answering.apply()
    assert done.execution is not None
    assert "did not shut down within 2 s" in str(done.execution.error)
    assert done.execution.unreverted == ()
    assert (answering.virsh("dumpxml", "deaf"), answering.virsh("dumpxml", "deaf", "--inactive")) == before


def test_a_guest_that_does_not_obey_is_killed_where_the_policy_says_so(answering: Host) -> None:
    policy(answering, "policy: {disruption: guest-restart, shutdown: {timeout: 2, on_timeout: destroy}}")
    answering.write({"deaf": guest_yaml("deaf", 8, "[10.0.0.12]")})
    answering.converge()
    assert mac(8) in answering.virsh("dumpxml", "deaf")
