"""Reading thousands of objects leaves no circles: a process that seldom looks for garbage would keep them all."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest

from reconciler.domain.errors import DomainXmlError
from reconciler.domain.parse import parse_nics
from reconciler.domain.spans import find_interfaces
from reconciler.nwfilter.parse import parse_dump
from reconciler.nwfilter.syntax import FilterSyntax

FILTER = (
    "<filter name='one' chain='root'><filterref filter='two'/><rule action='drop' direction='in'><ip/></rule></filter>"
)
GUEST = (
    "<domain><name>web01</name><devices><interface type='bridge'><mac address='52:54:00:00:00:01'/>"
    "<source bridge='br0'/><filterref filter='one'/></interface></devices></domain>"
)


def malformed_filter() -> None:
    with pytest.raises(FilterSyntax):
        parse_dump(FILTER[:-3])


def malformed_guest() -> None:
    with pytest.raises(DomainXmlError):
        find_interfaces(GUEST[:-3].encode())


READERS: dict[str, Callable[[], object]] = {
    "a filter": lambda: parse_dump(FILTER),
    "a malformed filter": malformed_filter,
    "a guest": lambda: parse_nics(GUEST),
    "a guest's interfaces": lambda: find_interfaces(GUEST.encode()),
    "a malformed guest": malformed_guest,
}


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("what", READERS)
def test_reading_leaves_no_circle(what: str, uncollected: None) -> None:
    READERS[what]()
    gc.collect()
    for _ in range(50):
        READERS[what]()
    assert gc.collect() < 50
