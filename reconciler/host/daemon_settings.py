"""The daemon's own settings of filters, as their file has them."""

from __future__ import annotations

from pathlib import Path

SETTINGS = "etc/libvirt/nwfilter.conf"


def read_settings(root: Path) -> str | None:
    """Of the daemon whose files are below `root`; None where there are none."""
    try:
        return (root / SETTINGS).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
