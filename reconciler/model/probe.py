"""How to see from outside that a guest is well: an answer that it gave before a change and has to give after it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

DEFAULT_SECONDS = 30


class ProbeKind(StrEnum):
    PING = "ping"
    TCP = "tcp"
    AGENT = "agent"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Probe:
    """One question about a guest, and the seconds within which it has to answer after a change.

    `address` is an own one of the guest, asked from the host's network; with `tcp` it has to accept a connection to
    `port`. `command` is a `program` of the host, never of a site, whose exit code 0 says that the guest is well.
    """

    guest: str
    kind: ProbeKind
    address: IPv4Address | IPv6Address | None = None
    port: int | None = None
    program: str = ""
    within: float = DEFAULT_SECONDS

    def describe(self) -> str:
        """What it asks for, after the words `no answer to`."""
        match self.kind:
            case ProbeKind.PING:
                return f"a ping of {self.address}"
            case ProbeKind.TCP:
                return f"a connection to port {self.port} of {self.address}"
            case ProbeKind.AGENT:
                return "libvirt's question to its agent"
            case ProbeKind.COMMAND:
                return f"{self.program}, which has to end with 0"
