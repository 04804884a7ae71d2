"""Ask addresses for a sign of life, all at once. Runs in a network namespace; standard library only.

    python -I -S probe_program.py < wanted.json > answered.json

Standard input: `[{"address": …, "port": number or null, "seconds": …}]`. Standard output: for each whether it answered
within its seconds: to a connection to the port, or to an ICMP echo request (RFC 792, RFC 4443) where there is none.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import threading
import time
from contextlib import suppress

ATTEMPT_SECONDS = 1.0
PAUSE_SECONDS = 0.1
ECHO_REQUEST = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}
ECHO = struct.Struct("!BBHHH")


def main() -> None:
    wanted = json.load(sys.stdin)
    answered = [False] * len(wanted)

    def ask(number: int) -> None:
        answered[number] = answers(wanted[number]["address"], wanted[number]["port"], wanted[number]["seconds"], number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(wanted))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    json.dump(answered, sys.stdout)


def answers(address: str, port: int | None, seconds: float, number: int) -> bool:
    """Asked again until it answers or its time is over: a guest that has just been started needs a while."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        attempt = min(left, ATTEMPT_SECONDS)
        with suppress(OSError):
            if accepts(address, port, attempt) if port else echoes(address, attempt, number):
                return True
        time.sleep(min(PAUSE_SECONDS, max(0.0, end - time.monotonic())))
    return False


def accepts(address: str, port: int, seconds: float) -> bool:
    with socket.create_connection((address, port), timeout=seconds):
        return True


def echoes(address: str, seconds: float, number: int) -> bool:
    version = 6 if ":" in address else 4
    family, protocol = (
        (socket.AF_INET6, socket.IPPROTO_ICMPV6) if version == 6 else (socket.AF_INET, socket.IPPROTO_ICMP)
    )
    identity = (os.getpid() + number) & 0xFFFF
    with socket.socket(family, socket.SOCK_RAW, protocol) as raw:
        raw.connect((address, 0))
        raw.send(request(version, identity))
        end = time.monotonic() + seconds
        while select.select([raw], [], [], max(0.0, end - time.monotonic()))[0]:
            heard = raw.recv(2048)
            message = heard[(heard[0] & 15) * 4 :] if version == 4 else heard
            if len(message) >= ECHO.size:
                kind, _, _, answered, _ = ECHO.unpack(message[: ECHO.size])
                if (kind, answered) == (ECHO_REPLY[version], identity):
                    return True
    return False


def request(version: int, identity: int) -> bytes:
    """An echo request. The kernel fills in the checksum of ICMPv6 (RFC 3542, 3.1), and of ICMP it does not."""
    empty = ECHO.pack(ECHO_REQUEST[version], 0, 0, identity, 1)
    return ECHO.pack(ECHO_REQUEST[version], 0, checksum(empty), identity, 1) if version == 4 else empty


def checksum(message: bytes) -> int:
    """RFC 1071; the message has an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(message) // 2}H", message))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


if __name__ == "__main__":
    main()
