"""Floods of numbered frames from running guests' ports, and what of them comes out at another port of the bridge."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frames import LISTENER, injection, wait_for_forwarding

from reconciler.host.processes import clean_environment
from reconciler.lab.handle import Lab
from reconciler.lab.ports import add_port, remove_port

PROGRAM = Path(__file__).parent / "flood.py"


@dataclass
class Flood:
    """What was sent and heard while a block ran, known when it has ended."""

    seconds: float = 0.0
    longest_pause: float = 0.0
    overrun: int = 0
    flows: dict[str, tuple[int, int]] = field(default_factory=dict)

    def rate(self, *labels: str) -> float:
        return sum(self.flows[label][0] for label in labels) / self.seconds

    def heard(self, *labels: str) -> dict[str, int]:
        return {label: self.flows[label][1] for label in labels}

    def lost(self, *labels: str) -> dict[str, int]:
        return {label: self.flows[label][0] - self.flows[label][1] for label in labels}


@dataclass(frozen=True)
class Sender:
    """A guest's port, and the frames that leave it in turn, `rate` a second in all."""

    port: str
    rate: int
    frames: dict[str, bytes]


@contextmanager
def flood(lab: Lab, *senders: Sender) -> Iterator[Flood]:
    """Send from all senders while the block runs, and listen at another port of the bridge."""
    counted = Flood()
    with ExitStack() as stack:
        listener = add_port(lab, LISTENER)
        stack.callback(remove_port, lab, listener)
        wait_for_forwarding(lab, LISTENER)
        devices = [stack.enter_context(injection(lab, sender.port)) for sender in senders]
        wanted = [
            {"device": device, "rate": sender.rate, "frames": {k: v.hex() for k, v in sender.frames.items()}}
            for device, sender in zip(devices, senders, strict=True)
        ]
        process = stack.enter_context(running_flood(lab, listener.guest_end, wanted))
        try:
            yield counted
        finally:
            assert process.stdin and process.stdout
            process.stdin.close()
            vars(counted).update(json.loads(process.stdout.read()))


@contextmanager
def running_flood(lab: Lab, listener: str, wanted: list[dict[str, Any]]) -> Iterator[subprocess.Popen[str]]:
    argv = lab.namespaces.wrap([sys.executable, "-I", "-S", str(PROGRAM), listener])
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment()
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps(wanted) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        yield process
