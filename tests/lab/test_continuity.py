"""While rules change, nothing forged comes through, and a neighbour's own frames all do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL

import pytest
from extension_headers import UNSEEN_BY_NFT
from flooding import Flood, Sender, flood
from frames import udp_frame
from installed import assert_proven, delete_jump, delete_rule, flush_port, of_nft, out_chain
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from sites import EXAMPLE, SITE, guest_yaml, mac
from test_main_job import FIRST, Desk

from reconciler.domain.rewrite import interface_xml, set_filterref
from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.handle import Lab
from reconciler.lab.labs import lab as new_lab
from reconciler.model.filter import FilterRef

pytestmark = pytest.mark.lab

Record = Callable[[str, object], None]

NUMBERS = {"web01": 1, "db01": 2}
FORGED = ("foreign IPv4 source", "foreign ARP sender", "foreign IPv6 source", "router advertisement")
INNOCENT = ("own IPv4 source", "own ARP sender", "own IPv6 source")
FORGED_RATE, INNOCENT_RATE = 2000, 600
LEAST_FORGED_RATE, LEAST_INNOCENT_RATE = 1000, 300
HARMLESS_RULE = """<filter name='guest-arp' chain='arp'>
  <rule action='drop' direction='out' priority='100'>
    <arp opcode='Reply_Reverse'/>
  </rule>"""


def forger(desk: Desk, guest: str, **more: bytes) -> Sender:
    """A guest that says what is not its own, in every way in turn; its frames are whole but for that."""
    number = NUMBERS[guest]
    frames = (*spoken(number, "10.0.0.66", "2001:db8::66"), router_advertisement(number))
    labelled = {**dict(zip(FORGED, frames, strict=True)), **more}
    return Sender(desk.port(guest), FORGED_RATE * len(labelled) // len(FORGED), labelled)


def neighbour(desk: Desk, guest: str) -> Sender:
    """A guest that says what is its own."""
    number = NUMBERS[guest]
    frames = spoken(number, f"10.0.0.{number}0", f"2001:db8::{number}0")
    return Sender(desk.port(guest), INNOCENT_RATE, dict(zip(INNOCENT, frames, strict=True)))


def spoken(number: int, ipv4: str, ipv6: str) -> tuple[bytes, bytes, bytes]:
    """A guest's frames from two addresses: IPv4, ARP and IPv6."""
    request = ARP(op=1, hwsrc=mac(number), psrc=ipv4, pdst="10.0.0.1") / Raw(bytes(18))
    arp = bytes(Ether(src=mac(number), dst="ff:ff:ff:ff:ff:ff") / request)
    return udp_frame(mac(number), ipv4), arp, udp_frame(mac(number), ipv6)


def router_advertisement(number: int) -> bytes:
    """From a guest's own link-local address, so that it is what it says that must stop it."""
    own = IPv6(src=f"fe80::5054:ff:fe00:{number:x}", dst="ff02::1", hlim=255)
    advertised = ICMPv6ND_RA() / ICMPv6NDOptSrcLLAddr(lladdr=mac(number))
    return bytes(Ether(src=mac(number), dst="33:33:00:00:00:01") / own / advertised)


def assert_kept_apart(counted: Flood, record: Record) -> None:
    """Every forged frame was stopped, and no frame of the neighbour was lost, at rates that would show a gap."""
    record("flood", vars(counted))
    assert counted.heard(*FORGED) == dict.fromkeys(FORGED, 0)
    assert counted.rate(*FORGED) >= LEAST_FORGED_RATE
    assert counted.overrun == 0
    assert counted.lost(*INNOCENT) == dict.fromkeys(INNOCENT, 0)
    assert counted.rate(*INNOCENT) >= LEAST_INNOCENT_RATE


