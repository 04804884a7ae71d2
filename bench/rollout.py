"""Six changed shared filters on ten running guests, by our plan and by the ways that people have without it.

Ours is the whole process of `reconciler apply`; beside it the six are redefined one by one with virsh, and their files
are edited in libvirt's folder, followed by SIGHUP or by a restart of the daemon. Then one guest's address: our `apply`
beside libvirt's own update-device, and how many forged frames come out of the guest's port meanwhile. In turn, on one
private lab; prints medians and ratios. Run it by `make bench`, with `--json` for JSON.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from noop_site import GUEST, GUESTS, mac, write_site

from reconciler.domain.rewrite import interface_xml, set_filterref
from reconciler.host.processes import run
from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.handle import Lab
from reconciler.lab.labs import lab
from reconciler.model.filter import FilterRef

ROUNDS = 3
ADDRESS_ROUNDS = 7
CHANGED = ("guest-mac", "guest-arp", "guest-ipv4-source", "guest-rarp", "guest-nothing-else", "guest-ipv4")
RULE = "<rule action='drop' direction='out' priority='999'><mac srcmacaddr='{mark}'/></rule>\n</filter>"
QUIET = "3:*"
OURS = ("ours", "our steps")
IPV6 = "2001:db8::"
POLL_SECONDS, QUIET_SECONDS = 0.02, 2.0
MOST_OF_ONE_BY_ONE, MOST_OF_RELOAD, MOST_OF_UPDATE_DEVICE = 0.35, 0.3, 1.25
TESTS = Path(__file__).parent.parent / "tests"


class Rollout:
    """A lab with ten running guests as the site says; each change is another version of the same filters."""

    def __init__(self, private: Lab, folder: Path) -> None:
        self.lab, self.folder = private, folder
        self.version = 0
        self.step_seconds: list[float] = []
        self.originals = {name: (self.site / f"filters/{name}.xml").read_text() for name in CHANGED}

    @property
    def site(self) -> Path:
        return self.folder / "site"

    def virsh(self, *words: str, stdin: str | None = None) -> str:
        argv = ["virsh", "--connect", self.lab.uri, *words]
        return run(argv, stdin=stdin, timeout=600).stdout

    def apply(self) -> None:
        where = ["--connect", self.lab.uri, "--site", str(self.site), "--var", str(self.folder / "var")]
        run([sys.executable, "-m", "reconciler", *where, "--host", "kvm01", "apply", "--yes"], timeout=600)

    def steps(self) -> float:
        """The seconds that the steps of the last run took, as its journal says."""
        last = max((self.folder / "var/journal").glob("*.jsonl"))
        events = map(json.loads, last.read_text().splitlines())
        return sum(event["seconds"] for event in events if event["event"] == "done")

    def next_version(self) -> dict[str, str]:
        """Change the site; the new texts, each with the uuid that libvirt has for its filter."""
        self.version += 1
        mark = f"02:00:00:00:00:{self.version:02x}"
        texts: dict[str, str] = {}
        for name, original in self.originals.items():
            text = original.replace("</filter>", RULE.format(mark=mark))
            (self.site / f"filters/{name}.xml").write_text(text)
            uuid = self.virsh("nwfilter-dumpxml", name).partition("<uuid>")[2].partition("</uuid>")[0]
            texts[name] = text.replace("</filter>", f"<uuid>{uuid}</uuid></filter>", 1)
        return texts

    def ours(self, _texts: dict[str, str]) -> None:
        self.apply()

    def one_by_one(self, texts: dict[str, str]) -> None:
        for text in texts.values():
            self.virsh("nwfilter-define", "/dev/stdin", stdin=text)

    def reload(self, texts: dict[str, str]) -> float:
        """SIGHUP; nothing tells when it is done but that libvirtd runs no program any more. When the last one ended."""
        self._edit(texts)
        pid = self.lab.daemon_pid
        assert pid is not None
        before = used = children_ticks(pid)
        run(["kill", f"-{signal.SIGHUP.value}", str(pid)])
        last = time.monotonic()
        while used == before or time.monotonic() - last < QUIET_SECONDS:
            time.sleep(POLL_SECONDS)
            if (now := children_ticks(pid)) != used:
                used, last = now, time.monotonic()
        return last

    def restart(self, texts: dict[str, str]) -> None:
        self._edit(texts)
        self.lab.restart_daemon(timeout=600)

    def _edit(self, texts: dict[str, str]) -> None:
        for name, text in texts.items():
            path = self.lab.folder / f"etc/nwfilter/{name}.xml"
            path.with_suffix(".draft").write_text(text)
            path.with_suffix(".draft").replace(path)

    def _rules(self) -> str:
        return self.lab.run(["ebtables-save"]).stdout

    def require_version(self) -> None:
        """Every port has the rules of this version, once for each filter."""
        mark = f"02:00:00:00:00:{self.version:02x}"
        found = sum(mark in line for line in self._rules().splitlines())
        assert found == GUESTS * len(CHANGED), f"{found} rules of version {self.version}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often each way is measured ({ROUNDS})")
    arguments = parser.parse_args()
    with running() as rollout:
        found = {"filters": changed_filters(rollout, arguments.rounds), "address": changed_address(rollout)}
    print(json.dumps(found, indent=2) if arguments.json else table(found))


@contextmanager
def running() -> Iterator[Rollout]:
    with lab() as private, tempfile.TemporaryDirectory() as temporary:
        settings = private.folder / "etc/libvirtd.conf"
        settings.write_text(settings.read_text().replace("1:libvirt.nwfilter 1:libvirt.domain 3:*", QUIET))
        private.restart_daemon()
        write_site(Path(temporary) / "site")
        rollout = Rollout(private, Path(temporary))
        for number in range(1, GUESTS + 1):
            rollout.virsh("define", "/dev/stdin", stdin=tiny_domain_xml(f"g{number}", [NicSpec(mac(number))]))
            rollout.virsh("start", f"g{number}")
        rollout.apply()
        yield rollout


def changed_filters(rollout: Rollout, rounds: int) -> dict[str, Any]:
    """Seconds of each way, every round begun by another."""
    ways = {
        "ours": rollout.ours,
        "one by one": rollout.one_by_one,
        "SIGHUP": rollout.reload,
        "restart": rollout.restart,
    }
    seconds: dict[str, list[float]] = {name: [] for name in (*ways, "our steps")}
    names = tuple(ways)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            texts = rollout.next_version()
            seconds[name].append(took(lambda way=ways[name], texts=texts: way(texts)))
            rollout.require_version()
            if name == "ours":
                seconds["our steps"].append(rollout.steps())
    return compared(seconds)


def changed_address(rollout: Rollout) -> dict[str, Any]:
    """g1 has its addresses in a guard and is changed by us; g2 has its own in its filterref and is changed by libvirt.

    Both have IPv4 and IPv6, and the IPv4 address changes.
    """
    sys.path[:0] = [str(TESTS), str(TESTS / "lab")]
    from frames import stream, udp_frame

    changes: dict[str, Callable[[int], None]] = {"ours": prepared_apply(rollout), "update-device": updated(rollout)}
    seconds: dict[str, list[float]] = {name: [] for name in (*changes, "our steps")}
    for number in range(ADDRESS_ROUNDS):
        for name in (*changes,)[:: -1 if number % 2 else 1]:
            seconds[name].append(took(lambda name=name, number=number: changes[name](number)))
            if name == "ours":
                seconds["our steps"].append(rollout.steps())
    forged: dict[str, tuple[int, int]] = {}
    for number, name in enumerate(changes, 1):
        frames = {"forged": udp_frame(mac(number), "10.0.0.250")}
        port = rollout.virsh("domiflist", f"g{number}").split("\n")[2].split()[0]
        with stream(rollout.lab, port, frames, rollout.folder) as counted:
            changes[name](ADDRESS_ROUNDS)
        forged[name] = (counted.arrived("forged"), counted.sent("forged"))
    return compared(seconds) | {"forged": forged}


def compared(seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Medians, and to each of the others the ratio of our whole process, and of its steps alone."""
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    others = [name for name in medians if name not in OURS]
    return {"seconds": medians} | {f"{own} to": {each: medians[own] / medians[each] for each in others} for own in OURS}


