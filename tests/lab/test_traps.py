"""What libvirt does without a word, found on the real daemon and put right; and a host after its reboot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from frames import stream, udp_frame
from installed import drop_for_all, gated, leave_behind, of_nft
from settled import Host, write_site
from sites import guest_yaml, mac
from worlds import own_root

from reconciler import app
from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.init import ROOT
from reconciler.lab.labs import lab as new_lab
from reconciler.model.kernel import Family
from reconciler.model.outcome import Proof
from reconciler.nwfilter.nftables import TABLES

pytestmark = pytest.mark.lab

GUESTS = {
    "web01": guest_yaml("web01", 1, "[10.0.0.10]", '["2001:db8::10"]', more="autostart: true"),
    "db01": guest_yaml("db01", 2, "[10.0.0.20, 10.0.0.32/29]", "none", attach="direct", more="autostart: true"),
    "fw01": guest_yaml("fw01", 3, "[10.0.0.40]", "none").replace(b"    segment", b"    filter: walled\n    segment"),
}
FOLDER = "/etc/libvirt/nwfilter"


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("traps")
    write_site(folder / "site", GUESTS)
    with new_lab(bridges=("br0", "br1")) as lab:
        host = Host(lab, folder)
        for number, name in enumerate(GUESTS, 1):
            define(host, folder, name, with_acpi(tiny_domain_xml(name, [NicSpec(mac(number))])))
            host.virsh("start", name)
        yield host


@pytest.fixture
def host(settled: Host) -> Host:
    settled.write(GUESTS)
    settled.converge()
    return settled


def with_acpi(xml: str) -> str:
    """Without ACPI nothing can be plugged into a running guest."""
    return xml.replace("<features></features>", "<features><acpi/></features>")


def define(host: Host, folder: Path, name: str, xml: str) -> None:
    path = folder / f"{name}.xml"
    path.write_text(xml)
    host.virsh("define", str(path))


def test_a_reboot_brings_every_guest_back_behind_its_filter(host: Host) -> None:
    """The daemon, the guests and all rules are gone; guests with autostart were started before our first run."""
    for name in GUESTS:
        host.virsh("destroy", name)
    host.lab.kill_daemon()
    host.lab.run(["nft", "flush", "ruleset"])
    host.lab.run(["sh", "-c", "rm -rf /run/libvirt/nwfilter-binding/* /run/libvirt/qemu/autostarted"])
    host.lab.start_daemon()
    host.lab.wait_until_ready()
    running = host.virsh("list", "--name").split()
    assert {"web01", "db01"} <= set(running)
    host.converge()
    if "fw01" not in running:
        host.virsh("start", "fw01")
    host.converge()


def test_a_flushed_ruleset_is_drift_of_every_guest_and_is_rebuilt_behind_the_gate(host: Host, tmp_path: Path) -> None:
    host.lab.run(["nft", "flush", "ruleset"])
    assert host.fields() == {
        (f"guest/{name}", "kernel", f"{mac(number)}.rules") for number, name in enumerate(GUESTS, 1)
    }
    forged = {"forged": udp_frame(mac(1), "10.0.0.66")}
    assert host.plan() == ["rebuild-port"] * 3
    host.converge()
    with stream(host.lab, host.port("web01"), forged, tmp_path) as counted:
        assert host.drift() == ()
    assert counted.arrived("forged") == 0 < counted.sent("forged")


def test_rules_of_a_table_that_sleeps_are_met_by_nobody_and_it_is_woken_behind_the_gate(
    host: Host, tmp_path: Path
) -> None:
    """Every program lists them as ever."""
    table = TABLES[Family.NFT_ETHERNET] if of_nft(host.lab) else "nat"
    host.lab.run([*own_root(host.lab), "nft", "add", "table", "bridge", table, "{ flags dormant ; }"])
    assert host.fields() >= {("guest/web01", "kernel", f"{mac(1)}.rules"), ("guest/db01", "kernel", f"{mac(2)}.rules")}
    assert {proof.proof for proof in app.proofs_of(host.survey())} == {Proof.ABSENT}
    host.converge()
    with stream(host.lab, host.port("web01"), {"forged": udp_frame(mac(1), "10.0.0.66")}, tmp_path) as counted:
        assert host.drift() == ()
    assert counted.arrived("forged") == 0 < counted.sent("forged")


def test_a_hot_plugged_interface_that_the_site_knows_gets_its_filter(host: Host, tmp_path: Path) -> None:
    two = guest_yaml("web01", 1, "[10.0.0.10]", '["2001:db8::10"]', more="autostart: true")
    second = f'  - mac: "{mac(9)}"\n    segment: lan\n    ipv4: [10.0.0.90]\n    ipv6: none\n'
    host.write({"web01": two + second.encode()})
    nic = f"<interface type='bridge'><mac address='{mac(9)}'/><source bridge='br0'/><model type='virtio'/></interface>"
    (tmp_path / "nic.xml").write_text(nic)
    host.virsh("attach-device", "web01", str(tmp_path / "nic.xml"), "--persistent")
    try:
        assert ("guest/web01", "live", f"{mac(9)}.filterref") in host.fields()
        host.converge()
    finally:
        host.virsh("detach-device", "web01", str(tmp_path / "nic.xml"), "--config")
        start_again(host, "web01")


def test_a_hot_plugged_interface_that_the_site_does_not_know_is_told_as_unguarded(host: Host, tmp_path: Path) -> None:
    nic = f"<interface type='bridge'><mac address='{mac(8)}'/><source bridge='br0'/><model type='virtio'/></interface>"
    (tmp_path / "nic.xml").write_text(nic)
    host.virsh("attach-device", "web01", str(tmp_path / "nic.xml"), "--live")
    try:
        assert host.drift() == ()
        assert {(p.mac, p.proof) for p in host.apply().proofs if p.guest == "web01"} == {
            (mac(1), Proof.ENFORCED),
            (mac(8), Proof.UNGUARDED),
        }
    finally:
        start_again(host, "web01")


def start_again(host: Host, guest: str) -> None:
    """A guest without an operating system gives no interface back."""
    host.virsh("destroy", guest)
    host.virsh("start", guest)


def test_rules_left_behind_by_a_port_that_is_gone_are_swept(host: Host) -> None:
    leave_behind(host.lab, "vnet77")
    assert host.fields() == {("port/vnet77", "kernel", "rules")}
    host.converge()
    assert host.rules("vnet77") == []
    assert not gated(host.lab)


def test_a_rule_that_only_drops_for_all_is_told_and_left(host: Host) -> None:
    drop_for_all(host.lab)
    try:
        assert {field for _, _, field in host.fields()} == {f"{mac(n)}.rules.before.PREROUTING" for n in (1, 2, 3)}
        done = host.apply()
        assert done.execution is None
        assert {waiting.target for waiting in done.plan.waiting} == {f"guest/{name}" for name in GUESTS}
    finally:
        drop_for_all(host.lab, undo=True)


def test_packet_rules_that_no_bridged_packet_meets_are_drift_and_proven_of_nobody(host: Host) -> None:
    switch = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    host.lab.run(["sh", "-c", f"echo 0 > {switch}"])
    try:
        if of_nft(host.lab):
            assert host.drift() == (), "rules of nft see every frame themselves"
            return
        assert host.fields() == {("guest/fw01", "kernel", f"{mac(3)}.rules.br_netfilter.ipv4")}
        [waiting] = host.apply().plan.waiting
        assert "bridge-nf-call-iptables=1" in waiting.hint
    finally:
        host.lab.run(["sh", "-c", f"echo 1 > {switch}"])


def test_values_that_libvirt_takes_for_the_same_set_are_changed_live(host: Host) -> None:
    """update-device answers OK, changes the definition, and leaves the running rules as they were."""
    turned = guest_yaml("db01", 2, "[10.0.0.20/29, 10.0.0.32]", "none", attach="direct", more="autostart: true")
    host.write({"db01": turned.replace(b"10.0.0.20/29", b"10.0.0.16/29")})
    host.converge()
    host.write({"db01": turned.replace(b"[10.0.0.20/29, 10.0.0.32]", b"[10.0.0.16, 10.0.0.32/29]")})
    host.converge()
    assert any("10.0.0.32/29" in rule for rule in host.rules(host.port("db01")))


def test_a_parameter_that_libvirt_drops_is_not_taken_for_one_that_it_has(host: Host, tmp_path: Path) -> None:
    xml = host.virsh("dumpxml", "db01", "--inactive")
    define(host, tmp_path, "db01", xml.replace("value='10.0.0.20'", "value='10.0.0.20/32'"))
    assert ("guest/db01", "persistent", f"{mac(2)}.filterref.parameters.IP") in host.fields()
    host.converge()


@contextmanager
def unwritable(host: Host) -> Iterator[None]:
    """libvirt's folder of filters, read-only; in the lab it is a mount of its own."""
    folder = f"{host.lab.folder / ROOT}{FOLDER}" if host.lab.system.foreign else FOLDER
    host.lab.run(["mount", "--bind", folder, folder])
    host.lab.run(["mount", "-o", "remount,bind,ro", folder])
    try:
        yield
    finally:
        host.lab.run(["umount", folder])


