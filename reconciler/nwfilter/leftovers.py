"""Rules that libvirt made for ports that are gone, and left behind when it ended in the middle of something."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reconciler.model.kernel import Family, KernelRules, Ruleset

_ROOT_CHAIN = {
    Family.ETHERNET: re.compile(r"libvirt-[IOJP]-(.+)"),
    Family.IPV4: re.compile(r"[FH][IOJP]-(.+)"),
    Family.IPV6: re.compile(r"[FH][IOJP]-(.+)"),
    Family.NFT_INET: re.compile(r"(?:n-)?(.+)-(?:in|out)"),
}
"""libvirt's table of nft for packets has no other chains than these for a port; that for frames has the same."""


def leftover_ports(rules: KernelRules, devices: frozenset[str]) -> tuple[str, ...]:
    """Ports that have chains of libvirt's, and are no network devices of the host any more.

    A host without any device is one that was not asked for them.
    """
    if not devices:
        return ()
    found = {port for ruleset in rules.rulesets if ruleset.family in _ROOT_CHAIN for port in _ports(ruleset)}
    return tuple(sorted(found - devices))


def _ports(ruleset: Ruleset) -> Iterator[str]:
    pattern = _ROOT_CHAIN[ruleset.family]
    return (match[1] for chain in ruleset.chains if (match := pattern.fullmatch(chain.name)))


def leftover_chains(ruleset: Ruleset, port: str) -> tuple[str, ...]:
    """The chains of one port in one family, those that others jump to last."""
    roots = [chain.name for chain in ruleset.chains if _is_root(ruleset.family, chain.name, port)]
    below = [chain.name for chain in ruleset.chains if re.match(rf"[IOJP]-{re.escape(port)}-", chain.name)]
    return (*roots, *(below if ruleset.family is Family.ETHERNET else ()))


def _is_root(family: Family, name: str, port: str) -> bool:
    match = _ROOT_CHAIN[family].fullmatch(name)
    return match is not None and match[1] == port


def jumps_to(ruleset: Ruleset, chains: tuple[str, ...]) -> tuple[str, ...]:
    """The texts of the rules that lead into these chains from any other."""
    return tuple(
        rule.text
        for chain in ruleset.chains
        if chain.name not in chains
        for rule in chain.rules
        if rule.target in chains
    )
