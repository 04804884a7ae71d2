"""What libvirt's rules of nft cannot see: `ip6 nexthdr` is the header's own field, and looks behind no other header.

So router advertisements behind an extension header pass filters that drop them, and reports of multicast listeners,
which always have one, are stopped by filters that let them pass.
"""

from __future__ import annotations

from reconciler.nwfilter.frame import Frame, Packet


def is_extended(frame: Frame) -> bool:
    """Whether something stands between the header of IPv6 and its transport."""
    packet = frame.payload
    return isinstance(packet, Packet) and packet.next_header not in (None, packet.transport.protocol)
