"""What libvirt's rules of nft cannot see: `ip6 nexthdr` is the header's own field, and looks behind no other header.

So router advertisements behind an extension header pass filters that drop them, and reports of multicast listeners,
which always have one, are stopped by filters that let them pass. No one filter is right for both backends: what nft
would need (a type of ICMPv6 without a protocol), ebtables refuses.
"""

from __future__ import annotations

from reconciler.nwfilter.frame import Frame, Packet

_HIDDEN = ("hop-by-hop", "destination", "fragment", "fragment-first", "several")
UNSEEN_BY_NFT = frozenset(
    {
        *(f"ext-{message}-{each}" for message in ("ra", "redirect") for each in _HIDDEN),
        *("dhcpv6-server-hidden", "dhcpv6-server-fragment"),
        *("mld-report-v2-unspecified", "mld-report-v1-unspecified", "mld-done-unspecified"),
    }
)
"""Cases of a guest with IPv6 under the shared filters that come out wrong."""


def is_extended(frame: Frame) -> bool:
    """Whether something stands between the header of IPv6 and its transport."""
    packet = frame.payload
    return isinstance(packet, Packet) and packet.next_header not in (None, packet.transport.protocol)
