"""Floods of what a guest may say: cut to about the limit, kind by kind, and nobody else loses a frame."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flooding import Flood, Sender, flood
from frames import udp_frame
from installed import nft
from scapy.layers.inet import IP
from scapy.layers.inet6 import ICMPv6MLReport, ICMPv6ND_NS, IPv6, IPv6ExtHdrHopByHop, RouterAlert
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from settled import Host, start_guests, write_site
from sites import SITE, guest_yaml, mac

from reconciler.lab.labs import lab as new_lab

pytestmark = pytest.mark.lab

RATE, BURST = 50, 100
ON = SITE + f"policy: {{supplement: nftables, flood_limit: {{rate: {RATE}, burst: {BURST}}}}}\n".encode()
OFF = SITE + b"policy: {supplement: nftables}\n"
GUESTS = {
    "web01": guest_yaml("web01", 1, "[10.0.0.10]", '["2001:db8::10"]'),
    "db01": guest_yaml("db01", 2, "[10.0.0.20]", '["2001:db8::20"]'),
}
KINDS = ("arp", "igmp", "icmpv6")
FLOOD = 4000
QUIET = 60
SECONDS = 3


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("floods")
    write_site(folder / "site", GUESTS, ON)
    with new_lab() as lab:
        start_guests(lab, folder, GUESTS)
        host = Host(lab, folder)
        # A snooping bridge would judge reports whose checksum the number has made wrong.
        lab.run(["ip", "link", "set", "br0", "type", "bridge", "mcast_snooping", "0"])
        host.converge()
        yield host


def neighbourly(number: int, address: str, name: str) -> dict[str, bytes]:
    """What a guest may say to its neighbours; the end of each is an address that gives way to a frame's number."""
    own, link_local = mac(number), f"fe80::5054:ff:fe00:{number:x}"
    arp = ARP(op=1, hwsrc=own, psrc=f"10.0.0.{address}", pdst="10.0.0.1")
    report = IP(src=f"10.0.0.{address}", dst="224.0.0.22", ttl=1, proto=2) / Raw(bytes.fromhex("1600f8fce0010101"))
    solicitation = IPv6(src=f"2001:db8::{address}", dst="ff02::1:ff00:1") / ICMPv6ND_NS(tgt="2001:db8::1")
    heard = IPv6(src=link_local, dst="ff02::1:3") / IPv6ExtHdrHopByHop(options=[RouterAlert()])
    return {
        f"{name}-arp": bytes(Ether(src=own, dst="ff:ff:ff:ff:ff:ff") / arp),
        f"{name}-igmp": bytes(Ether(src=own, dst="01:00:5e:00:00:16") / report),
        f"{name}-icmpv6": bytes(Ether(src=own, dst="33:33:ff:00:00:01") / solicitation),
        f"{name}-mld": bytes(Ether(src=own, dst="33:33:00:01:00:03") / heard / ICMPv6MLReport(mladdr="ff02::1:3")),
    }


def while_one_floods(host: Host) -> Flood:
    noisy = {k: v for k, v in neighbourly(1, "10", "noisy").items() if not k.endswith("mld")}
    noisy["noisy-datagram"] = udp_frame(mac(1), "2001:db8::10")
    senders = (
        Sender(host.port("web01"), FLOOD, noisy),
        Sender(host.port("db01"), QUIET, neighbourly(2, "20", "quiet")),
    )
    with flood(host.lab, *senders) as counted:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            host.drift()
    assert counted.overrun == 0
    return counted


def limit(host: Host, text: bytes) -> None:
    (Path(str(host.settings.site)) / "site.yaml").write_bytes(text)
    host.converge()


def test_a_flood_is_cut_to_the_limit_and_a_quiet_neighbour_loses_nothing(host: Host) -> None:
    limit(host, ON)
    counted = while_one_floods(host)
    allowed = BURST + RATE * counted.seconds
    for kind in KINDS:
        sent, heard = counted.flows[f"noisy-{kind}"]
        assert sent > 4 * allowed
        assert 0.8 * allowed <= heard <= 1.1 * allowed + RATE, (kind, sent, heard, allowed)
    unharmed = ("noisy-datagram", *(f"quiet-{kind}" for kind in (*KINDS, "mld")))
    assert counted.lost(*unharmed) == dict.fromkeys(unharmed, 0)
    assert all(counted.flows[each][0] >= 10 for each in unharmed)


def test_without_a_limit_the_flood_passes(host: Host) -> None:
    limit(host, OFF)
    counted = while_one_floods(host)
    labels = tuple(f"noisy-{kind}" for kind in KINDS)
    assert counted.lost(*labels) == dict.fromkeys(labels, 0)


def test_whoever_bears_a_foreign_mac_uses_up_nobodys_limit(host: Host) -> None:
    """libvirt's rules drop such frames before they are counted."""
    limit(host, ON)
    forged = {k: v for k, v in neighbourly(2, "20", "forged").items() if k.endswith("arp")}
    own = {"own-arp": bytes(Ether(src=mac(2), dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc=mac(2), psrc="10.0.0.20", op=2))}
    senders = (Sender(host.port("web01"), 2000, forged), Sender(host.port("db01"), 20, own))
    with flood(host.lab, *senders) as counted:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            host.drift()
    assert counted.flows["forged-arp"][0] > 1000
    assert counted.heard("forged-arp") == {"forged-arp": 0}
    assert counted.lost("own-arp") == {"own-arp": 0}


def test_who_is_counted_stands_in_one_bounded_set(host: Host) -> None:
    limit(host, ON)
    while_one_floods(host)
    listed: list[dict[str, Any]] = json.loads(
        nft(host.lab, "-j", "list", "set", "bridge", "reconciler", "floods").stdout
    )
    [found] = [each["set"] for each in listed["nftables"] if "set" in each]  # type: ignore[call-overload]
    assert found["size"] == 65535 and len(found["elem"]) == 6
    assert host.drift() == ()


def test_another_limit_by_hand_is_drift_and_put_right(host: Host) -> None:
    limit(host, ON)
    nft(host.lab, "flush", "chain", "bridge", "reconciler", "supplement-floods")
    assert {field for _, _, field in host.fields()} == {"supplement.rules.supplement-floods"}
    host.converge()
