"""The lab's network: bridges, and ports for frames that need no guest.

A port is a veth pair. The bridge end is filtered like a guest's tap when libvirt gets an nwfilter binding for it; what
is written to the guest end comes in there, and what the bridge lets through is read there. The kernel itself is
silent on the guest end: no IPv6, no ARP.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.errors import UsageError
from reconciler.host.processes import Completed
from reconciler.lab.handle import Lab

# IFNAMSIZ is 16 with the closing zero, and the guest end adds two characters.
NAME_LIMIT = 13
GUEST_SUFFIX = "-g"
# The least that the kernel takes while STP is on, in hundredths of a second: a new port forwards after twice that.
STP_FORWARD_DELAY = 200


@dataclass(frozen=True, slots=True)
class Port:
    """A veth pair: `name` in the bridge, `guest_end` for the frames of a guest whose MAC is `mac`."""

    name: str
    bridge: str
    mac: str

    @property
    def guest_end(self) -> str:
        return self.name + GUEST_SUFFIX


def add_port(lab: Lab, name: str, bridge: str = "br0", *, mac: str = "") -> Port:
    """Add a port and return when both ends have carrier. Without `mac` a random one of QEMU's range.

    Raises `UsageError` for a name that is too long, `HostError` when the kernel refuses.
    """
    if len(name) > NAME_LIMIT:
        raise UsageError(f"{name!r} is too long for a port: {NAME_LIMIT} characters at most")
    port = Port(name, bridge, mac or _random_mac())
    end = port.guest_end
    _ip(
        lab,
        f"link add {name} type veth peer name {end} address {port.mac}",
        f"link set {end} addrgenmode none arp off",
        f"link set {name} master {bridge}",
    )
    lab.run(["sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{end}/disable_ipv6"])
    _ip(lab, f"link set {end} up", f"link set {name} up")
    return port


def remove_port(lab: Lab, port: Port | str) -> None:
    """Remove a port, both ends. Raises `HostError` when there is none."""
    _ip(lab, f"link del {port if isinstance(port, str) else port.name}")


def set_stp(lab: Lab, bridge: str = "br0", on: bool = True) -> None:
    """Turn the spanning tree protocol of a bridge on or off; a port that comes up with it on is blocked for 4 s."""
    _ip(lab, _stp_command(bridge, on))


def add_bridges(lab: Lab, names: Iterable[str], *, stp: bool = False) -> None:
    """Bring up the loopback device and bridges without addresses."""
    commands = ["link set lo up"]
    for name in names:
        commands += [f"link add {name} type bridge", f"link set {name} up"]
        if stp:
            commands.append(_stp_command(name, True))
    _ip(lab, *commands)


def _stp_command(bridge: str, on: bool) -> str:
    delay = f" forward_delay {STP_FORWARD_DELAY}" if on else ""
    return f"link set {bridge} type bridge stp_state {int(on)}{delay}"


def _ip(lab: Lab, *commands: str) -> Completed:
    return lab.run(["ip", "-batch", "-"], stdin="\n".join(commands) + "\n")


def _random_mac() -> str:
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))
