"""Send one frame as fast as one process can for some seconds, and print how many went out and the CPU time that took.

    python blast.py DEVICE SECONDS HEX

Frames go out by sendmmsg(2), 64 a call, past the device's queue. What a veth hands on is worked off by the sender's own
CPU, so the time per frame holds the way through the bridge. Runs inside a lab's network namespace with nothing but the
standard library.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
import time

BATCH = 64
ETH_P_NONE = 0
SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20


class IoVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]


class MsgHdr(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p), ("name_length", ctypes.c_uint), ("vectors", ctypes.POINTER(IoVec)),
        ("vector_count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]  # fmt: skip


class MMsgHdr(ctypes.Structure):
    _fields_ = [("header", MsgHdr), ("sent", ctypes.c_uint)]


def main() -> None:
    device, seconds, frame = sys.argv[1], float(sys.argv[2]), bytes.fromhex(sys.argv[3])
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, ETH_P_NONE)
    sender.bind((device, 0))
    sender.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    vector = IoVec(frame, len(frame))
    messages = (MMsgHdr * BATCH)(
        *(MMsgHdr(MsgHdr(vectors=ctypes.pointer(vector), vector_count=1)) for _ in range(BATCH))
    )
    send = ctypes.CDLL(None, use_errno=True).sendmmsg
    descriptor, sent = sender.fileno(), 0
    began, before = time.monotonic(), os.times()
    while time.monotonic() - began < seconds:
        done = send(descriptor, messages, BATCH, 0)
        if done < 0:
            raise OSError(ctypes.get_errno(), "sendmmsg")
        sent += done
    after = os.times()
    elapsed = time.monotonic() - began
    cpu = after.user + after.system - before.user - before.system
    print(json.dumps({"sent": sent, "seconds": elapsed, "cpu": cpu}))


if __name__ == "__main__":
    main()
