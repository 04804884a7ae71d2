"""Read what `nft -j list ruleset` prints of libvirt's tables into the rule model.

libvirt has two tables of the bridge family, of the same form: base chains `prerouting` and `postrouting`, each with
one look-up of the interface in a map of jumps, `vmap-iif` and `vmap-oif`; chains `PORT-out` and `PORT-in` behind them.
An element of the map becomes a rule at the place of the look-up; base chains get the names of their hooks.
Counters, logs and traces decide nothing, and are left out.

Source of the JSON: libnftables-json(5).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from reconciler.model.kernel import Condition, Family, KernelChain, KernelRule, Ruleset
from reconciler.nwfilter.nft_rules import SAME_ADDRESSES, rule_text, settled
from reconciler.nwfilter.nft_values import MASK, canonical_range, canonical_set, canonical_value, ordinal

TABLES = {Family.NFT_ETHERNET: "libvirt_nwfilter_ethernet", Family.NFT_INET: "libvirt_nwfilter_inet"}
Json = Any
_Maps = Mapping[str, list[Json]]

_VERDICTS = ("accept", "drop", "return", "continue")
_WITHOUT_EFFECT = ("counter", "log", "mangle")
_INTERFACES = {
    "iif": "in-interface", "iifname": "in-interface", "oif": "out-interface", "oifname": "out-interface",
}  # fmt: skip


def has_tables(text: str) -> bool:
    """Whether a listing has libvirt's tables."""
    return all(any(_is_of(item, "table", name, "name") for item in _items(text)) for name in TABLES.values())


def parse_nftables(text: str) -> tuple[Ruleset, Ruleset]:
    """The rules of frames and those of packets. ValueError where the text is not nft's."""
    items = list(_items(text))
    return _table(items, Family.NFT_ETHERNET), _table(items, Family.NFT_INET)


def _items(text: str) -> Iterator[Json]:
    listed = json.loads(text)
    yield from listed["nftables"] if isinstance(listed, dict) else ()


def _is_of(item: Json, kind: str, table: str, key: str = "table") -> bool:
    return kind in item and item[kind]["family"] == "bridge" and item[kind][key] == table


def _table(items: list[Json], family: Family) -> Ruleset:
    of_table = {
        kind: [item[kind] for item in items if _is_of(item, kind, TABLES[family])]
        for kind in ("chain", "rule", "map", "set")
    }
    maps = {each["name"]: each.get("elem", []) for each in of_table["map"]}
    changed = frozenset(f"@{each['name']}" for each in of_table["set"] if not _is_libvirts(each))
    hooks = _hooks(of_table["chain"])
    chains: dict[str, list[KernelRule]] = {each["name"]: [] for each in of_table["chain"]}
    for rule in of_table["rule"]:
        chain = rule["chain"]
        chains.setdefault(chain, []).extend(_rules(rule, hooks.get(chain, chain), maps, changed))
    policies = {each["name"]: each.get("policy", "-").upper() for each in of_table["chain"]}
    named = (KernelChain(hooks.get(name, name), policies.get(name, "-"), tuple(chains[name])) for name in chains)
    return Ruleset(tuple(named), family)


def _hooks(chains: list[Json]) -> dict[str, str]:
    """libvirt's own base chains, by their names; those of others in its tables end no frame's way through them."""
    return {each["name"]: each["hook"].upper() for each in chains if each.get("hook") == each["name"]}


def rules_of_hook(text: str, family: Family) -> Iterator[tuple[str, KernelRule, int]]:
    """The rules of libvirt's base chains that look up no interface: each behind its hook, before its handle."""
    items = list(_items(text))
    hooks = _hooks([item["chain"] for item in items if _is_of(item, "chain", TABLES[family])])
    for rule in (item["rule"] for item in items if _is_of(item, "rule", TABLES[family])):
        hook = hooks.get(rule["chain"])
        if hook is not None and not any("vmap" in statement for statement in rule["expr"]):
            yield from ((hook, found, rule["handle"]) for found in _rules(rule, hook, {}, frozenset()))


def _is_libvirts(found: Json) -> bool:
    """Whether the set by which libvirt compares addresses holds pairs of equal ones alone, and all of them."""
    pairs = [each.get("concat", ["", "-"]) for each in found.get("elem", []) if isinstance(each, dict)]
    return f"@{found['name']}" == SAME_ADDRESSES and len(pairs) == 4 * 255 + 1 and all(a == b for a, b in pairs)


