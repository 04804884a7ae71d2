"""Other ways round a filter, by frames: open ears, two interfaces of one guest, frames of many segments."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from random import Random

import pytest
from interfaces import INEXPRESSIBLE, filterref, interface, random_interface
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw
from sites import mac, site
from test_expand_oracle import Bench, bench, heard  # noqa: F401  (a fixture)
from test_supplement import wrong

from reconciler.domain.binding import binding_xml
from reconciler.host.kernel import Kernel
from reconciler.lab.ports import add_port, remove_port
from reconciler.model.live import Binding
from reconciler.nwfilter.supplement import elements_of, with_rules

pytestmark = pytest.mark.lab

PROGRAM = Path(__file__).parent / "large_frames.py"
OPEN_EARS = (
    ("bridge", "link", "set", "dev", "p0", "hairpin", "on"),
    ("bridge", "link", "set", "dev", "p0", "learning", "off"),
    ("ip", "link", "set", "p0", "promisc", "on"),
    ("ip", "link", "set", "br0", "promisc", "on"),
    ("ip", "link", "set", "peer", "promisc", "on"),
)


def test_a_promiscuous_bridge_and_a_port_that_hears_itself_let_nothing_more_out(bench: Bench) -> None:  # noqa: F811
    subject = random_interface(Random(3), has_ipv4=True, has_ipv6=True)
    for command in OPEN_EARS:
        bench.lab.run(list(command))
    try:
        found = wrong(bench, subject, None, with_rules(elements_of(subject)))
    finally:
        for command in OPEN_EARS:
            back = {"on": "off", "off": "on"}[command[-1]]
            bench.lab.run([*command[:-1], back])
    assert found == [INEXPRESSIBLE, set()]


TWO = b"""\
name: two
interfaces:
  - {mac: "52:54:00:00:00:01", segment: lan, ipv4: [10.0.0.10], ipv6: ["2001:db8::10"]}
  - {mac: "52:54:00:00:00:02", segment: lan, ipv4: [10.0.0.20], ipv6: ["2001:db8::20"]}
"""


def said(number: int, own: str, claimed: str) -> list[bytes]:
    """What an interface says of an address: as its source, in ARP, and in a Neighbour Advertisement from its own."""
    ether = Ether(src=mac(number), dst="33:33:00:00:00:01")
    advertisement = ICMPv6ND_NA(R=0, tgt=f"2001:db8::{claimed}") / ICMPv6NDOptDstLLAddr(lladdr=mac(number))
    packets: list[Packet] = [
        IP(src=f"10.0.0.{claimed}", dst="10.0.0.99") / Raw(b"data"),
        ARP(op=2, hwsrc=mac(number), psrc=f"10.0.0.{claimed}", pdst="10.0.0.99"),
        IPv6(src=f"2001:db8::{claimed}", dst="2001:db8::99") / Raw(b"data"),
        IPv6(src=f"2001:db8::{own}", dst="ff02::1", hlim=255) / advertisement,
    ]
    return [bytes(ether / packet) for packet in packets]


def test_neither_of_a_guests_two_interfaces_speaks_for_the_other(bench: Bench) -> None:  # noqa: F811
    first, second = site({"two": TWO}).guests[0].interfaces
    other = add_port(bench.lab, "p1", mac=second.mac)
    kernel = Kernel(bench.tools)
    kernel.set_supplement(with_rules(each for one in (first, second) for each in elements_of(one)))
    binding = Binding("p1", "two", second.mac, filterref(second))
    bound = bench.connection.nwfilterBindingCreateXML(binding_xml(binding, str(uuid.uuid4())))
    try:
        with bench.bound(filterref(first)):
            for port, number, own, foreign in ((bench.port, 1, "10", "20"), (other, 2, "20", "10")):
                assert bench.send(port, bench.peer, said(number, own, own)) == [True] * 4
                assert bench.send(port, bench.peer, said(number, own, foreign)) == [False] * 4
                assert bench.send(port, bench.peer, said(3 - number, foreign, foreign)) == [False] * 4
    finally:
        bound.delete()
        kernel.set_supplement(None)
        remove_port(bench.lab, other)


DUAL = interface(["10.0.0.10"], ["2001:db8::10"])
SEGMENT, SIZE = 1400, 28_000
TCP_IPV4, TCP_IPV6 = 1, 4


def large(source: str, own: str = DUAL.mac) -> dict[str, object]:
    is_ipv6 = ":" in source
    packet = IPv6(src=source, dst="2001:db8::99") if is_ipv6 else IP(src=source, dst="10.0.0.99", flags="DF")
    frame = bytes(Ether(src=own, dst="52:54:00:00:00:99") / packet / TCP(sport=1, dport=2) / Raw(bytes(SIZE)))
    start = 54 if is_ipv6 else 34
    kind = TCP_IPV6 if is_ipv6 else TCP_IPV4
    return {
        "frame": frame.hex(), "kind": kind, "segment": SEGMENT, "headers": start + 20, "checksum": [start, 16],
    }  # fmt: skip


def test_a_frame_of_many_segments_is_judged_as_each_of_them(bench: Bench) -> None:  # noqa: F811
    own = [large("10.0.0.10"), large("2001:db8::10")]
    forged = [
        large("10.0.0.11"),
        large("2001:db8::11"),
        large("10.0.0.10", "52:54:00:00:00:66"),
        large("2001:db8::10", "52:54:00:00:00:66"),
    ]
    kernel = Kernel(bench.tools)
    kernel.set_supplement(with_rules(elements_of(DUAL)))
    argv = [sys.executable, "-I", "-S", str(PROGRAM), bench.port.guest_end, bench.peer.guest_end]
    try:
        open_port = json.loads(bench.lab.run(argv, stdin=json.dumps([*own, *forged])).stdout)
        with bench.bound(filterref(DUAL)):
            found = json.loads(bench.lab.run(argv, stdin=json.dumps([*own, *forged])).stdout)
    finally:
        kernel.set_supplement(None)
    assert all(length > SIZE for length in open_port), "without a filter each comes out whole"
    assert all(length > SIZE for length in found[:2])
    assert found[2:] == [0] * len(forged)
