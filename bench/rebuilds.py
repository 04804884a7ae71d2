"""How often libvirt builds a port's rules anew, by what the kernel tells of its chains."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import BenchError
from reconciler.lab.handle import Lab
from reconciler.lab.init import ROOT

# libvirt makes new rules in a chain of another name, and renames it when they are whole.
BUILT = re.compile(r"^add chain bridge (nat libvirt-I-|libvirt_nwfilter_ethernet vnet\d+-out\s)", re.MULTILINE)
PATIENCE, POLL = 20.0, 0.01


@dataclass
class Counted:
    """Known when its block has ended."""

    rebuilds: int = 0


@contextmanager
def counting(lab: Lab) -> Iterator[Counted]:
    counted = Counted()
    inside = lab.namespaces.wrap([*own_nft(lab), "monitor"])
    with tempfile.NamedTemporaryFile("w") as file, subprocess.Popen(inside, stdout=file) as monitor:
        events = Path(file.name)
        try:
            _wait_for_mark(lab, events, "begin")
            yield counted
            _wait_for_mark(lab, events, "end")
            counted.rebuilds = len(BUILT.findall(events.read_text()))
        finally:
            monitor.terminate()


def own_nft(lab: Lab) -> list[str]:
    """An older nft does not understand what a newer one makes."""
    return ["chroot", str(lab.folder / ROOT), "nft"] if lab.system.foreign else ["nft"]


def _wait_for_mark(lab: Lab, events: Path, name: str) -> None:
    """A change of our own, made until the monitor tells of it: what came before it is told, too."""
    end = time.monotonic() + PATIENCE
    while f"delete table bridge bench-{name}\n" not in events.read_text():
        if time.monotonic() > end:
            raise BenchError("the kernel tells of no change of its rules")
        for verb in ("add", "delete"):
            lab.run([*own_nft(lab), verb, "table", "bridge", f"bench-{name}"])
        time.sleep(POLL)
