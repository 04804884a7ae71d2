"""What a failed build leaves of nft, and how it is removed.

libvirt builds a port's rules in chains with temporary names, leads the port to them, and gives them their names at
last. When it fails half way it leaves some of that behind; it then builds the next rules into the same chains, after
what is there (measured on 12.8: a refused filterref of a running interface).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from reconciler.nwfilter.nftables import TABLES, Json


def clearing(text: str, port: str) -> tuple[str, ...]:
    """The commands of nft that remove a port's temporary chains and all that leads to them, in their order.

    `text` is what `nft -j list ruleset` prints.
    """
    listed = json.loads(text)["nftables"]
    return tuple(command for table in TABLES.values() for command in _of_table(listed, table, f"n-{port}-"))


def _of_table(listed: list[Json], table: str, prefix: str) -> Iterator[str]:
    place = f"bridge {table}"
    for each in _all_of(listed, "map", table):
        left = (key for key, verdict in each.get("elem", ()) if _leads(verdict, prefix))
        yield from (f"delete element {place} {each['name']} {{ {json.dumps(key)} }}" for key in left)
    for each in _all_of(listed, "rule", table):
        if not each["chain"].startswith(prefix) and any(_leads(statement, prefix) for statement in each["expr"]):
            yield f"delete rule {place} {each['chain']} handle {each['handle']}"
    names = [each["name"] for each in _all_of(listed, "chain", table) if each["name"].startswith(prefix)]
    # They lead to one another: all are emptied before any goes.
    for verb in ("flush", "delete"):
        yield from (f"{verb} chain {place} {name}" for name in names)


def _all_of(listed: list[Json], kind: str, table: str) -> list[Json]:
    found = [item[kind] for item in listed if kind in item]
    return [each for each in found if each["family"] == "bridge" and each["table"] == table]


def _leads(statement: Json, prefix: str) -> bool:
    jump = statement.get("jump") or statement.get("goto")
    return bool(jump) and str(jump["target"]).startswith(prefix)
