"""Tables of nft that sleep (`flags dormant`): they are listed with all their rules, and no frame meets one.

The rules of ebtables and iptables are in such tables too, where these programs are nft's.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from reconciler.model.kernel import Family, Ruleset
from reconciler.nwfilter.nftables import TABLES

Table = tuple[str, str]
"""Its family and its name."""

_TABLES: dict[Family, Table] = {
    Family.ETHERNET: ("bridge", "nat"),
    Family.IPV4: ("ip", "filter"),
    Family.IPV6: ("ip6", "filter"),
    **{family: ("bridge", name) for family, name in TABLES.items()},
}
_HOOKS = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})
_AWAKE = frozenset({"owner", "persist"})


def sleeping_tables(text: str) -> frozenset[Table]:
    """Those that a listing in JSON shows asleep. nft 1.0 prints a flag as any text at all, and of awake tables none."""
    listed = json.loads(text)
    items = (item["table"] for item in listed["nftables"] if "table" in item) if isinstance(listed, dict) else ()
    return frozenset((table["family"], table["name"]) for table in items if not _flags(table) <= _AWAKE)


def _flags(table: dict[str, Any]) -> frozenset[str]:
    flags = table.get("flags", [])
    return frozenset(flags if isinstance(flags, list) else [flags])


def as_met(ruleset: Ruleset, sleeping: frozenset[Table]) -> Ruleset:
    """The rules that frames meet: of a table that sleeps nothing that leads into its chains."""
    if _TABLES.get(ruleset.family) not in sleeping:
        return ruleset
    chains = (replace(each, rules=(), policy="ACCEPT") if each.name in _HOOKS else each for each in ruleset.chains)
    return replace(ruleset, chains=tuple(chains))


def waking(sleeping: frozenset[Table]) -> str:
    """Commands for nft, empty where none is needed: to add a table without flags takes its flags away."""
    tables = sorted(sleeping & frozenset(_TABLES.values()))
    return "".join(f"add table {family} {name}\n" for family, name in tables)
