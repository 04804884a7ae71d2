"""Names that ebtables and iptables print for numbers.

Sources: ebtables' /etc/ethertypes, /etc/protocols as far as nwfilter's rules name protocols, and the ICMP tables in
iptables 1.8 (extensions/libxt_icmp.h). Names are compared without regard to case.
"""

from __future__ import annotations

from collections.abc import Mapping

BROADCAST = "ff:ff:ff:ff:ff:ff"
BRIDGE_GROUP = "01:80:c2:00:00:00"

MAC_NAMES: Mapping[str, str] = {
    "broadcast": f"{BROADCAST}/{BROADCAST}",
    "bga": f"{BRIDGE_GROUP}/{BROADCAST}",
    "multicast": "01:00:00:00:00:00/01:00:00:00:00:00",
    "unicast": "00:00:00:00:00:00/01:00:00:00:00:00",
}

ETHERTYPES: Mapping[str, int] = {
    "ipv4": 0x0800, "ip": 0x0800, "ip4": 0x0800, "x25": 0x0805, "arp": 0x0806, "ether-arp": 0x0806, "fr_arp": 0x0808,
    "bpq": 0x08FF, "trill": 0x22F3, "l2-is-is": 0x22F4, "dec": 0x6000, "dna_dl": 0x6001, "dna_rc": 0x6002,
    "dna_rt": 0x6003, "lat": 0x6004, "diag": 0x6005, "cust": 0x6006, "sca": 0x6007, "teb": 0x6558, "raw_fr": 0x6559,
    "rarp": 0x8035, "aarp": 0x80F3, "atalk": 0x809B, "802_1q": 0x8100, "8021q": 0x8100, "1q": 0x8100,
    "802.1q": 0x8100, "dot1q": 0x8100, "vlan": 0x8100, "ipx": 0x8137, "netbeui": 0x8191, "ipv6": 0x86DD,
    "ip6": 0x86DD, "ppp": 0x880B, "mpls": 0x8847, "mpls_multi": 0x8848, "atmmpoa": 0x884C, "ppp_disc": 0x8863,
    "ppp_ses": 0x8864, "atmfate": 0x8884, "eapol": 0x888E, "s-tag": 0x88A8, "eap_preauth": 0x88C7, "lldp": 0x88CC,
    "macsec": 0x88E5, "pbb": 0x88E7, "macinmac": 0x88E7, "mvrp": 0x88F5, "ptp": 0x88F7, "fcoe": 0x8906, "fip": 0x8914,
    "roce": 0x8915, "lowpan": 0xA0ED,
}  # fmt: skip

PROTOCOLS: Mapping[str, int] = {
    "ip": 0, "hopopt": 0, "icmp": 1, "igmp": 2, "ggp": 3, "ipencap": 4, "st": 5, "tcp": 6, "egp": 8, "igp": 9,
    "pup": 12, "udp": 17, "hmp": 20, "xns-idp": 22, "rdp": 27, "iso-tp4": 29, "dccp": 33, "xtp": 36, "ddp": 37,
    "idpr-cmtp": 38, "ipv6": 41, "ipv6-route": 43, "ipv6-frag": 44, "idrp": 45, "rsvp": 46, "gre": 47, "esp": 50,
    "ipv6-crypt": 50, "ah": 51, "ipv6-auth": 51, "skip": 57, "ipv6-icmp": 58, "icmpv6": 58, "icmp6": 58,
    "ipv6-nonxt": 59, "ipv6-opts": 60, "rspf": 73, "vmtp": 81, "eigrp": 88, "ospf": 89, "ax.25": 93, "ipip": 94,
    "etherip": 97, "encap": 98, "pim": 103, "ipcomp": 108, "vrrp": 112, "l2tp": 115, "isis": 124, "sctp": 132,
    "fc": 133, "mobility-header": 135, "ipv6-mh": 135, "mh": 135, "udplite": 136, "mpls-in-ip": 137, "manet": 138,
    "hip": 139, "shim6": 140, "wesp": 141, "rohc": 142, "ethernet": 143,
}  # fmt: skip

