"""An interface that gives up addresses before it gets others: the way out of a circle of hand-overs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reconciler.model.filter import Parameters, canonical_parameters
from reconciler.model.guest import Interface
from reconciler.nwfilter.variables import Lookup, required_variables
from reconciler.plan.addresses import Network

_VARIABLES = {"IP": "ipv4", "IPMASK": "ipv4", "IPV6": "ipv6", "IPV6MASK": "ipv6"}


def withdrawn(interface: Interface, held: frozenset[Network], lookup: Lookup) -> Interface | None:
    """The interface with those of its addresses that it holds already; None where no filter can say so.

    Without any address of a family it gets the narrower form of its filter.
    """
    ipv4 = tuple(network for network in interface.ipv4 if network in held)
    ipv6 = tuple(network for network in interface.ipv6 if network in held or network.is_link_local)
    filter = interface.filter
    if bool(ipv4) != bool(interface.ipv4) or bool(ipv6) != bool(interface.ipv6):
        form = dict(interface.forms).get(_form(bool(ipv4), bool(ipv6)))
        if form is None:
            return None
        filter = form
    parameters = _parameters(interface.parameters, {"ipv4": ipv4, "ipv6": ipv6})
    missing = required_variables(lookup, filter) - {name for name, _ in parameters}
    return None if missing else replace(interface, filter=filter, ipv4=ipv4, ipv6=ipv6, parameters=parameters)


def _form(has_ipv4: bool, has_ipv6: bool) -> str:
    if has_ipv4:
        return "dual" if has_ipv6 else "ipv4"
    return "ipv6" if has_ipv6 else "none"


def _parameters(parameters: Parameters, kept: dict[str, Iterable[Network]]) -> Parameters:
    """Variables of addresses and masks in parallel, as the loader writes them; all others as they are."""
    others = [pair for pair in parameters if pair[0] not in _VARIABLES]
    used = {name for name, _ in parameters}
    own = [
        (name, str(network.prefixlen if name.endswith("MASK") else network.network_address))
        for name, family in _VARIABLES.items()
        if name in used
        for network in kept[family]
    ]
    return canonical_parameters([*others, *own])
