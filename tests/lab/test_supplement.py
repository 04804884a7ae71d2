"""The supplement in a real kernel: frames of many address sets, on and off under way, a flush, restarts, the gate."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from extension_headers import UNSEEN_BY_NFT
from flooding import Sender, flood
from frames import udp_frame
from installed import gated, nft, tools
from interfaces import INEXPRESSIBLE, SPECIAL, filterref, random_interface, shared_filters
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from settled import Host, start_guests, write_site
from sites import SITE, guest_yaml, mac
from sizes import examples
from test_expand_oracle import Bench, bench, heard  # noqa: F401  (a fixture)

from reconciler.host.kernel import Kernel
from reconciler.lab.labs import lab as new_lab
from reconciler.model.guest import Interface
from reconciler.model.kernel import Backend
from reconciler.model.supplement import Supplement
from reconciler.nwfilter.battery import battery
from reconciler.nwfilter.evaluate import Evaluator
from reconciler.nwfilter.supplement import elements_of, supplement_of, with_rules

pytestmark = pytest.mark.lab

SHARED = shared_filters()
ON = SITE + b"policy: {supplement: nftables}\n"
GUESTS = {
    "web01": guest_yaml("web01", 1, "[10.0.0.10]", '["2001:db8::10"]'),
    "db01": guest_yaml("db01", 2, "[10.0.0.20]", '["2001:db8::20", "2001:db8:0:5::/64"]'),
}
RATE = 1000


def wrong(bench: Bench, subject: Interface, *supplements: Supplement | None) -> list[set[str]]:  # noqa: F811
    """The cases that come out wrong with each. Asserts that what is foretold, read back and frames agree on each."""
    cases = battery(subject)
    kernel = Kernel(bench.tools)
    expected = bench.foretold(SHARED.get, filterref(subject))
    assert expected
    found: list[set[str]] = []
    try:
        with bench.bound(filterref(subject)):
            for supplement in supplements:
                kernel.set_supplement(supplement)
                assert kernel.own_table()[1] == supplement
                read_back = Evaluator.on(replace(bench.read_back(), supplement=supplement))
                frames = heard(bench, cases)
                told = {case.id: Evaluator.of(expected, supplement).case(case, "p0").passes for case in cases}
                assert told == {case.id: read_back.case(case, "p0").passes for case in cases}
                assert told == frames
                found.append({case.id for case in cases if frames[case.id] != (case.expected == "pass")})
    finally:
        kernel.set_supplement(None)
    return found


def unseen_by(bench: Bench) -> frozenset[str]:  # noqa: F811
    return UNSEEN_BY_NFT if bench.backend is Backend.NFTABLES else frozenset()


@pytest.mark.parametrize("has_ipv4", [True, False])
def test_without_it_the_listed_cases_leak_and_with_it_none_and_none_is_stopped(
    bench: Bench,  # noqa: F811
    has_ipv4: bool,
) -> None:
    random = Random(7 + has_ipv4)
    unseen = unseen_by(bench)
    for _ in range(examples(3, 25)):
        subject = random_interface(random, has_ipv4=has_ipv4, has_ipv6=True)
        without, with_it = wrong(bench, subject, None, with_rules(elements_of(subject)))
        assert with_it - unseen == set()
        assert without - unseen == INEXPRESSIBLE - unseen


@pytest.mark.parametrize("subject", [each for each in SPECIAL if each.ipv6], ids=lambda each: each.filter)
def test_roles_may_do_what_is_theirs(bench: Bench, subject: Interface) -> None:  # noqa: F811
    (found,) = wrong(bench, subject, with_rules(elements_of(subject)))
    assert found - unseen_by(bench) == set()


def test_of_another_guest_it_stops_nothing(bench: Bench) -> None:  # noqa: F811
    subject = random_interface(Random(1), has_ipv4=True, has_ipv6=True)
    other = with_rules(elements_of(replace(subject, mac="52:54:00:00:00:99")))
    (found,) = wrong(bench, subject, other)
    assert found - unseen_by(bench) == INEXPRESSIBLE - unseen_by(bench)


def test_a_thousand_guests_add_elements_and_no_rule(bench: Bench) -> None:  # noqa: F811
    subject = random_interface(Random(2), has_ipv4=False, has_ipv6=True)
    many = [replace(subject, mac=f"52:54:00:01:{n >> 8:02x}:{n & 255:02x}") for n in range(999)]
    supplement = with_rules(element for each in (subject, *many) for element in elements_of(each))
    kernel = Kernel(bench.tools)
    counts = []
    for each in (with_rules(elements_of(subject)), supplement):
        kernel.set_supplement(each)
        assert kernel.own_table()[1] == each
        counts.append(sum("rule" in item for item in listed(bench.lab)))
    kernel.set_supplement(None)
    assert counts[0] == counts[1]
    (found,) = wrong(bench, subject, supplement)
    assert found - unseen_by(bench) == set()


def listed(lab: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(nft(lab, "-j", "list", "table", "bridge", "reconciler").stdout)["nftables"]
    return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("supplement")
    write_site(folder / "site", GUESTS, ON)
    with new_lab() as lab:
        start_guests(lab, folder, GUESTS)
        yield Host(lab, folder)


@pytest.fixture
def host(running: Host) -> Host:
    switch(running, on=True)
    running.write(GUESTS)
    running.converge()
    return running


def switch(host: Host, *, on: bool) -> None:
    (Path(str(host.settings.site)) / "site.yaml").write_bytes(ON if on else SITE)


def claim(number: int) -> bytes:
    """A Neighbour Advertisement for an address of db01's prefix; the end of the target gives way to a frame's number.

    What follows a packet is no place for it: br_netfilter cuts that off.
    """
    packet = IPv6(src=f"fe80::5054:ff:fe00:{number:x}", dst="ff02::1", hlim=255) / ICMPv6ND_NA(
        R=0, tgt="2001:db8:0:5::"
    )
    return bytes(Ether(src=mac(number), dst="33:33:00:00:00:01") / packet)


def probe(number: int, target: str) -> bytes:
    """Duplicate address detection; the end of its nonce gives way to a frame's number."""
    message = ICMPv6ND_NS(tgt=target) / Raw(b"\x0e\x01nonce!")
    return bytes(Ether(src=mac(number), dst="33:33:00:00:00:01") / IPv6(src="::", dst="ff02::1", hlim=255) / message)