def _rules(rule: Json, chain: str, maps: _Maps, changed: frozenset[str]) -> Iterator[KernelRule]:
    conditions: list[Condition] = []
    verdict: Json = {"continue": None}
    for statement in rule["expr"]:
        kind, content = next(iter(statement.items()))
        if kind == "match":
            conditions.append(_condition(content, changed))
        elif kind == "vmap" and len(rule["expr"]) == 1 and str(content["data"]).startswith("@"):
            yield from _elements(content, chain, maps)
            return
        elif kind in (*_VERDICTS, "jump", "goto", "reject"):
            verdict = statement
        elif kind not in _WITHOUT_EFFECT:
            conditions.append(_other(kind, content))
    if "comment" in rule:
        conditions.append(Condition("comment", rule["comment"]))
    yield _rule(chain, conditions, verdict)


def _elements(content: Json, chain: str, maps: _Maps) -> Iterator[KernelRule]:
    """One rule for every element of a map of verdicts: an interface has one at most."""
    option = _left(content["key"])
    for key, verdict in maps.get(content["data"][1:], ()):
        yield _rule(chain, [Condition(option, str(key))], verdict)


def _rule(chain: str, conditions: list[Condition], verdict: Json) -> KernelRule:
    kind, content = next(iter(verdict.items()))
    target = content["target"] if kind in ("jump", "goto") else kind.upper()
    rule = settled(KernelRule(tuple(conditions), target, goto=kind == "goto"))
    return replace(rule, text=rule_text(chain, rule))


def _other(kind: str, content: Json) -> Condition:
    if kind == "ct count":
        return Condition("ct count", f"{'over ' if content.get('inv') else ''}{content['val']}")
    return Condition(kind, json.dumps(content, sort_keys=True))


def _condition(match: Json, changed: frozenset[str]) -> Condition:
    """A match; one that is not understood keeps its own words, and differs from all others."""
    try:
        found = _understood(match["op"], _left(match["left"]), match["right"])
    except (ValueError, KeyError, TypeError, IndexError):
        return Condition(json.dumps(match["left"], sort_keys=True), json.dumps([match["op"], match["right"]]))
    return replace(found, value=f"{found.value} (changed)") if found.value in changed else found


def _understood(operator: str, field: str, right: Json) -> Condition:
    """nft prints whether any of some bits is set as `in`, and whether none is as `!`."""
    if operator == "in" and field == "ct state":
        return Condition(field, canonical_value(field, ",".join([right] if isinstance(right, str) else right)))
    if operator in ("in", "!") and field == "tcp flags":
        return Condition(f"{field}{MASK}{_bits(field, right)}", "0x00", negated=operator == "in")
    if operator not in ("==", "!="):
        return Condition(f"{field} {operator}", json.dumps(right, sort_keys=True))
    field, value = _shorter(field, _right(field, right))
    return Condition(field, value, negated=operator == "!=")


def _left(left: Json) -> str:
    """A field by nft's words."""
    kind, content = next(iter(left.items()))
    if kind == "payload" and "base" in content:
        return f"@{content['base']},{content['offset']},{content['len']}"
    if kind == "payload":
        return f"{content['protocol']} {content['field']}"
    if kind == "meta":
        return _INTERFACES.get(content["key"], f"meta {content['key']}")
    if kind == "ct" and content.keys() == {"key"}:
        return f"ct {content['key']}"
    if kind == "concat":
        return " . ".join(map(_left, content))
    if kind == "&":
        field = _left(content[0])
        return f"{field}{MASK}{_bits(field, content[1])}"
    raise ValueError(f"{kind} is not understood")


def _bits(field: str, mask: Json) -> str:
    if not isinstance(mask, dict | list):
        return canonical_value(field, str(mask))
    words = mask["|"] if isinstance(mask, dict) else mask
    bits = 0
    for word in words:
        bits |= int(_bits(field, word), 0)
    return canonical_value(field, str(bits))


def _right(field: str, right: Json) -> str:
    match right:
        case {"prefix": {"addr": address, "len": length}}:
            return canonical_value(field, f"{address}/{length}")
        case {"range": [low, high]}:
            return canonical_range(field, str(low), str(high))
        case {"set": values}:
            return canonical_set(_right(field, each) for each in values)
        case str() if right.startswith("@"):
            return right
        case str() | int():
            return canonical_value(field, str(right))
        case _:
            return _bits(field, right)


def _shorter(field: str, value: str) -> tuple[str, str]:
    """A raw field of whole bytes whose last bits are masked away, as the shorter field that it is."""
    name, _, mask = field.partition(MASK)
    if not name.startswith("@") or not mask:
        return field, value
    base, offset, length = name.split(",")
    ignored = _trailing_zeros(int(mask))
    if int(mask) != (1 << int(length)) - (1 << ignored):
        return field, value
    return f"{base},{offset},{int(length) - ignored}", str(ordinal(name, value) >> ignored)


def _trailing_zeros(number: int) -> int:
    return (number & -number).bit_length() - 1 if number else 0
