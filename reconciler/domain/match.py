"""Which interface of a guest's definition is which of the site's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.model.live import Nic


def match_nics(macs: Iterable[str], nics: tuple[Nic, ...]) -> Mapping[str, Nic]:
    """The interface behind each MAC of the site, where there is one.

    Interfaces are known by their MAC. When exactly one is left on each side, its MAC was changed. Of several with one
    MAC, which libvirt allows, none is behind it: a change could hit the wrong one.
    """
    wanted = tuple(dict.fromkeys(macs))
    if len(wanted) == len(nics) and all(nic.mac == mac for nic, mac in zip(nics, wanted, strict=True)):
        return dict(zip(wanted, nics, strict=True))
    by_mac = {nic.mac: nic for nic in nics}
    found = {mac: by_mac[mac] for mac in wanted if copies(nics, mac) == 1}
    missing = [mac for mac in wanted if mac not in by_mac]
    left = [nic for nic in nics if nic.mac not in wanted]
    if len(missing) == 1 and len(left) == 1:
        found[missing[0]] = left[0]
    return found


def copies(nics: tuple[Nic, ...], mac: str) -> int:
    """How many interfaces have a MAC."""
    return sum(nic.mac == mac for nic in nics)