ARP_OPERATIONS: Mapping[str, int] = {
    "request": 1, "reply": 2, "request_reverse": 3, "reply_reverse": 4, "drarp_request": 5, "drarp_reply": 6,
    "drarp_error": 7, "inarp_request": 8, "arp_nak": 9,
}  # fmt: skip

STP_TYPES: Mapping[str, int] = {"config": 0, "tcn": 128}
STP_FLAGS: Mapping[str, int] = {"topology-change": 1, "topology-change-ack": 128}

IcmpRange = tuple[int, int, int]
"""Type, and the least and greatest code."""

_ALL_CODES = (0, 255)

ICMP_TYPES: Mapping[str, IcmpRange] = {
    "echo-reply": (0, *_ALL_CODES), "pong": (0, *_ALL_CODES), "destination-unreachable": (3, *_ALL_CODES),
    "network-unreachable": (3, 0, 0), "host-unreachable": (3, 1, 1), "protocol-unreachable": (3, 2, 2),
    "port-unreachable": (3, 3, 3), "fragmentation-needed": (3, 4, 4), "source-route-failed": (3, 5, 5),
    "network-unknown": (3, 6, 6), "host-unknown": (3, 7, 7), "network-prohibited": (3, 9, 9),
    "host-prohibited": (3, 10, 10), "tos-network-unreachable": (3, 11, 11), "tos-host-unreachable": (3, 12, 12),
    "communication-prohibited": (3, 13, 13), "host-precedence-violation": (3, 14, 14), "precedence-cutoff": (3, 15, 15),
    "source-quench": (4, *_ALL_CODES), "redirect": (5, *_ALL_CODES), "network-redirect": (5, 0, 0),
    "host-redirect": (5, 1, 1), "tos-network-redirect": (5, 2, 2), "tos-host-redirect": (5, 3, 3),
    "echo-request": (8, *_ALL_CODES), "ping": (8, *_ALL_CODES), "router-advertisement": (9, *_ALL_CODES),
    "router-solicitation": (10, *_ALL_CODES), "time-exceeded": (11, *_ALL_CODES), "ttl-exceeded": (11, *_ALL_CODES),
    "ttl-zero-during-transit": (11, 0, 0), "ttl-zero-during-reassembly": (11, 1, 1),
    "parameter-problem": (12, *_ALL_CODES), "ip-header-bad": (12, 0, 0), "required-option-missing": (12, 1, 1),
    "timestamp-request": (13, *_ALL_CODES), "timestamp-reply": (14, *_ALL_CODES),
    "address-mask-request": (17, *_ALL_CODES), "address-mask-reply": (18, *_ALL_CODES),
}  # fmt: skip

ICMPV6_TYPES: Mapping[str, IcmpRange] = {
    "destination-unreachable": (1, *_ALL_CODES), "no-route": (1, 0, 0), "communication-prohibited": (1, 1, 1),
    "beyond-scope": (1, 2, 2), "address-unreachable": (1, 3, 3), "port-unreachable": (1, 4, 4),
    "failed-policy": (1, 5, 5), "reject-route": (1, 6, 6), "packet-too-big": (2, *_ALL_CODES),
    "time-exceeded": (3, *_ALL_CODES), "ttl-exceeded": (3, *_ALL_CODES), "ttl-zero-during-transit": (3, 0, 0),
    "ttl-zero-during-reassembly": (3, 1, 1), "parameter-problem": (4, *_ALL_CODES), "bad-header": (4, 0, 0),
    "unknown-header-type": (4, 1, 1), "unknown-option": (4, 2, 2), "echo-request": (128, *_ALL_CODES),
    "ping": (128, *_ALL_CODES), "echo-reply": (129, *_ALL_CODES), "pong": (129, *_ALL_CODES),
    "router-solicitation": (133, *_ALL_CODES), "router-advertisement": (134, *_ALL_CODES),
    "neighbour-solicitation": (135, *_ALL_CODES), "neighbor-solicitation": (135, *_ALL_CODES),
    "neighbour-advertisement": (136, *_ALL_CODES), "neighbor-advertisement": (136, *_ALL_CODES),
    "redirect": (137, *_ALL_CODES),
}  # fmt: skip