@pytest.fixture(scope="module")
def running_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two running guests without any filter."""
    with new_lab() as lab:
        for name, number in NUMBERS.items():
            xml = tmp_path_factory.mktemp("xml") / f"{name}.xml"
            xml.write_text(tiny_domain_xml(name, [NicSpec(mac(number))]))
            lab.run(["virsh", "--connect", lab.uri, "define", str(xml)])
            lab.run(["virsh", "--connect", lab.uri, "start", name])
        yield lab


@pytest.fixture
def desk(running_lab: Lab, tmp_path: Path) -> Desk:
    """web01 with its addresses in a guard, db01 with its own in its filterref; both as the site says."""
    repository = tmp_path / "repository"
    for folder in ("guests", "filters"):
        (repository / folder).mkdir(parents=True)
    for path in (EXAMPLE / "filters").glob("*.xml"):
        (repository / "filters" / path.name).write_bytes(path.read_bytes())
    (repository / "site.yaml").write_bytes(SITE)
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(repository)], check=True)
    desk = Desk(running_lab, repository, tmp_path / "var")
    desk.commit(**FIRST)
    desk.apply()
    return desk


def test_nothing_forged_passes_while_apply_redefines_a_guard(desk: Desk, record_property: Record) -> None:
    own = {"kept": "10.0.0.10", "gained": "10.0.0.11", "given up": "2001:db8::10"}
    frames = {label: udp_frame(mac(1), address) for label, address in own.items()}
    desk.commit(web01=guest_yaml("web01", 1, "[10.0.0.10, 10.0.0.11]", '["2001:db8::11"]'))
    with flood(desk.lab, forger(desk, "web01", **frames), neighbour(desk, "db01")) as counted:
        desk.apply()
    assert_kept_apart(counted, record_property)
    assert counted.lost("kept") == {"kept": 0}
    assert counted.heard("gained")["gained"] > 0 < counted.heard("given up")["given up"]


def test_nothing_forged_passes_while_apply_redefines_a_shared_filter(desk: Desk, record_property: Record) -> None:
    shared = desk.repository / "filters/guest-arp.xml"
    text = shared.read_text()
    shared.write_text(text.replace("<filter name='guest-arp' chain='arp'>", HARMLESS_RULE))
    desk.commit()
    before = desk.rules(desk.port("web01"))
    with flood(desk.lab, forger(desk, "web01"), neighbour(desk, "db01")) as counted:
        desk.apply()
    assert desk.rules(desk.port("web01")) != before
    assert_kept_apart(counted, record_property)


def test_nothing_forged_passes_while_apply_changes_a_running_filterref(desk: Desk, record_property: Record) -> None:
    desk.commit(db01=guest_yaml("db01", 2, "[10.0.0.20, 10.0.0.21]", '["2001:db8::21"]', attach="direct"))
    with flood(desk.lab, forger(desk, "db01"), neighbour(desk, "web01")) as counted:
        desk.apply()
    assert_kept_apart(counted, record_property)


def test_nothing_forged_passes_while_the_daemon_restarts(desk: Desk, record_property: Record) -> None:
    before = desk.lab.daemon_pid
    with flood(desk.lab, forger(desk, "web01"), neighbour(desk, "db01")) as counted:
        desk.lab.restart_daemon(SIGKILL)
        assert desk.document("diff")["drift"] == []
    assert desk.lab.daemon_pid != before
    assert_kept_apart(counted, record_property)


def test_without_rules_every_forged_frame_is_heard_so_the_tests_above_can_fail(desk: Desk) -> None:
    port = desk.port("web01")
    with flood(desk.lab, forger(desk, "web01")) as counted:
        flush_port(desk.lab, port)
    assert min(counted.heard(*FORGED).values()) > 0


def test_without_the_gate_a_changed_filterref_lets_forged_frames_through(desk: Desk, tmp_path: Path) -> None:
    reference = FilterRef("guest-ipv4", (("IP", "10.0.0.20"), ("IPMASK", "32")))
    (tmp_path / "nic.xml").write_text(
        interface_xml(set_filterref(desk.virsh("dumpxml", "db01"), mac(2), reference), mac(2))
    )
    with flood(desk.lab, forger(desk, "db01")) as counted:
        desk.virsh("update-device", "db01", str(tmp_path / "nic.xml"), "--live")
    assert min(counted.heard(*FORGED).values()) > 0


def test_a_neighbour_that_is_cut_off_for_a_moment_is_seen_to_lose_frames(desk: Desk) -> None:
    with flood(desk.lab, neighbour(desk, "web01")) as counted:
        for state in ("0", "3"):
            desk.lab.run(["bridge", "link", "set", "dev", desk.port("web01"), "state", state])
    assert all(0 < counted.lost(label)[label] < counted.flows[label][0] for label in INNOCENT)


@dataclass(frozen=True)
class Deleted:
    """A rule of frames that a port sends, which somebody deletes: its chain, the words that find it, what goes wrong.

    `words` are of ebtables and of nft.
    """

    chain: str
    words: tuple[str, str]
    cases: frozenset[str]
    decides: tuple[str, str]


DELETED = {
    "own MAC": Deleted(
        "", (f"{mac(1)} -j DROP", f"ether saddr != {mac(1)} drop"), frozenset({"l2-forged-mac"}), ("ipv4", "")
    ),
    "router advertisements": Deleted(
        "ipv6", ("router-advertisement", "icmpv6 type 134"), frozenset({"nd-ra", "ext-ra-fragment"}), ("ipv6", "")
    ),
    "own address": Deleted(
        "ipv4", ("--ip-src 10.0.0.10 ", "ip saddr 10.0.0.10 "), frozenset({"ipv4-own-10.0.0.10"}), ("ipv4", "drop")
    ),
}


@pytest.mark.parametrize("deleted", DELETED.values(), ids=DELETED)
def test_a_rule_deleted_by_hand_is_named_and_put_back(desk: Desk, deleted: Deleted) -> None:
    port = desk.port("web01")
    before = desk.rules(port)
    chain, decided = out_chain(desk.lab, port, deleted.chain), out_chain(desk.lab, port, deleted.decides[0])
    delete_rule(desk.lab, chain, deleted.words[of_nft(desk.lab)])
    verified = as_user(desk, "verify", 1)
    failed = failed_cases(desk, verified)
    cases = deleted.cases - (UNSEEN_BY_NFT if of_nft(desk.lab) else set())
    assert cases <= failed.keys()
    assert all(decided in failed[case] and deleted.decides[1] in failed[case].lower() for case in cases)
    assert f"{mac(1)}.rules.{chain}:\n    + " in verified
    [drift] = json.loads(as_user(desk, "diff", 1, "--output", "json"))["drift"]
    assert (drift["object"], drift["field"]) == ("guest/web01", f"{mac(1)}.rules.{chain}")
    assert (len(drift["desired"]), drift["actual"]) == (1, [])
    as_user(desk, "apply", 0)
    assert_all_proven(desk)
    assert desk.rules(port) == before


def assert_all_proven(desk: Desk) -> None:
    assert_proven(desk.lab, desk.document("verify", int(of_nft(desk.lab))))


def test_a_jump_deleted_by_hand_is_named_and_put_back(desk: Desk) -> None:
    port = desk.port("web01")
    before = desk.rules(port)
    delete_jump(desk.lab, port)
    assert "rules-installed" in failed_cases(desk, as_user(desk, "verify", 1))
    assert f"{mac(1)}.rules: absent → present" in as_user(desk, "diff", 1)
    as_user(desk, "apply", 0)
    assert_all_proven(desk)
    assert sorted(desk.rules(port)) == sorted(before)


def failed_cases(desk: Desk, shown: str) -> dict[str, str]:
    """The cases that `verify` names as wrong, all of web01, with the rule that decided each.

    Those that nft's rules never see are left out there.
    """
    unseen = UNSEEN_BY_NFT if of_nft(desk.lab) else set()
    lines = [line for line in shown.splitlines() if re.match(r"\w+ [\w./:-]+: \w+, not \w+", line)]
    lines = [line for line in lines if line.split()[1].removesuffix(":") not in unseen]
    assert all(line.startswith("web01 ") for line in lines), shown
    words = (line.removeprefix("web01 ").partition(": ") for line in lines)
    return {case: rule for case, _, rule in words}


def as_user(desk: Desk, verb: str, exit_code: int, *options: str) -> str:
    """Run the command as an administrator does, on a folder; what it printed."""
    where = ["--connect", desk.lab.uri, "--site", str(desk.repository), "--host", "kvm01", "--var", str(desk.var)]
    words = [verb, "--yes"] if verb == "apply" else [verb]
    argv = [sys.executable, "-m", "reconciler", *where, *options, *words]
    ended = subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert ended.returncode == exit_code, ended.stdout + ended.stderr
    return ended.stdout
