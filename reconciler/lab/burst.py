"""Send bursts of frames into devices and tell which of them others hear. Runs inside a lab; standard library only.

    python burst.py < wanted.json > heard.json

Standard input: `{"listen": [device, …], "send": {device: [hex of a frame, …]}}`. Standard output: `{device: {listener:
[index of each frame that it heard, …]}}`. Devices send one after another, so what is heard belongs to one sender.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time

ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_AUXDATA = 8
TP_STATUS_VLAN_VALID = 1 << 4
TP_STATUS_VLAN_TPID_VALID = 1 << 6
ETH_P_8021Q = 0x8100
SO_RCVBUFFORCE = 33
AUXDATA = struct.Struct("=IIIHHHH")

BATCH = 32
# The bridge forwards within the sender's own call, so quiet comes at once; this is room for a busy machine.
QUIET_SECONDS = 0.25
BUFFER_BYTES = 8 << 20


def main() -> None:
    wanted = json.load(sys.stdin)
    heard = {}
    for device, texts in wanted["send"].items():
        listeners = {listen(name): name for name in wanted["listen"]}
        heard[device] = burst(device, [bytes.fromhex(text) for text in texts], listeners)
        for listener in listeners:
            listener.close()
    json.dump(heard, sys.stdout)


def listen(device: str) -> socket.socket:
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    listener.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    listener.bind((device, 0))
    return listener


def burst(device: str, frames: list[bytes], listeners: dict[socket.socket, str]) -> dict[str, list[int]]:
    indices: dict[bytes, list[int]] = {}
    for index, frame in enumerate(frames):
        indices.setdefault(frame, []).append(index)
    heard: dict[str, set[int]] = {name: set() for name in listeners.values()}
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((device, 0))
        for start in range(0, len(frames), BATCH):
            for frame in frames[start : start + BATCH]:
                sender.send(frame)
            collect(listeners, indices, heard, 0.0)
    collect(listeners, indices, heard, QUIET_SECONDS)
    return {name: sorted(found) for name, found in heard.items()}


def collect(
    listeners: dict[socket.socket, str], indices: dict[bytes, list[int]], heard: dict[str, set[int]], quiet: float
) -> None:
    """Read until nothing has come for `quiet` seconds."""
    deadline = time.monotonic() + quiet
    while ready := select.select(list(listeners), [], [], max(0.0, deadline - time.monotonic()))[0]:
        for listener in ready:
            heard[listeners[listener]].update(indices.get(receive(listener), ()))


def receive(listener: socket.socket) -> bytes:
    """A frame as it was on the wire: the kernel takes a VLAN tag out and tells it beside the frame."""
    frame, ancillary, _flags, address = listener.recvmsg(65536, socket.CMSG_SPACE(AUXDATA.size))
    if address[2] == socket.PACKET_OUTGOING:
        return b""
    for level, kind, data in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tag, protocol = AUXDATA.unpack(data[: AUXDATA.size])
            if status & TP_STATUS_VLAN_VALID:
                protocol = protocol if status & TP_STATUS_VLAN_TPID_VALID else ETH_P_8021Q
                return frame[:12] + struct.pack("!HH", protocol, tag) + frame[12:]
    return frame


if __name__ == "__main__":
    main()
