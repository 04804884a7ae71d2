"""By which programs libvirt makes its rules, ebtables and iptables or nft: what its settings say, and what there is.

Settings alone do not tell: where they say nothing, the daemon takes the first of its own list whose program is
installed (nwfilter_driver_conf.c, FIREWALL_BACKENDS), and a change of them takes effect with its next start.
"""

from __future__ import annotations

import re
from pathlib import Path

from reconciler.host.daemon_settings import read_settings
from reconciler.model.kernel import Backend

_SETTING = re.compile(r'^\s*firewall_backend\s*=\s*"(\w+)"', re.MULTILINE)


def said_backend(root: Path) -> Backend | None:
    """What the settings of the daemon whose files are below `root` say; None where they leave it to the daemon."""
    return backend_of_settings(read_settings(root))


def backend_of_settings(text: str | None) -> Backend | None:
    """Before libvirt had the choice, it had neither these settings nor rules of nft."""
    said = _SETTING.findall(text or "")
    return Backend(said[-1]) if said and said[-1] in list(Backend) else None


def backend_of_rules(said: Backend | None, *, ports_of_nft: bool, ports_of_ebtables: bool) -> Backend:
    """The backend of a host, by its settings and by which programs' rules have ports in them.

    Rules that are there say more than settings; where both or none have ports, the settings decide, and where these
    say nothing it is nft that has any, else ebtables, the first of Debian's list.
    """
    if ports_of_nft != ports_of_ebtables:
        return Backend.NFTABLES if ports_of_nft else Backend.IPTABLES
    return said or (Backend.NFTABLES if ports_of_nft else Backend.IPTABLES)
