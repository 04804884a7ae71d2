"""Send frames larger than any wire takes, as a guest's virtio NIC does, and tell which of them another device hears.

    python large_frames.py SEND_DEVICE LISTEN_DEVICE

Standard input: `[{"frame": hex, "segment": bytes of one segment, "kind": of virtio_net_hdr's gso_type, "headers":
bytes before the data, "checksum": [where the transport starts, offset of its checksum]}]`. Standard output: for each
the length of the longest frame that was heard with its MAC and source, 0 for none. Runs inside a lab's network
namespace with nothing but the standard library.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys

ETH_P_ALL = 0x0003
SOL_PACKET, PACKET_VNET_HDR = 263, 15
SO_RCVBUFFORCE = 33
NEEDS_CHECKSUM = 1
QUIET_SECONDS = 0.3


def main() -> None:
    source, target = sys.argv[1:]
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
    listener.bind((target, 0))
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sender.bind((source, 0))
    found = []
    for wanted in json.load(sys.stdin):
        frame = bytes.fromhex(wanted["frame"])
        header = struct.pack(
            "=BBHHHH", NEEDS_CHECKSUM, wanted["kind"], wanted["headers"], wanted["segment"], *wanted["checksum"]
        )
        sender.send(header + frame)
        longest = 0
        while select.select([listener], [], [], QUIET_SECONDS)[0]:
            data = listener.recv(1 << 17)
            if data[6:14] == frame[6:14] and data[22:38] == frame[22:38]:
                longest = max(longest, len(data))
        found.append(longest)
    json.dump(found, sys.stdout)


main()
