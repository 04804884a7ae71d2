"""Values of a site as plain JSON and back, each field by the type that it is declared with.

What is read becomes nothing but the type that is expected where it stands, so no text can name a class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import NoneType, UnionType
from typing import Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from reconciler.model.site import Window

T = TypeVar("T")
_Way = Callable[[Any], Any] | None
_AS_THEY_ARE = (str, int, bool, float, NoneType)


class _Form(NamedTuple):
    """How values of one type are written and read; None where JSON has them as they are."""

    write: _Way
    read: _Way


def to_plain(value: object) -> Any:
    """Raises `TypeError` for what has a field of another type than a site's."""
    kind: Any = type(value)
    write = _form(kind).write
    return write(value) if write else value


def from_plain(kind: type[T], value: Any) -> T:
    """Raises `ValueError`, `TypeError` or `KeyError` for what `to_plain` did not write of this type."""
    expected: Any = kind
    read = _form(expected).read
    made: T = read(value) if read else value
    return made


@cache
def _form(hint: Any) -> _Form:
    if hint in _AS_THEY_ARE:
        return _Form(None, None)
    if hint in (IPv4Network, IPv6Network):
        return _Form(lambda network: [int(network.network_address), network.prefixlen], lambda two: hint(tuple(two)))
    if hint in (IPv4Address, IPv6Address):
        return _Form(int, hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _Form(lambda member: member.value, {member.value: member for member in hint}.__getitem__)
    if isinstance(hint, type) and is_dataclass(hint):
        return _record(hint)
    origin, inner = get_origin(hint), get_args(hint)
    if origin is tuple:
        return _many(_form(inner[0])) if inner[-1] is ... else _row([_form(each) for each in inner])
    if origin is frozenset:
        form = _many(_form(inner[0]))
        return _Form(lambda found: sorted(form.write(found) if form.write else found), _then(form.read, frozenset))
    if origin is UnionType:
        return _union(inner)
    raise TypeError(f"a site has no {hint}")


def _then(first: _Way, then: Callable[[Any], Any]) -> _Way:
    return lambda value: then(first(value) if first else value)


def _many(form: _Form) -> _Form:
    def over(way: Callable[[Any], Any], kind: type) -> Callable[[Any], Any]:
        return lambda values: kind(map(way, values))

    return _Form(over(form.write, list) if form.write else list, over(form.read, tuple) if form.read else tuple)


def _row(forms: list[_Form]) -> _Form:
    if not any(map(any, forms)):
        return _Form(list, tuple)
    return _Form(_each([form.write for form in forms]), _then(_each([form.read for form in forms]), tuple))


def _record(kind: Any) -> _Form:
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    write = _each([_form(hints[name]).write for name in names])
    read = _each([_form(hints[name]).read for name in names])

    def make(values: Any) -> Any:
        made = kind(*read(values))
        if kind is Window:
            from zoneinfo import ZoneInfo

            ZoneInfo(made.zone)  # a zone may have left the machine since
        return made

    return _Form(lambda record: write([getattr(record, name) for name in names]), make)


def _each(ways: list[_Way]) -> Callable[[Any], list[Any]]:
    needed = [(place, way) for place, way in enumerate(ways) if way]

    def turn(values: Any) -> list[Any]:
        turned = list(values)
        if len(turned) != len(ways):
            raise ValueError(f"{len(ways)} values are expected, not {len(turned)}")
        for place, way in needed:
            turned[place] = way(turned[place])
        return turned

    return turn


def _union(kinds: tuple[Any, ...]) -> _Form:
    """One other type than None needs no name; of several, each value has the place of its type before it."""
    others = [kind for kind in kinds if kind is not NoneType]
    forms = [_form(kind) for kind in others]
    if len(others) == 1:
        write, read = forms[0]
        return _Form(
            write and (lambda value: None if value is None else write(value)),
            read and (lambda value: None if value is None else read(value)),
        )

    writers = {kind: (place, form.write) for place, (kind, form) in enumerate(zip(others, forms, strict=True))}
    readers = [form.read for form in forms]

    def put(value: Any) -> Any:
        place, write = writers[type(value)]
        return [place, write(value) if write else value]

    def take(two: Any) -> Any:
        place, content = two
        read = readers[place]
        return read(content) if read else content

    optional = len(others) < len(kinds)
    return _Form(
        lambda value: None if optional and value is None else put(value),
        lambda two: None if optional and two is None else take(two),
    )
