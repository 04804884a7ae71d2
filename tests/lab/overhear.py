"""Tell which frames devices hear or send out until standard input ends. Runs inside a lab; standard library only.

    python overhear.py DEVICE…

Standard output: `ready`, and at the end `{device: [hex of each frame, …]}`.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

ETH_P_ALL = 0x0003
QUIET_SECONDS = 0.25


def main() -> None:
    listeners = {listen(device): device for device in sys.argv[1:]}
    heard: dict[str, list[str]] = {device: [] for device in listeners.values()}
    print("ready", flush=True)
    deadline = None
    while deadline is None or time.monotonic() < deadline:
        watched = [*listeners, *([] if deadline else [sys.stdin])]
        for ready in select.select(watched, [], [], QUIET_SECONDS)[0]:
            if isinstance(ready, socket.socket):
                heard[listeners[ready]].append(ready.recv(2048).hex())
            else:
                deadline = time.monotonic() + QUIET_SECONDS
    print(json.dumps(heard))


def listen(device: str) -> socket.socket:
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    listener.bind((device, 0))
    return listener


main()
