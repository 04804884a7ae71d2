"""Random rules and frames over the same few values, so that they meet often.

The bridge itself drops some frames, so no source is a group address or anyone's destination.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, LLC, STP, Dot1Q, Dot3, Ether
from scapy.packet import Raw

from reconciler.nwfilter.battery_frames import destination_options, first_fragment, hop_by_hop, later_fragment

OWN, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
TARGETS = ("02:00:00:00:00:01", "02:00:00:00:00:02", "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01")
IPV4 = ("10.0.0.1", "10.0.0.2", "10.0.1.1", "0.0.0.0")
IPV6 = ("2001:db8::1", "2001:db8::2", "2001:db8:1::1", "fe80::1")
PORTS = (22, 53, 68, 1000)
BGA = "01:80:c2:00:00:00"

Layer = Any


def _attributes(random: Random, choices: dict[str, Callable[[], object]], most: int = 3) -> str:
    names = random.sample(sorted(choices), random.randint(0, min(most, len(choices))))
    return " ".join(f"{name}='{choices[name]()}'" for name in sorted(names, key=list(choices).index))


def ethernet_element(random: Random) -> str:
    """A protocol element of an ethernet-level rule, or none."""
    pick = random.choice
    macs = {"srcmacaddr": lambda: pick((OWN, OTHER)), "dstmacaddr": lambda: pick(TARGETS)}
    arp = {
        "opcode": lambda: pick((1, 2, 3)),
        "hwtype": lambda: pick((1, 6)),
        "arpsrcmacaddr": lambda: pick((OWN, OTHER)),
        "arpdstmacaddr": lambda: pick((OWN, OTHER)),
        "arpsrcipaddr": lambda: pick(IPV4),
        "arpdstipaddr": lambda: pick(IPV4),
        "gratuitous": lambda: "true",
    }
    ports = {"srcportstart": lambda: pick(PORTS), "dstportstart": lambda: pick(PORTS)}
    ipv4 = {"srcipaddr": lambda: pick(IPV4), "dstipaddr": lambda: pick(IPV4), "dscp": lambda: pick((0, 16))}
    ipv6 = {"srcipaddr": lambda: pick(IPV6), "dstipaddr": lambda: pick(IPV6)}
    element, choices = pick(
        (
            ("mac", macs | {"protocolid": lambda: pick(("ipv4", "ipv6", "arp", "vlan", "0x88b5"))}),
            ("vlan", macs | {"vlanid": lambda: pick((7, 8)), "encap-protocol": lambda: pick(("0x1000", "0x1001"))}),
            ("stp", {"root-cost": lambda: pick((0, 7)), "root-priority": lambda: pick((0, 128)), "flags": lambda: 0}),
            ("arp", arp),
            ("rarp", arp),
            ("ip", ipv4 | {"protocol": lambda: pick(("tcp", "udp", "icmp"))}),
            ("ip protocol='udp'", ipv4 | ports),
            ("ip srcipmask='24'", {"srcipaddr": lambda: pick(IPV4)} | macs),
            ("ipv6", ipv6 | {"protocol": lambda: pick(("tcp", "udp", "icmpv6", "44"))}),
            ("ipv6 protocol='tcp'", ipv6 | ports),
            ("ipv6 protocol='icmpv6'", {"type": lambda: pick((128, 129, 135)), "srcipaddr": lambda: pick(IPV6)}),
        )
    )
    negated = " match='no'" if random.random() < 0.25 and "protocol=" not in element else ""
    return f"<{element}{negated} {_attributes(random, choices)}/>" if random.random() < 0.95 else ""


def packet_element(random: Random) -> str:
    """A protocol element of an iptables-level rule."""
    pick = random.choice
    suffix, addresses = pick((("", IPV4), ("-ipv6", IPV6)))
    common = {
        "srcmacaddr": lambda: pick((OWN, OTHER)),
        "srcipaddr": lambda: pick(addresses),
        "dstipaddr": lambda: pick(addresses),
        "dscp": lambda: pick((0, 4)),
        "state": lambda: pick(("NEW", "ESTABLISHED", "NEW,RELATED", "INVALID", "NONE")),
        "comment": lambda: pick(('a "quoted" word', "it&apos;s", "-j ACCEPT", "!")),
    }
    ports = {"srcportstart": lambda: pick(PORTS), "dstportstart": lambda: pick(PORTS)}
    ranges = {"srcipfrom": lambda: addresses[0], "srcipto": lambda: addresses[1]}
    icmp = ("icmp", {"type": lambda: pick((0, 8))}) if not suffix else ("icmpv6", {"type": lambda: pick((128, 129))})
    element, choices = pick(
        (
            (f"tcp{suffix}", common | ports),
            (f"udp{suffix}", common | ports),
            (f"all{suffix}", common),
            (f"all{suffix}", ranges),
            (icmp[0], common | icmp[1]),
            ("tcp", {"flags": lambda: pick(("SYN,ACK/SYN", "ALL/ACK")), "option": lambda: pick((2, 3))}),
        )
    )
    negated = " match='no'" if random.random() < 0.2 else ""
    return f"<{element}{negated} {_attributes(random, choices)}/>"


def rule(random: Random, element: str, actions: tuple[str, ...]) -> str:
    direction = random.choice(("out", "out", "out", "inout", "in"))
    stateless = random.choice(("", " statematch='false'"))
    head = f"action='{random.choice(actions)}' direction='{direction}' priority='{random.randint(-1000, 1000)}'"
    return f"<rule {head}{stateless}>{element}</rule>"


def frame(random: Random, label: str, *, fragments: bool = True) -> bytes:
    """One frame, different from all others by its label; with `fragments` also of other kinds than whole packets."""
    pick = random.choice
    source, target, tail = pick((OWN, OWN, OTHER)), pick(TARGETS), Raw(label.encode())
    header = Ether(src=source, dst=target)
    kinds: list[Callable[[], Layer]] = [lambda: header / _ipv4(random, tail), lambda: header / _ipv6(random, tail)] * 3
    if fragments:
        kinds += [
            lambda: header / _arp(random) / tail,
            lambda: header / _arp(random) / tail,
            lambda: Ether(src=source, dst=target, type=0x8035) / _arp(random) / tail,
            lambda: header / Dot1Q(vlan=pick((7, 8))) / _ipv4(random, tail),
            lambda: header / Dot1Q(vlan=7, type=pick((0x1000, 0x4096))) / tail,
            lambda: Ether(src=source, dst=target, type=pick((0x88B5, 0x0835))) / tail,
            lambda: Dot3(src=source, dst=BGA) / LLC() / STP(pathcost=pick((0, 7)), rootid=pick((0, 128))) / tail,
            lambda: header / _ipv4_fragment(random, tail),
            lambda: header / _ipv6_extended(random, label),
        ]
    return bytes(pick(kinds)())


def _arp(random: Random) -> Layer:
    pick = random.choice
    return ARP(
        op=pick((1, 1, 2, 3)),
        hwtype=pick((1, 1, 1, 6)),
        hwsrc=pick((OWN, OTHER)),
        hwdst=pick((OWN, OTHER)),
        psrc=pick(IPV4),
        pdst=pick(IPV4),
    )


def _transport(random: Random, echo: Callable[[], Layer], tail: Layer) -> Layer:
    """One port is random, so that nearly every packet opens a connection of its own."""
    pick, other = random.choice, random.randint(2000, 65535)
    source, target = pick(((pick(PORTS), other), (other, pick(PORTS))))
    tcp = TCP(sport=source, dport=target, flags=pick(("S", "A")), options=pick(([], [("MSS", 1460)])))
    return pick((UDP(sport=source, dport=target) / tail, tcp / tail, echo()))


def _ipv4(random: Random, tail: Layer) -> Layer:
    pick = random.choice
    payload = _transport(random, lambda: ICMP(id=random.getrandbits(16)) / tail, tail)
    return IP(src=pick(IPV4[:3]), dst=pick(IPV4[:3]), tos=pick((0, 16)), id=random.getrandbits(16)) / payload


def _ipv4_fragment(random: Random, tail: Layer) -> Layer:
    fields = random.choice(({"flags": "MF"}, {"frag": 5}, {"frag": 5, "flags": "MF"}))
    header = IP(src=random.choice(IPV4), dst=random.choice(IPV4), proto=17, id=random.getrandbits(16), **fields)
    return header / UDP(sport=random.choice(PORTS), dport=random.choice(PORTS)) / tail


def _ipv6(random: Random, tail: Layer) -> Layer:
    pick = random.choice
    payload = _transport(random, lambda: ICMPv6EchoRequest(id=random.getrandbits(16), data=tail.load), tail)
    return IPv6(src=pick(IPV6), dst=pick(IPV6), fl=random.getrandbits(20)) / payload


def _ipv6_extended(random: Random, label: str) -> Layer:
    pick, tail = random.choice, Raw(label.encode())
    tcp = TCP(sport=pick(PORTS), dport=pick(PORTS)) / tail
    message = pick((ICMPv6ND_NS(tgt=pick(IPV6)), ICMPv6EchoReply(data=label.encode()), tcp))
    number = random.getrandbits(32)
    wrapped = pick(
        (
            lambda: hop_by_hop(message),
            lambda: destination_options(message),
            lambda: hop_by_hop(first_fragment(message, number)),
            lambda: first_fragment(destination_options(message), number, more=False),
            lambda: later_fragment(label, 6, number),
        )
    )
    return IPv6(src=pick(IPV6), dst=pick(IPV6), fl=random.getrandbits(20)) / wrapped()
