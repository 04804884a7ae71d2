"""A loaded site as plain JSON values and back. Classes are named in one list, so that no text can name another."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from reconciler.model.disruption import Disruption
from reconciler.model.filter import FilterRef, Match, NwFilter, Rule
from reconciler.model.guest import Attach, Guest, Interface, Power, Role
from reconciler.model.ignore import Ignore
from reconciler.model.origin import Origin
from reconciler.model.probe import Probe, ProbeKind
from reconciler.model.problem import Problem, Severity
from reconciler.model.site import Desired, OnTimeout, Policy, Rollout, Segment, Strategy, Window

_ENUMS: tuple[type[Enum], ...] = (Attach, Disruption, OnTimeout, Power, ProbeKind, Role, Rollout, Severity, Strategy)
_RECORDS: tuple[type, ...] = (
    Desired, FilterRef, Guest, Ignore, Interface, Match, NwFilter, Origin, Policy, Probe, Problem, Rule, Segment,
    Window,
)  # fmt: skip
_ADDRESSES = (IPv4Address, IPv4Network, IPv6Address, IPv6Network)
_BY_VALUE: dict[str, Any] = {each.__name__: each for each in (*_ENUMS, *_ADDRESSES)}
_BY_FIELDS: dict[str, Any] = {each.__name__: each for each in _RECORDS}
_SET = "frozenset"


def to_plain(value: Any) -> Any:
    """Raises `TypeError` for what is of no class of a site."""
    kind = type(value)
    if kind in (str, int, bool, float, type(None)):
        return value
    if kind is tuple:
        return [to_plain(each) for each in value]
    if kind is frozenset:
        return {_SET: sorted(map(to_plain, value))}
    if kind in _ENUMS:
        return {kind.__name__: value.value}
    if kind in _ADDRESSES:
        return {kind.__name__: str(value)}
    if kind in _RECORDS and is_dataclass(value):
        return {kind.__name__: [to_plain(getattr(value, field.name)) for field in fields(value)]}
    raise TypeError(f"a site has no {kind.__name__}")


def from_plain(value: Any) -> Any:
    """Raises `ValueError`, `TypeError` or `KeyError` for what `to_plain` did not write."""
    if isinstance(value, list):
        return tuple(from_plain(each) for each in value)
    if not isinstance(value, dict):
        return value
    ((name, content),) = value.items()
    if name == _SET:
        return frozenset(map(from_plain, content))
    if name in _BY_VALUE:
        return _BY_VALUE[name](content)
    made = _BY_FIELDS[name](*map(from_plain, content))
    if isinstance(made, Window):
        from zoneinfo import ZoneInfo

        ZoneInfo(made.zone)  # a zone may have left the machine since
    return made