def test_a_definition_that_could_not_be_saved_is_found_although_its_rules_are_active(
    host: Host, tmp_path: Path
) -> None:
    guard = "guard-web01-000001"
    path = tmp_path / "guard.xml"
    path.write_text(host.virsh("nwfilter-dumpxml", guard).replace("10.0.0.10", "10.0.0.77"))
    with unwritable(host):
        host.virsh("nwfilter-define", str(path), check=False)
    assert any("10.0.0.77" in rule for rule in host.rules(host.port("web01"))), "libvirt has taken the rules back"
    objects = {(name, layer) for name, layer, _ in host.fields()}
    assert {(f"filter/{guard}", "persistent"), ("guest/web01", "kernel")} <= objects
    host.converge()
    assert not any("10.0.0.77" in rule for rule in host.rules(host.port("web01")))


def test_a_failed_save_of_ours_is_reverted_and_the_next_run_converges(host: Host) -> None:
    host.write({"web01": guest_yaml("web01", 1, "[10.0.0.11]", '["2001:db8::10"]', more="autostart: true")})
    with unwritable(host):
        done = host.apply()
        assert done.execution is not None
        assert not done.execution.ok
    host.write(GUESTS)
    host.converge()


def test_a_removed_file_is_drift_and_written_again_without_a_rebuild(host: Host) -> None:
    host.lab.run(["rm", f"{FOLDER}/guest-arp.xml"])
    assert host.fields() == {("filter/guest-arp", "persistent", "file")}
    before = host.rules("vnet")
    done = host.converge()
    assert done.plan.rebuilds == 0
    assert host.rules("vnet") == before
    host.lab.run(["test", "-s", f"{FOLDER}/guest-arp.xml"])


