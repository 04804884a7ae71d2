"""On what was measured; nothing that names the machine."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from reconciler.host.processes import run


def machine() -> dict[str, str]:
    """In the order in which a reader wants it; a key of nothing stands for a value that says itself what it is."""
    load = os.getloadavg()[0]
    return {
        "": f"{os.cpu_count()} cores of {_processor()}",
        "Linux": platform.release().partition("-")[0],
        "libvirt": run(["virsh", "--version"]).stdout.strip(),
        "Python": platform.python_version(),
        "load": f"{load:.1f} when it began",
        "measured on": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
