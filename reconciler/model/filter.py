"""nwfilter definitions in canonical form, and references to them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import itemgetter

from reconciler.model.origin import Origin

Parameters = tuple[tuple[str, str], ...]
"""Variables of a filterref in libvirt's order: sorted by name, the order of one name's values kept."""


def canonical_parameters(parameters: Iterable[tuple[str, str]]) -> Parameters:
    """Sort by name as libvirt prints them; values of one name keep their order, duplicates stay."""
    return tuple(sorted(parameters, key=itemgetter(0)))


_PARAMETER_NAME = re.compile(r"[A-Za-z0-9_]*", re.ASCII)
_PARAMETER_VALUE = re.compile(r"[A-Za-z0-9_.:]+", re.ASCII)


def is_valid_parameter(name: str, value: str) -> bool:
    """Whether libvirt keeps a `<parameter>`; it drops others without a word (nwfilter_params.c)."""
    return bool(_PARAMETER_NAME.fullmatch(name) and _PARAMETER_VALUE.fullmatch(value))


def kept_parameters(parameters: Iterable[tuple[str | None, str | None]]) -> Parameters:
    """The parameters of a `<filterref>` as read, None for a missing attribute, without those that libvirt drops."""
    given = ((name, value) for name, value in parameters if name is not None and value is not None)
    return canonical_parameters(pair for pair in given if is_valid_parameter(*pair))


@dataclass(frozen=True, slots=True)
class FilterRef:
    """A `<filterref>`: of a filter to another, of a guest's interface, or of a binding."""

    filter: str
    parameters: Parameters = ()
    origin: Origin | None = field(default=None, compare=False, repr=False)

    def values(self, name: str) -> tuple[str, ...]:
        return tuple(value for key, value in self.parameters if key == name)


@dataclass(frozen=True, slots=True)
class Match:
    """One protocol element of a rule: `<ip match='no' srcipaddr='$IP'/>`; attributes in canonical form, sorted.

    `negated` inverts each attribute by itself, as libvirt does: a packet matches when it differs in all of them.
    """

    protocol: str
    attributes: tuple[tuple[str, str], ...] = ()
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A `<rule>`: its defaults filled in as libvirt does.

    `matches` holds no element, one, or two of one protocol: the attributes to match and those to differ from.
    """

    action: str
    direction: str
    priority: int = 500
    statematch: bool = True
    matches: tuple[Match, ...] = ()


Entry = Rule | FilterRef


@dataclass(frozen=True, slots=True)
class NwFilter:
    """A `<filter>`. Equality is "same effect": the uuid and the place it was read from do not count."""

    name: str
    chain: str = "root"
    priority: int = 0
    entries: tuple[Entry, ...] = ()
    uuid: str | None = field(default=None, compare=False)
    origin: Origin | None = field(default=None, compare=False)

    @property
    def references(self) -> tuple[str, ...]:
        """Names of the filters that this one refers to, in order, each once."""
        return tuple(dict.fromkeys(e.filter for e in self.entries if isinstance(e, FilterRef)))

    def without_identity(self) -> tuple[str, int, tuple[Entry, ...]]:
        return (self.chain, self.priority, self.entries)
