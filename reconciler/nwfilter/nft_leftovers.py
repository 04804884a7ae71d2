"""What libvirt leaves of nft for a port, and rules of others in its tables: by which commands they are removed.

libvirt builds a port's rules in chains with temporary names, leads the port to them, and gives them their names at
last. When it fails half way it leaves some of that behind; it then builds the next rules into the same chains, after
what is there (measured on 12.8: a refused filterref of a running interface).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from reconciler.model.kernel import ForeignRule
from reconciler.nwfilter.nftables import TABLES, Json, rules_of_hook

_BELOW = r"(?:(?:mac|vlan|stp|arp|rarp|ipv4|ipv6)[^-]*(?:-.*)?-)?"
"""The name of a chain below the root one, which starts with a protocol's."""


def clearing(text: str, port: str, *, whole: bool = False) -> tuple[str, ...]:
    """The commands of nft that remove a port's temporary chains and all that leads to them, in their order.

    With `whole` they remove all chains of the port. `text` is what `nft -j list ruleset` prints.
    """
    listed = json.loads(text)["nftables"]
    name = re.compile(rf"{'(?:n-)?' if whole else 'n-'}{re.escape(port)}-{_BELOW}(?:in|out)")
    return tuple(command for table in TABLES.values() for command in _of_table(listed, table, name))


def _of_table(listed: list[Json], table: str, name: re.Pattern[str]) -> Iterator[str]:
    place = f"bridge {table}"
    for each in _all_of(listed, "map", table):
        left = (key for key, verdict in each.get("elem", ()) if _leads(verdict, name))
        yield from (f"delete element {place} {each['name']} {{ {json.dumps(key)} }}" for key in left)
    for each in _all_of(listed, "rule", table):
        if not name.fullmatch(each["chain"]) and any(_leads(statement, name) for statement in each["expr"]):
            yield f"delete rule {place} {each['chain']} handle {each['handle']}"
    names = [each["name"] for each in _all_of(listed, "chain", table) if name.fullmatch(each["name"])]
    # They lead to one another: all are emptied before any goes.
    for verb in ("flush", "delete"):
        yield from (f"{verb} chain {place} {each}" for each in names)


def _all_of(listed: list[Json], kind: str, table: str) -> list[Json]:
    found = [item[kind] for item in listed if kind in item]
    return [each for each in found if each["family"] == "bridge" and each["table"] == table]


def _leads(statement: Json, name: re.Pattern[str]) -> bool:
    jump = statement.get("jump") or statement.get("goto")
    return bool(jump) and name.fullmatch(str(jump["target"])) is not None


def deletions(text: str, rules: Iterable[ForeignRule]) -> tuple[str, ...]:
    """The commands that delete rules of hooks in libvirt's tables; one that is gone already has none."""
    wanted = {(rule.family, rule.chain, rule.text) for rule in rules}
    return tuple(
        f"delete rule bridge {TABLES[family]} {hook.lower()} handle {handle}"
        for family in TABLES
        for hook, rule, handle in rules_of_hook(text, family)
        if (family, hook, rule.text) in wanted
    )
