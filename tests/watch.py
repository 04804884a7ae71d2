"""What no instant of an apply may show, looked at by each write of a host in memory (P3, P4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network

from random_cases import Case

from reconciler.host.memory import MemoryHost
from reconciler.model.guest import Power


@dataclass
class Watch:
    """Looks at the host at every write, and remembers what was wrong."""

    allowed: dict[str, frozenset[str]]
    open_before: frozenset[str]
    most_down: int
    groups: dict[str, str]
    wrong: list[str] = field(default_factory=list)
    was_running: frozenset[str] = frozenset()

    def __call__(self, host: MemoryHost) -> None:
        owners: dict[str, str] = {}
        for guest, port, networks in sources(host):
            if port in host.closed:
                continue
            for network in networks:
                other = next((g for n, g in owners.items() if g != guest and _overlap(n, network)), None)
                if other:
                    self.wrong.append(f"P4: {network} is of {guest} and of {other}")
                owners[network] = guest
            extra = {n for n in networks if not any(_inside(n, one) for one in self.allowed.get(guest, ()))}
            if extra:
                self.wrong.append(f"P3: {guest} may use {extra}")
        for port in unfiltered(host) - self.open_before:
            self.wrong.append(f"P3: port {port} is open without rules")
        down = {name for name in self.was_running if not host.domains[name].active}
        if len(down) > self.most_down:
            self.wrong.append(f"max_down: {sorted(down)} are down at once")
        groups = [self.groups[name] for name in down if self.groups.get(name)]
        if len(groups) != len(set(groups)):
            self.wrong.append(f"group: {sorted(down)} are down at once")


def sources(host: MemoryHost) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Guest, port and the source networks that its rules accept."""
    for domain in host.domains.values():
        for nic in domain.live:
            expected = host.installed.get(str(nic.port))
            rules = [r for c in expected.ethernet.chains for r in c.rules if r.target == "ACCEPT"] if expected else []
            found = {
                c.value for r in rules for c in r.conditions if c.option in ("ip-src", "ip6-src") and not c.negated
            }
            own = {n for n in found if not _is_special(n)}
            yield domain.name, str(nic.port), frozenset(own)


def _is_special(text: str) -> bool:
    network = ip_network(text)
    return network.is_link_local or network.prefixlen == 0 or network.is_unspecified or text in ("0.0.0.0/32", "::/128")


def _overlap(one: str, other: str) -> bool:
    first, second = ip_network(one), ip_network(other)
    return first.version == second.version and first.overlaps(second)


def _inside(one: str, other: str) -> bool:
    first, second = ip_network(one), ip_network(other)
    return first.version == second.version and first.subnet_of(second)  # type: ignore[arg-type]


def unfiltered(host: MemoryHost) -> frozenset[str]:
    ports = (str(nic.port) for domain in host.domains.values() for nic in domain.live)
    return frozenset(port for port in ports if port not in host.installed and port not in host.closed)


def watching(host: MemoryHost, case: Case) -> Watch:
    allowed: dict[str, set[str]] = {}
    for guest, _, networks in sources(host):
        allowed.setdefault(guest, set()).update(networks)
    for desired in (case.before, case.after):
        for guest in desired.guests:
            networks = {str(n) for i in guest.interfaces for n in (*i.ipv4, *i.ipv6)}
            allowed.setdefault(guest.name, set()).update(networks)
    stopped = {guest.name for guest in case.after.guests if guest.power is Power.STOPPED}
    running = frozenset(d.name for d in host.domains.values() if d.active) - stopped
    groups = {guest.name: guest.group for guest in case.after.guests if guest.group}
    watch = Watch(
        {guest: frozenset(networks) for guest, networks in allowed.items()},
        unfiltered(host), case.after.policy.max_down, groups, was_running=running,
    )  # fmt: skip
    host.on_change = watch
    return watch