def prepared_apply(rollout: Rollout) -> Callable[[int], None]:
    def change(number: int) -> None:
        text = GUEST.format(name="g1", mac=mac(1), address=f"10.0.0.{100 + number}").replace(
            "ipv6: none", f'ipv6: ["{IPV6}1"]'
        )
        (rollout.site / "guests/g1.yaml").write_text(text)
        rollout.apply()

    change(ADDRESS_ROUNDS + 1)
    return change


def updated(rollout: Rollout) -> Callable[[int], None]:
    def change(number: int) -> None:
        ipv6 = (("IPV6", f"{IPV6}2"), ("IPV6MASK", "128"), ("IPV6", "fe80::5054:ff:fe00:2"), ("IPV6MASK", "128"))
        reference = FilterRef("guest-dual-stack", (("IP", f"10.0.0.{200 + number}"), ("IPMASK", "32"), *ipv6))
        device = interface_xml(set_filterref(rollout.virsh("dumpxml", "g2"), mac(2), reference), mac(2))
        rollout.virsh("update-device", "g2", "/dev/stdin", "--live", stdin=device)

    (rollout.site / "guests/g2.yaml").unlink()
    change(ADDRESS_ROUNDS + 1)
    return change


def took(action: Callable[[], float | None]) -> float:
    """Seconds, up to the moment that the action gives, or to its end."""
    started = time.monotonic()
    ended = action()
    return (ended or time.monotonic()) - started


def children_ticks(pid: int) -> int:
    """The processor time of all programs that a process has run to their end (proc(5), fields 16 and 17)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[13]) + int(fields[14])


def table(found: dict[str, Any]) -> str:
    most = {"one by one": MOST_OF_ONE_BY_ONE, "SIGHUP": MOST_OF_RELOAD, "update-device": MOST_OF_UPDATE_DEVICE}
    lines = [f"{len(CHANGED)} changed shared filters, {GUESTS} running guests:"]
    for part, title in (("filters", ""), ("address", "one guest's address:")):
        lines += [title] if title else []
        for name, seconds in found[part]["seconds"].items():
            ratios = [found[part][f"{own} to"].get(name) for own in OURS]
            limit = f"; at most {most[name]}" if name in most else ""
            beside = f"   ours is {ratios[0]:.2f} of it, its steps {ratios[1]:.2f}{limit}" if ratios[0] else ""
            lines.append(f"  {name:<14} {seconds:7.2f} s{beside}")
    for name, (arrived, sent) in found["address"]["forged"].items():
        lines.append(f"  {name:<14} {arrived} of {sent} forged frames came through")
    return "\n".join(lines)


main()