def table(host: Host) -> Supplement | None:
    return Kernel(tools(host.lab)).own_table()[1]


def test_on_and_off_while_frames_run(host: Host) -> None:
    """A kept stream loses nothing through the change; a forged one passes while it is off and never while it is on."""
    kept = Sender(host.port("db01"), RATE, {"kept": udp_frame(mac(2), "2001:db8::20"), "own": claim(2)})
    forger = Sender(host.port("web01"), RATE, {"forged": claim(1)})
    with flood(host.lab, kept, forger) as while_on:
        assert host.drift() == ()
        host.converge()
    switch(host, on=False)
    with flood(host.lab, kept, forger) as turned_off:
        host.converge()
        assert table(host) is None
    switch(host, on=True)
    with flood(host.lab, kept, forger) as turned_on:
        host.converge()
        assert table(host)
    for counted in (while_on, turned_off, turned_on):
        assert counted.overrun == 0
        assert counted.lost("kept", "own") == {"kept": 0, "own": 0}
        assert counted.flows["kept"][0] > 20 < counted.flows["forged"][0]
    assert while_on.heard("forged") == {"forged": 0}
    assert turned_off.heard("forged")["forged"] > 0 < turned_on.heard("forged")["forged"]


def test_a_changed_address_opens_nothing_and_keeps_what_is_kept(host: Host) -> None:
    kept = Sender(host.port("db01"), RATE, {"own": claim(2)})
    frames = {"forged": claim(1), "kept": probe(1, "fe80::5054:ff:fe00:1")}
    host.write({"web01": guest_yaml("web01", 1, "[10.0.0.10]", '["2001:db8::11"]')})
    with flood(host.lab, kept, Sender(host.port("web01"), RATE, frames)) as counted:
        host.converge()
    assert counted.overrun == 0
    assert counted.heard("forged") == {"forged": 0} and counted.flows["forged"][0] > 20
    assert counted.lost("own", "kept") == {"own": 0, "kept": 0}


def test_both_tables_come_back_after_a_flush(host: Host) -> None:
    nft(host.lab, "flush", "ruleset")
    assert ("table/reconciler", "kernel", "supplement") in host.fields()
    assert {field for _, _, field in host.fields()} >= {f"{mac(n)}.rules" for n in (1, 2)}
    host.converge()
    assert table(host) == supplement_of(host.survey().desired, "kvm01")


@pytest.mark.parametrize(
    ("command", "field"),
    [
        ("flush chain bridge reconciler supplement-na", "supplement.rules.supplement-na"),
        ("insert rule bridge reconciler supplement-na accept", "supplement.rules.supplement-na"),
        ("add chain bridge reconciler theirs", "supplement.others"),
        (f"delete element bridge reconciler guests {{ {mac(1)} }}", f"{mac(1)}.supplement.guests"),
    ],
)
def test_what_somebody_changes_in_it_is_drift_and_put_right(host: Host, command: str, field: str) -> None:
    nft(host.lab, *command.split())
    assert {each for _, _, each in host.fields()} == {field}
    host.converge()


def test_it_outlives_the_daemon(host: Host) -> None:
    before = table(host)
    host.lab.kill_daemon()
    assert before
    host.lab.start_daemon()
    host.lab.wait_until_ready()
    assert table(host) == before
    host.converge()


def test_the_gate_and_the_supplement_leave_each_other_alone(host: Host) -> None:
    kernel, before = Kernel(tools(host.lab)), table(host)
    kernel.close_gate("vnet77")
    assert table(host) == before
    kernel.set_supplement(None)
    assert gated(host.lab) == {"vnet77"} and table(host) is None
    assert before
    kernel.set_supplement(before)
    assert gated(host.lab) == {"vnet77"} and table(host) == before
    kernel.open_gate("vnet77")
    assert not gated(host.lab) and table(host) == before
    assert not re.search(r"chain gate|set closed", nft(host.lab, "list", "table", "bridge", "reconciler").stdout)
    kernel.set_supplement(None)
    assert "reconciler" not in nft(host.lab, "list", "tables").stdout
