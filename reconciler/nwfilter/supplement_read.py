"""Our own table, as `nft -j list table` prints it: the gate's ports, the supplement, and what is neither.

nft prints numbers by the names that it knows for them, and which ones it knows differs: here all are numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv6Address, summarize_address_range
from typing import Any

from reconciler.model.kernel import Condition, KernelRule
from reconciler.model.supplement import Element, Supplement
from reconciler.nwfilter.floods import COUNT, COUNTERS, FLOODS, KEY, LIMITED, counting
from reconciler.nwfilter.supplement import OPTIONS, PRIORITIES, RULES, SETS, TARGETS

CLOSED, GATE = "closed", "gate"
GATE_RULE = KernelRule((Condition("iifname", f"@{CLOSED}"),), "DROP")

Json = Any
_NAMES = {
    "ip6": "0x86dd", "tcp": "6", "udp": "17", "ipv6-icmp": "58", "icmpv6": "58", "nd-router-solicit": "133",
    "nd-router-advert": "134", "nd-neighbor-solicit": "135", "nd-neighbor-advert": "136", "nd-redirect": "137",
    "arp": "0x0806", "igmp": "2", "mld-listener-query": "130",
}  # fmt: skip
_BASE = {
    name: {"type": "filter", "hook": "prerouting", "prio": priority, "policy": "accept"}
    for name, priority in {GATE: -350, **PRIORITIES}.items()
}
_CHAINS = (*(name for name, _ in RULES), FLOODS)
_FACTS = (*SETS, LIMITED)


def closed_ports(listing: str) -> frozenset[str]:
    """Ports that the gate holds closed, where its chain and its rule are there to do so."""
    items = _items(listing)
    if not any(kind == "rule" and each["chain"] == GATE and _rule(each) == GATE_RULE for kind, each in items):
        return frozenset()
    found = (each for kind, each in items if kind == "set" and each["name"] == CLOSED)
    return frozenset(str(port) for each in found for port in each.get("elem", ()))


def parse_supplement(listing: str) -> Supplement | None:
    """None where the table has nothing beside the gate. ValueError or KeyError where the text is not nft's."""
    items = _items(listing)
    rules: dict[str, list[KernelRule]] = {}
    elements: list[Element] = []
    others: list[str] = []
    for kind, each in items:
        name = each.get("name", "")
        if kind == "chain" and name in _CHAINS and _is_as_made(each):
            rules.setdefault(name, [])
        elif kind == "rule" and each["chain"] in _CHAINS:
            rules.setdefault(each["chain"], []).append(_rule(each))
        elif kind == "set" and name in _FACTS:
            for element in each.get("elem", ()):
                elements.extend(_elements(name, element))
        elif kind not in ("metainfo", "table") and (kind, name) != ("set", COUNTERS) and not _is_of_gate(kind, each):
            others.append(f"{kind} {name or each.get('chain', '')}: {_shown(kind, each)}")
    if not rules and not elements and not others and not any(kind == "set" and e["name"] in SETS for kind, e in items):
        return None
    ordered = tuple((name, tuple(rules[name])) for name in _CHAINS if name in rules)
    return Supplement(tuple(sorted(elements)), ordered, tuple(others))


def _items(listing: str) -> list[tuple[str, Json]]:
    return [pair for item in json.loads(listing)["nftables"] for pair in item.items()]


def _is_as_made(chain: Json) -> bool:
    """Another hook or policy makes another chain of it."""
    found = {key: chain[key] for key in ("type", "hook", "prio", "policy") if key in chain}
    return bool(found == _BASE.get(chain["name"], {}))


def _is_of_gate(kind: str, each: Json) -> bool:
    if kind == "rule":
        return bool(each["chain"] == GATE) and _rule(each) == GATE_RULE
    return (kind, each.get("name")) == ("set", CLOSED) or (
        (kind, each.get("name")) == ("chain", GATE) and _is_as_made(each)
    )


def _shown(kind: str, each: Json) -> str:
    return _rule(each).text if kind == "rule" else str(each.get("hook", each.get("type", "")))


def _rule(rule: Json) -> KernelRule:
    """What is not understood keeps its own words, and differs from all that is ours."""
    conditions: list[Condition] = []
    target, goto = "CONTINUE", False
    for statement in rule["expr"]:
        kind, content = next(iter(statement.items()))
        if kind in ("accept", "drop"):
            target = kind.upper()
        elif kind in ("goto", "jump"):
            target, goto = content["target"], kind == "goto"
        elif kind == "match":
            conditions.append(_condition(content))
        elif kind == "set":
            conditions.append(_counting(content))
        else:
            conditions.append(Condition(kind, json.dumps(content, sort_keys=True)))
    words = [_words(each) for each in conditions]
    text = " ".join((*words, target.lower() if target.isupper() else f"{'goto' if goto else 'jump'} {target}"))
    return KernelRule(tuple(conditions), target, text, goto=goto)


def _counting(statement: Json) -> Condition:
    """A limit in a set that the kernel fills."""
    try:
        [limit] = (each["limit"] for each in statement["stmt"])
        key = _field(statement["elem"])
        said = f"{'over ' if limit.get('inv') else ''}{limit['rate']}/{limit['per']} burst {limit['burst']} packets"
        if (statement["op"], statement["set"], key) == ("update", f"@{COUNTERS}", KEY) and "rate_unit" not in limit:
            return Condition(COUNT, counting(said))
    except (KeyError, TypeError, ValueError):
        pass
    return Condition("set", json.dumps(statement, sort_keys=True))


def _words(condition: Condition) -> str:
    return f"{condition.option}{' !=' if condition.negated else ''} {condition.value}"


def _condition(match: Json) -> Condition:
    try:
        field = _field(match["left"])
        operator = match["op"]
        if match["right"] is True:
            field, _, value = field.rpartition(" ")
            return Condition(field, value, negated=operator == "!=")
        value = _NAMES.get(str(match["right"]), str(match["right"]))
    except (KeyError, TypeError, ValueError):
        return Condition(json.dumps(match, sort_keys=True), "")
    return Condition(field if operator in ("==", "!=") else f"{field} {operator}", value, negated=operator == "!=")


def _field(left: Json) -> str:
    kind, content = next(iter(left.items()))
    if kind == "payload" and "base" in content:
        return f"@{content['base']},{content['offset']},{content['len']}"
    if kind == "payload":
        return f"{content['protocol']} {content['field']}"
    if kind == "meta":
        return str(content["key"]) if content["key"] in ("iif", "iifname") else f"meta {content['key']}"
    if kind == "exthdr":
        return f"{content['name']} {content['field']}" if "field" in content else f"exthdr {content['name']}"
    if kind == "concat":
        return " . ".join(map(_field, content))
    raise ValueError(kind)


def _elements(name: str, found: Json) -> Iterator[Element]:
    if not isinstance(found, dict):
        yield Element(name, str(found))
        return
    mac, value = found["concat"]
    if name == TARGETS:
        first, last = value["range"] if isinstance(value, dict) else (value, value)
        for network in summarize_address_range(IPv6Address(_number(first)), IPv6Address(_number(last))):
            yield Element(name, str(mac), str(network))
    else:
        yield Element(name, str(mac), f"{_number(value):016x}" if name == OPTIONS else str(value))


def _number(value: int | str) -> int:
    return value if isinstance(value, int) else int(value, 0)
