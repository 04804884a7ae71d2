"""Send numbered frames into devices at steady rates and tell which come out at another, until standard input ends.

    python flood.py LISTEN_DEVICE

Standard input: one line, `[{"device": …, "rate": frames a second, "frames": {label: hex of a frame}}]`; the last four
bytes of each frame give way to its number. Standard output: `ready`, and at the end `{"seconds": …, "longest_pause": …,
"overrun": frames that the listener itself lost, "flows": {label: [sent, different ones that arrived]}}`. Runs inside a
lab's network namespace with nothing but the standard library.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time

ETH_P_ALL = 0x0003
SO_RCVBUFFORCE = 33
SOL_PACKET = 263
PACKET_STATISTICS = 6
BUFFER_BYTES = 32 << 20
DRAIN_SECONDS = 0.3
TURN_SECONDS = 0.002
# What is behind time is caught up in small steps, so that no queue of the kernel overflows.
MOST_IN_A_TURN = 64

NUMBER = struct.Struct("!I")


class Sender:
    """One device, and the frames that it sends in turn."""

    def __init__(self, device: str, rate: float, frames: dict[str, str]) -> None:
        self.rate = rate
        self.stems = [(label, bytes.fromhex(text)[: -NUMBER.size]) for label, text in frames.items()]
        self.sent = dict.fromkeys(frames, 0)
        self.total = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.bind((device, 0))

    def send_due(self, elapsed: float) -> None:
        due = int(elapsed * self.rate) - self.total
        for _ in range(min(due, MOST_IN_A_TURN)):
            label, stem = self.stems[self.total % len(self.stems)]
            self._socket.send(stem + NUMBER.pack(self.sent[label]))
            self.sent[label] += 1
            self.total += 1


class Listener:
    """A device, and the numbers of the frames that came out of it, by the rest of their bytes."""

    def __init__(self, device: str, senders: list[Sender]) -> None:
        self._labels = {stem: label for sender in senders for label, stem in sender.stems}
        self.numbers: dict[str, set[int]] = {label: set() for label in self._labels.values()}
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        self._socket.bind((device, 0))

    def collect(self, wait: float) -> None:
        while select.select([self._socket], [], [], wait)[0]:
            frame = self._socket.recv(2048)
            label = self._labels.get(frame[: -NUMBER.size])
            if label is not None:
                self.numbers[label].add(NUMBER.unpack(frame[-NUMBER.size :])[0])
            wait = 0

    def overrun(self) -> int:
        _received, dropped = struct.unpack("=II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        return int(dropped)


def main() -> None:
    senders = [Sender(**wanted) for wanted in json.loads(sys.stdin.readline())]
    listener = Listener(sys.argv[1], senders)
    print("ready", flush=True)
    started = turn = time.monotonic()
    longest_pause = 0.0
    while not select.select([sys.stdin], [], [], 0)[0]:
        now = time.monotonic()
        longest_pause, turn = max(longest_pause, now - turn), now
        for sender in senders:
            sender.send_due(now - started)
        listener.collect(TURN_SECONDS)
    seconds = time.monotonic() - started
    deadline = time.monotonic() + DRAIN_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        listener.collect(left)
    flows = {label: [sent, len(listener.numbers[label])] for s in senders for label, sent in s.sent.items()}
    found = {"seconds": seconds, "longest_pause": longest_pause, "overrun": listener.overrun(), "flows": flows}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
