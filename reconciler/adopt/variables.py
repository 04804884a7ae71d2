"""The parameters of a filterref as addresses, prefixes and whatever else the site has a field for."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TypeVar

from reconciler.adopt.entry import BY_HAND, Inexpressible, Variables
from reconciler.load.values import SEGMENT_VARIABLES, TYPED_VARIABLES
from reconciler.model.filter import FilterRef

N = TypeVar("N", IPv4Network, IPv6Network)


def read_variables(reference: FilterRef, used: frozenset[str]) -> Variables:
    """`used` are the filter's variables. Raises `Inexpressible` where the site would not give back the same ones."""
    if reference.values("MAC"):
        raise Inexpressible("its filterref sets MAC, which the site leaves to libvirt", BY_HAND)
    names = dict.fromkeys(name for name, _ in reference.parameters if name not in TYPED_VARIABLES)
    segment4 = _networks(reference, used, SEGMENT_VARIABLES[4], IPv4Network)
    segment6 = _networks(reference, used, SEGMENT_VARIABLES[6], IPv6Network)
    return Variables(
        _networks(reference, used, ("IP", "IPMASK"), IPv4Network),
        _networks(reference, used, ("IPV6", "IPV6MASK"), IPv6Network),
        (*segment4, *segment6),
        tuple((name, reference.values(name)) for name in names),
    )


def _networks(reference: FilterRef, used: frozenset[str], names: tuple[str, str], kind: type[N]) -> tuple[N, ...]:
    address_name, mask_name = names
    addresses, masks = (reference.values(name) for name in names)
    for name, values in zip(names, (addresses, masks), strict=True):
        if values and name not in used:
            reason = f"its filterref sets {name}, which the filter {reference.filter} does not use"
            raise Inexpressible(reason, BY_HAND)
    if mask_name not in used:
        return tuple(_network(address_name, address, None, kind) for address in addresses)
    if len(addresses) != len(masks):
        counted = f"{len(addresses)} of {address_name} and {len(masks)} of {mask_name}"
        raise Inexpressible(f"its filterref gives {counted}, which the filter walks in parallel", BY_HAND)
    pairs = zip(addresses, masks, strict=True)
    return tuple(_network(address_name, address, mask, kind) for address, mask in pairs)


def _network(name: str, address: str, mask: str | None, kind: type[N]) -> N:
    """The network that the site would write in the same characters."""
    written = address if mask is None else f"{address}/{mask}"
    try:
        network = kind(written, strict=False)
    except ValueError:
        raise Inexpressible(
            f"its filterref sets {name} to {written}, which is no address of that family", BY_HAND
        ) from None
    if (address, mask or str(network.max_prefixlen)) != (str(network.network_address), str(network.prefixlen)):
        reason = f"its filterref sets {name} to {written}, which the site can only write as {network}"
        raise Inexpressible(reason, BY_HAND)
    return network
