"""Send frames into a device at a steady rate and count what arrives at another, until a file appears.

    python stream.py SEND_DEVICE LISTEN_DEVICE STOP_FILE RATE < frames.json

Standard input: `{label: hex of a frame}`; frames are sent in turn. Standard output, at the end: `{label: [sent,
arrived]}`. Runs inside a lab's network namespace with nothing but the standard library.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from pathlib import Path

ETH_P_ALL = 0x0003
DRAIN_SECONDS = 0.3


def main() -> None:
    send_device, listen_device, stop_file, rate = sys.argv[1:5]
    frames = {label: bytes.fromhex(text) for label, text in json.load(sys.stdin).items()}
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    listener.bind((listen_device, 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind((send_device, 0))
    labels = {frame: label for label, frame in frames.items()}
    sent = dict.fromkeys(frames, 0)
    arrived = dict.fromkeys(frames, 0)
    print("ready", flush=True)
    started = time.monotonic()
    total = 0
    while not Path(stop_file).exists():
        due = int((time.monotonic() - started) * float(rate)) - total
        for label, frame in list(frames.items()) * max(0, due // len(frames)):
            sender.send(frame)
            sent[label] += 1
            total += 1
        collect(listener, labels, arrived, 0.002)
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline:
        collect(listener, labels, arrived, 0.05)
    print(json.dumps({label: [sent[label], arrived[label]] for label in frames}))


def collect(listener: socket.socket, labels: dict[bytes, str], arrived: dict[str, int], wait: float) -> None:
    while select.select([listener], [], [], wait)[0]:
        label = labels.get(listener.recv(2048))
        if label is not None:
            arrived[label] += 1
        wait = 0


main()
