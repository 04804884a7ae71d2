"""The reconciler with a clock on each call by which it has libvirt change something.

    python -m bench.calls FILE WORD…

FILE gets `{"writes": how many, "seconds": how long all of them took}` as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt

from reconciler.cli import command

WRITES = {
    libvirt.virConnect: ("nwfilterDefineXML", "defineXML", "nwfilterBindingCreateXML"),
    libvirt.virNWFilter: ("undefine",),
    libvirt.virNWFilterBinding: ("delete",),
    libvirt.virDomain: ("updateDeviceFlags", "create", "destroy", "setAutostart", "shutdownFlags"),
}


def timed(method: Callable[..., Any], taken: list[float]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        started = time.monotonic()
        try:
            return method(*arguments, **named)
        finally:
            taken.append(time.monotonic() - started)

    return call


def run(place: Path, words: list[str]) -> int:
    taken: list[float] = []
    for kind, names in WRITES.items():
        for name in names:
            setattr(kind, name, timed(getattr(kind, name), taken))
    sys.argv = ["reconciler", *words]
    try:
        return command()
    finally:
        place.write_text(json.dumps({"writes": len(taken), "seconds": sum(taken)}))


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
