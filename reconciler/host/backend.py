"""By which programs libvirt makes its rules: only those of ebtables and iptables can be read back."""

from __future__ import annotations

import re
from pathlib import Path

from reconciler.errors import UsageError

_SETTINGS = "etc/libvirt/nwfilter.conf"
_NFTABLES = re.compile(r'^\s*firewall_backend\s*=\s*"nftables"', re.MULTILINE)


def refuse_nftables(root: Path) -> None:
    """Raise UsageError where the daemon whose files are below `root` is set to make rules of nft."""
    try:
        text = (root / _SETTINGS).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    if _NFTABLES.search(text):
        raise UsageError(
            "libvirt makes its rules with nft here, which this release of the reconciler cannot read; nothing was done",
            hint=f'set firewall_backend = "iptables" in /{_SETTINGS}, and restart the daemon',
        )
