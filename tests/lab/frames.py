"""Frames that come out of a running guest's port, without its help.

A tap's frames cannot be written from the host's side, but tc can redirect what enters another device to the tap's
ingress: to the bridge they come from the guest. So the filter, the gate and the bridge see what they would see.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from reconciler.host.processes import clean_environment
from reconciler.lab.handle import Lab
from reconciler.lab.ports import add_port, remove_port

STREAM = Path(__file__).parent / "stream.py"
LISTENER = "listen0"


def udp_frame(mac: str, source: str) -> bytes:
    """A UDP datagram to all from an address; IPv4 or IPv6 as the address is."""
    if ip_address(source).version == 4:
        packet = Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / IP(src=source, dst="255.255.255.255")
    else:
        packet = Ether(src=mac, dst="33:33:00:00:00:01") / IPv6(src=source, dst="ff02::1")
    return bytes(packet / UDP(sport=40000, dport=40001) / b"a probe of the tests")


class Stream:
    """What a running stream has counted, known when its block has ended."""

    def __init__(self) -> None:
        self.counts: dict[str, tuple[int, int]] = {}

    def sent(self, label: str) -> int:
        return self.counts[label][0]

    def arrived(self, label: str) -> int:
        return self.counts[label][1]


@contextmanager
def injection(lab: Lab, tap: str) -> Iterator[str]:
    """The device to send into for frames to come from a tap."""
    device = f"i{tap}"
    lab.run(["ip", "link", "add", device, "type", "veth", "peer", "name", f"{device}p"])
    for end in (device, f"{device}p"):
        lab.run(["sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{end}/disable_ipv6"])
        lab.run(["ip", "link", "set", end, "arp", "off", "up"])
    lab.run(["tc", "qdisc", "add", "dev", device, "clsact"])
    match = ["protocol", "all", "u32", "match", "u32", "0", "0"]
    action = ["action", "mirred", "ingress", "redirect", "dev", tap]
    lab.run(["tc", "filter", "add", "dev", device, "ingress", *match, *action])
    try:
        yield f"{device}p"
    finally:
        lab.run(["ip", "link", "del", device])


@contextmanager
def stream(lab: Lab, tap: str, frames: dict[str, bytes], folder: Path, rate: int = 1000) -> Iterator[Stream]:
    """Send frames from a tap, in turn, `rate` a second in all, while the block runs; count what a port hears."""
    stop, counted = folder / "stop", Stream()
    stop.unlink(missing_ok=True)
    listener = add_port(lab, LISTENER)
    wait_for_forwarding(lab, LISTENER)
    with injection(lab, tap) as device:
        argv = lab.namespaces.wrap([sys.executable, str(STREAM), device, listener.guest_end, str(stop), str(rate)])
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment()
        ) as process:
            assert process.stdin and process.stdout
            process.stdin.write(json.dumps({label: frame.hex() for label, frame in frames.items()}))
            process.stdin.close()
            assert process.stdout.readline() == "ready\n"
            try:
                yield counted
            finally:
                stop.touch()
                counts = json.loads(process.stdout.read())
                counted.counts = {label: (sent, arrived) for label, (sent, arrived) in counts.items()}
    remove_port(lab, listener)


def wait_for_forwarding(lab: Lab, port: str, seconds: float = 20.0) -> None:
    """With STP on, a new port forwards only after listening and learning."""
    deadline = time.monotonic() + seconds
    while "state forwarding" not in lab.run(["bridge", "link", "show", "dev", port]).stdout:
        assert time.monotonic() < deadline, f"{port} does not forward after {seconds} s"
        time.sleep(0.05)
