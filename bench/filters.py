"""Six changed shared filters on running guests, by our plan and by the ways that people have without it.

Ours is the whole process of `apply`; beside it the six are redefined one by one with virsh, and their files are edited
in libvirt's folder, followed by SIGHUP or by a restart of the daemon.
"""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from bench.applies import applied, beyond_calls, unplanned, with_rebuilds
from bench.hosts import Host, host
from bench.measure import BenchError, Sample, Way, interleaved, took
from bench.results import Options, Row, Target, table
from reconciler.host.address import namespaces_of, parse_uri
from reconciler.host.kernel import Kernel
from reconciler.host.processes import run
from reconciler.lab.handle import Lab
from reconciler.model.kernel import KernelRule

RUNNING, ROUNDS = 10, 3
CHANGED = ("guest-mac", "guest-arp", "guest-ipv4-source", "guest-rarp", "guest-nothing-else", "guest-ipv4")
RULE = "<rule action='drop' direction='out' priority='999'><mac srcmacaddr='{mark}'/></rule>\n</filter>"
OURS, ONE_BY_ONE, RELOAD, RESTART = "reconciler apply", "redefined one by one", "edited, SIGHUP", "edited, restart"
POLL_SECONDS, QUIET_SECONDS = 0.02, 2.0
MOST_OF_ONE_BY_ONE, MOST_OF_CALLS = 0.35, 1.05


class Rollout:
    """Each change is another version of the same filters."""

    def __init__(self, made: Host, running: int) -> None:
        self.host, self.running = made, running
        self.version = 0
        self.originals = {name: (made.site / f"filters/{name}.xml").read_text() for name in CHANGED}

    def way(self, change: Way) -> Way:
        def changed() -> Sample:
            sample = change()
            self._require_version()
            return sample

        return changed

    def ours(self) -> Sample:
        self._next_version()
        return applied(self.host)

    def one_by_one(self) -> Sample:
        texts = self._next_version()

        def redefine() -> None:
            for text in texts.values():
                self.host.virsh("nwfilter-define", "/dev/stdin", stdin=text)

        return with_rebuilds(self.host, lambda: took(redefine))

    def reload(self) -> Sample:
        texts = self._next_version()
        return with_rebuilds(self.host, lambda: took(lambda: self._reload(texts)))

    def restart(self) -> Sample:
        texts = self._next_version()

        def restart() -> None:
            self._edit(texts)
            self.host.lab.restart_daemon(timeout=600)

        return with_rebuilds(self.host, lambda: took(restart))

    def _next_version(self) -> dict[str, str]:
        """Change the site; the new texts, each with the uuid that libvirt has for its filter."""
        self.version += 1
        texts: dict[str, str] = {}
        for name, original in self.originals.items():
            text = original.replace("</filter>", RULE.format(mark=self._mark))
            (self.host.site / f"filters/{name}.xml").write_text(text)
            uuid = self.host.virsh("nwfilter-dumpxml", name).partition("<uuid>")[2].partition("</uuid>")[0]
            texts[name] = text.replace("</filter>", f"<uuid>{uuid}</uuid></filter>", 1)
        return texts

    @property
    def _mark(self) -> str:
        return f"02:00:00:00:00:{self.version:02x}"

    def _reload(self, texts: dict[str, str]) -> float:
        """Nothing tells when it is done but that libvirtd runs no program any more. When the last one ended."""
        self._edit(texts)
        pid = self.host.lab.daemon_pid
        before = used = children_ticks(pid)
        run(["kill", f"-{signal.SIGHUP.value}", str(pid)])
        last = time.monotonic()
        while used == before or time.monotonic() - last < QUIET_SECONDS:
            time.sleep(POLL_SECONDS)
            if (now := children_ticks(pid)) != used:
                used, last = now, time.monotonic()
        return last

    def _edit(self, texts: dict[str, str]) -> None:
        for name, text in texts.items():
            path = self.host.lab.folder / f"etc/nwfilter/{name}.xml"
            path.with_suffix(".draft").write_text(text)
            path.with_suffix(".draft").replace(path)

    def _require_version(self) -> None:
        """Every port has the rules of this version, once for each filter."""
        found = sum(self._mark in repr(rule) for rule in rules_of(self.host.lab))
        if found != self.running * len(CHANGED):
            raise BenchError(f"{found} rules of version {self.version}")


def measure(options: Options) -> Row:
    running, rounds = min(RUNNING, *options.guests, RUNNING), options.rounds or ROUNDS
    with host(running, running) as made:
        rollout = Rollout(made, running)
        changes = {OURS: rollout.ours, ONE_BY_ONE: rollout.one_by_one}
        changes |= {RELOAD: rollout.reload, RESTART: rollout.restart}
        samples = interleaved({name: rollout.way(change) for name, change in changes.items()}, rounds, warm=False)
    found = table(f"{len(CHANGED)} changed shared filters, {running} running guests", samples, rounds)
    ours = samples[OURS]
    what = f"{len(CHANGED)} changed shared filters, {running} running guests"
    return Row(
        "filters",
        (found,),
        (
            Target(f"{what}, to {ONE_BY_ONE}", found.way(ONE_BY_ONE).ratio, MOST_OF_ONE_BY_ONE),
            Target(
                f"{what}, whole process to libvirt's own calls", statistics.median(beyond_calls(ours)), MOST_OF_CALLS
            ),
            Target(f"{what}, rebuilds other than planned", unplanned(ours), 0, unit=""),
        ),
    )


def rules_of(lab: Lab) -> Iterator[KernelRule]:
    """Whichever programs have made them."""
    found = Kernel(namespaces_of(lab.daemon_pid or 0, parse_uri(lab.uri)), lab.system.backend).rules(packets=False)
    return (rule for chain in found.ethernet.chains for rule in chain.rules)


def children_ticks(pid: int | None) -> int:
    """The processor time of all programs that a process has run to their end (proc(5), fields 16 and 17)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[13]) + int(fields[14])
