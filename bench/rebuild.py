"""What it costs libvirt to build one port's rules: our shared filters beside stock `clean-traffic`.

For each filter, in turn, on one private lab: creating a binding, and redefining the guard behind it, as a change of
addresses does. The processes that libvirtd starts are counted from its own log, the seconds are measured in rounds of
their own without that log.
"""

from __future__ import annotations

import re
import statistics
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import libvirt

from bench.measure import rotated, took
from bench.results import Options, Row
from reconciler.domain.binding import binding_xml
from reconciler.lab.handle import Lab
from reconciler.lab.labs import lab
from reconciler.lab.ports import Port, add_port
from reconciler.lab.trial import define_filters
from reconciler.model.filter import FilterRef, NwFilter, Parameters
from reconciler.model.live import Binding
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.parse import parse_filter

ROUNDS = 7
SHARED = Path(__file__).parent.parent / "state/filters"
STOCK = "clean-traffic"
GUARD, UUID = "bench-guard", "00000000-0000-4000-8000-000000000001"
MAC = "52:54:00:00:00:01"
IPV4: Parameters = (("IP", "10.0.0.1"), ("IPMASK", "32"))
IPV6: Parameters = (("IPV6", "2001:db8::1"), ("IPV6MASK", "128"), ("IPV6", "fe80::5054:ff:fe00:1"), ("IPV6MASK", "128"))
SUBJECTS: dict[str, Parameters] = {
    STOCK: (("IP", "10.0.0.1"),),
    "guest-ipv4": IPV4,
    "guest-dual-stack": (*IPV4, *IPV6),
    "guest-ipv6": IPV6,
    "guest-locked": (),
}
STARTED = re.compile(rb" debug : virCommandRun\w*:\d+ : About to run ")
WARNINGS, WITH_COMMANDS = "3:*", "1:util.command 3:*"


@dataclass(frozen=True)
class Cost:
    """One filter's cost; the ratios are to stock `clean-traffic` in the same run."""

    filter: str
    processes_create: int
    processes_redefine: int
    seconds_create: float
    seconds_redefine: float
    processes_ratio: float = 1.0
    seconds_ratio: float = 1.0


class Bench:
    """A port in a lab, and the guard through which it gets one filter after another."""

    def __init__(self, private: Lab, port: Port) -> None:
        self.lab, self.port = private, port
        self.connection = libvirt.open(private.uri)
        self.number = 0

    def define_guard(self, name: str) -> None:
        """The guard with the filter's addresses, and a number that makes it another definition each time."""
        self.number += 1
        variables = (*SUBJECTS[name], ("ROUND", str(self.number)))
        self.connection.nwfilterDefineXML(format_filter(NwFilter(GUARD, entries=(FilterRef(name, variables),)), UUID))

    def create(self) -> None:
        binding = Binding(self.port.name, "bench", self.port.mac, FilterRef(GUARD))
        self.connection.nwfilterBindingCreateXML(binding_xml(binding, str(uuid.uuid4())))

    def delete(self) -> None:
        self.connection.nwfilterBindingLookupByPortDev(self.port.name).delete()

    def restart(self, log_filters: str) -> None:
        settings = self.lab.folder / "etc/libvirtd.conf"
        settings.write_text(re.sub(r"(?m)^log_filters = .*", f'log_filters = "{log_filters}"', settings.read_text()))
        self.connection.close()
        self.lab.restart_daemon()
        self.connection = libvirt.open(self.lab.uri)

    def started(self, action: Callable[[], None]) -> int:
        """How many processes libvirtd starts during an action."""
        before = self.lab.log_path.stat().st_size
        action()
        with self.lab.log_path.open("rb") as log:
            log.seek(before)
            return len(STARTED.findall(log.read()))


def measure(options: Options) -> Row:
    return Row("rebuild", notes=(shown(costs(options.rounds or ROUNDS)),))


def costs(rounds: int) -> tuple[Cost, ...]:
    with bench() as running:
        running.restart(log_filters=WITH_COMMANDS)
        processes = {name: counted(running, name) for name in SUBJECTS}
        running.restart(log_filters=WARNINGS)
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in SUBJECTS}
        for name in rotated(tuple(SUBJECTS), rounds):
            seconds[name].append(timed(running, name))
    medians = {name: median_pair(pairs) for name, pairs in seconds.items()}
    return tuple(cost_of(name, processes, medians) for name in SUBJECTS)


def median_pair(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    created, redefined = zip(*pairs, strict=True)
    return statistics.median(created), statistics.median(redefined)


@contextmanager
def bench() -> Iterator[Bench]:
    with lab() as private:
        define_filters(private, (parse_filter(path.read_bytes()) for path in sorted(SHARED.glob("*.xml"))))
        yield Bench(private, add_port(private, "port", mac=MAC))


def counted(running: Bench, name: str) -> tuple[int, int]:
    running.define_guard(name)
    created = running.started(running.create)
    redefined = running.started(lambda: running.define_guard(name))
    running.delete()
    return created, redefined


def timed(running: Bench, name: str) -> tuple[float, float]:
    running.define_guard(name)
    created = took(running.create).seconds
    redefined = took(lambda: running.define_guard(name)).seconds
    running.delete()
    return created, redefined


def cost_of(name: str, processes: dict[str, tuple[int, int]], seconds: dict[str, tuple[float, float]]) -> Cost:
    return Cost(
        name,
        *processes[name],
        *seconds[name],
        processes_ratio=processes[name][1] / processes[STOCK][1],
        seconds_ratio=seconds[name][1] / seconds[STOCK][1],
    )


def shown(found: tuple[Cost, ...]) -> str:
    lines = [
        "| filter | create: processes | seconds | redefine: processes | seconds | processes, ratio | seconds, ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for cost in found:
        create = f"{cost.processes_create} | {cost.seconds_create:.2f}"
        redefine = f"{cost.processes_redefine} | {cost.seconds_redefine:.2f}"
        ratios = f"{cost.processes_ratio:.2f} | {cost.seconds_ratio:.2f}"
        lines.append(f"| {cost.filter} | {create} | {redefine} | {ratios} |")
    return "\n".join(lines)
