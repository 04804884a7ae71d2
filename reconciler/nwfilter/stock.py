"""The filters that libvirt 9.0 ships: what each refers to and which variables its own rules use.

Facts for checks without a host. A host's own copies may be older or changed: packages never rewrite them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class StockFilter(NamedTuple):
    references: tuple[str, ...] = ()
    variables: frozenset[str] = frozenset()


STOCK_FILTERS: Mapping[str, StockFilter] = MappingProxyType(
    {
        "allow-arp": StockFilter(),
        "allow-dhcp-server": StockFilter(variables=frozenset({"DHCPSERVER"})),
        "allow-dhcp": StockFilter(),
        "allow-dhcpv6-server": StockFilter(variables=frozenset({"DHCPSERVER"})),
        "allow-dhcpv6": StockFilter(),
        "allow-incoming-ipv4": StockFilter(),
        "allow-incoming-ipv6": StockFilter(),
        "allow-ipv4": StockFilter(),
        "allow-ipv6": StockFilter(),
        "clean-traffic-gateway": StockFilter(
            references=(
                "no-mac-spoofing",
                "no-ip-spoofing",
                "no-arp-spoofing",
                "no-other-l2-traffic",
                "qemu-announce-self",
            ),
            variables=frozenset({"GATEWAY_MAC"}),
        ),
        "clean-traffic": StockFilter(
            references=(
                "no-mac-spoofing",
                "no-ip-spoofing",
                "allow-incoming-ipv4",
                "no-arp-spoofing",
                "no-other-l2-traffic",
                "qemu-announce-self",
            )
        ),
        "no-arp-ip-spoofing": StockFilter(variables=frozenset({"IP"})),
        "no-arp-mac-spoofing": StockFilter(variables=frozenset({"MAC"})),
        "no-arp-spoofing": StockFilter(
            references=(
                "no-arp-mac-spoofing",
                "no-arp-ip-spoofing",
            )
        ),
        "no-ip-multicast": StockFilter(),
        "no-ip-spoofing": StockFilter(variables=frozenset({"IP"})),
        "no-ipv6-multicast": StockFilter(),
        "no-ipv6-spoofing": StockFilter(variables=frozenset({"IPV6"})),
        "no-mac-broadcast": StockFilter(),
        "no-mac-spoofing": StockFilter(variables=frozenset({"MAC"})),
        "no-other-l2-traffic": StockFilter(),
        "no-other-rarp-traffic": StockFilter(),
        "qemu-announce-self-rarp": StockFilter(variables=frozenset({"MAC"})),
        "qemu-announce-self": StockFilter(
            references=(
                "qemu-announce-self-rarp",
                "no-other-rarp-traffic",
            )
        ),
    }
)


def stock_closure(name: str) -> tuple[str, ...]:
    """A stock filter and all that it reaches, itself first; only the name if libvirt ships no such filter."""
    reached: dict[str, None] = {name: None}
    for reference in STOCK_FILTERS.get(name, StockFilter()).references:
        reached.update(dict.fromkeys(stock_closure(reference)))
    return tuple(reached)


def stock_variables(name: str) -> frozenset[str]:
    """The variables that a stock filter needs from outside, libvirt's own MAC not counted."""
    reached = (STOCK_FILTERS.get(each, StockFilter()) for each in stock_closure(name))
    return frozenset().union(*(filter.variables for filter in reached)) - {"MAC"}