def test_an_edited_file_that_libvirt_has_not_read_is_drift(host: Host) -> None:
    host.lab.run(["sed", "-i", "s/action='drop'/action='accept'/", f"{FOLDER}/guest-arp.xml"])
    assert host.fields() == {("filter/guest-arp", "persistent", "file")}
    host.converge()
    host.lab.restart_daemon()
    host.converge()


def test_a_filter_that_came_back_with_another_uuid_is_changed_all_the_same(host: Host) -> None:
    host.virsh("destroy", "web01")
    guard = "guard-web01-000001"
    xml = host.virsh("nwfilter-dumpxml", guard)
    host.virsh("nwfilter-undefine", guard)
    path = host.settings.var / "other.xml"
    path.write_text(re.sub(r"\s*<uuid>.*</uuid>", "", xml))
    host.virsh("nwfilter-define", str(path))
    host.write({"web01": guest_yaml("web01", 1, "[10.0.0.12]", '["2001:db8::10"]', more="autostart: true")})
    host.converge()
    host.virsh("start", "web01")
    host.converge()


def test_a_running_guest_moves_to_another_bridge_behind_the_gate(host: Host, tmp_path: Path) -> None:
    moved = GUESTS["db01"].replace(b"    segment: lan\n", b"    bridge: br1\n")
    host.write({"db01": moved})
    frames = {"forged": udp_frame(mac(2), "10.0.0.66")}
    with stream(host.lab, host.port("db01"), frames, tmp_path) as counted:
        host.converge()
    assert counted.arrived("forged") == 0 < counted.sent("forged")
    assert "br1" in host.virsh("domiflist", "db01")


def test_a_changed_mac_is_stored_at_once_and_waits_for_a_restart(host: Host) -> None:
    host.write({"web01": GUESTS["web01"].replace(mac(1).encode(), mac(7).encode())})
    done = host.apply()
    assert done.execution is not None
    assert done.execution.ok, done.execution
    assert {(each.layer, each.field) for each in done.drift} >= {("live", f"{mac(7)}.mac")}
    assert mac(7) in host.virsh("dumpxml", "web01", "--inactive")
    start_again(host, "web01")
    host.converge()
