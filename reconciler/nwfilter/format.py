"""The canonical model as XML that libvirt accepts; reading it back gives the same filter."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.filter import FilterRef, NwFilter, Rule
from reconciler.nwfilter.protocols import PROTOCOLS

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;"})


def format_filter(filter: NwFilter, uuid: str | None = None) -> str:
    """XML of a filter with the uuid given; without one libvirt chooses a random one."""
    lines = [_opening(filter)]
    if uuid is not None:
        lines.append(f"  <uuid>{uuid}</uuid>")
    for entry in filter.entries:
        lines.extend(_filterref(entry) if isinstance(entry, FilterRef) else _rule(entry))
    return "\n".join((*lines, "</filter>", ""))


def _opening(filter: NwFilter) -> str:
    priority = f" priority='{filter.priority}'" if filter.priority else ""
    return f"<filter name='{_escape(filter.name)}' chain='{filter.chain}'{priority}>"


def _filterref(reference: FilterRef) -> Iterator[str]:
    opening = f"  <filterref filter='{_escape(reference.filter)}'"
    if not reference.parameters:
        yield f"{opening}/>"
        return
    yield f"{opening}>"
    for name, value in reference.parameters:
        yield f"    <parameter name='{name}' value='{value}'/>"
    yield "  </filterref>"


def _rule(rule: Rule) -> Iterator[str]:
    statematch = "" if rule.statematch else " statematch='false'"
    opening = f"  <rule action='{rule.action}' direction='{rule.direction}' priority='{rule.priority}'{statematch}"
    if not rule.matches:
        yield f"{opening}/>"
        return
    yield f"{opening}>"
    for negated, attributes in _runs(rule):
        match = " match='no'" if negated else ""
        yield f"    <{rule.matches[0].protocol}{match}{attributes}/>"
    yield "  </rule>"


def _runs(rule: Rule) -> Iterator[tuple[bool, str]]:
    """Attributes in the order of libvirt's tables, one element for each run of one sign.

    The order counts: libvirt refuses ports in an element that comes before the one with the protocol.
    """
    values = {name: (value, match.negated) for match in rule.matches for name, value in match.attributes}
    run, sign = "", False
    for name in PROTOCOLS[rule.matches[0].protocol]:
        if name not in values:
            continue
        value, negated = values[name]
        if run and negated is not sign:
            yield sign, run
            run = ""
        run, sign = f"{run} {name}='{_escape(value)}'", negated
    yield sign, run


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)
