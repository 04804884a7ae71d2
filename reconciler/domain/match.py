"""Which interface of a guest's definition is which of the site's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.model.live import Nic


def match_nics(macs: Iterable[str], nics: tuple[Nic, ...]) -> Mapping[str, Nic]:
    """The interface behind each MAC of the site, where there is one.

    Interfaces are known by their MAC. When exactly one is left on each side, its MAC was changed.
    """
    wanted = tuple(dict.fromkeys(macs))
    if len(wanted) == len(nics) and all(nic.mac == mac for nic, mac in zip(nics, wanted, strict=True)):
        return dict(zip(wanted, nics, strict=True))
    by_mac = {nic.mac: nic for nic in nics}
    found = {mac: by_mac[mac] for mac in wanted if mac in by_mac}
    missing = [mac for mac in wanted if mac not in found]
    left = [nic for nic in nics if nic.mac not in found]
    if len(missing) == 1 and len(left) == 1:
        found[missing[0]] = left[0]
    return found
