"""libvirt itself judges the canonical form: define under a scratch name, read back, undefine.

Nothing refers to the scratch filter, so libvirt rebuilds no rules: some 2 ms a question.
"""

from __future__ import annotations

import re
from pathlib import Path

import libvirt
import pytest
from hypothesis import HealthCheck, given, settings
from samples.odd_filters import DIFFERENT, ODD_FILTERS, REFUSED, Odd, Refused
from sizes import examples, seeded
from strategies import filter_texts

from reconciler.lab.handle import Lab
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.guard import mark_uuid
from reconciler.nwfilter.lint import lint
from reconciler.nwfilter.parse import parse_dump, parse_filter
from reconciler.nwfilter.syntax import FilterSyntax

pytestmark = pytest.mark.lab

STOCK = sorted(Path("/etc/libvirt/nwfilter").glob("*.xml"))
SCRATCH = "scratch"
DECLINED_HERE = {"filter-comment-garbled", "xml-doctype"}
"""What libvirt takes and prints at random, or what no filter needs."""

NEWER = 11_003_000
"""libvirt 11.3 refuses a rule's priority that is no number, and takes ports before the protocol that they need."""
PRIORITY_IN_WORDS = re.compile("<rule[^>]* priority='[a-z]")
ORACLE_SETTINGS = settings(
    max_examples=examples(700, 20000), suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Oracle:
    """libvirt's dump of an XML text, None if libvirt refuses it."""

    def __init__(self, uri: str) -> None:
        self._connection = libvirt.open(uri)
        self.is_newer = self._connection.getLibVersion() >= NEWER
        self.declined = DECLINED_HERE | ({"filter-port-protocol"} if self.is_newer else set())

    def __call__(self, text: str) -> str | None:
        try:
            defined = self._connection.nwfilterDefineXML(text)
        except libvirt.libvirtError:
            return None
        xml = defined.XMLDesc(0)
        defined.undefine()
        return str(xml)


@pytest.fixture(scope="module")
def oracle(shared_lab: Lab) -> Oracle:
    return Oracle(shared_lab.uri)


def agree(oracle: Oracle, text: str) -> bool:
    """Whether libvirt takes the text; asserts that the canonical form is the same before and after it."""
    dumped = oracle(text)
    try:
        filter = parse_filter(text)
    except FilterSyntax as error:
        # The last: libvirt wrote a file that it cannot read again, so it would be lost at its next start.
        assert dumped is None or error.id in oracle.declined or oracle(dumped) is None, text
        return False
    if dumped is None and oracle.is_newer and PRIORITY_IN_WORDS.search(text):
        return False
    assert dumped is not None, f"libvirt refuses what we take: {text}"
    assert parse_dump(dumped) == filter
    formatted = oracle(format_filter(filter, None))
    assert formatted is not None, f"libvirt refuses what we format: {format_filter(filter, None)}"
    assert parse_filter(formatted) == filter
    return True


REFUSED_LATER = {"priority-not-a-number"}
TAKEN_LATER = "<ip srcportstart='22'/><ip protocol='tcp'/>"
"""Since 12.8 at the latest: it looks for the protocol of ports when it has read all of a rule's elements."""


def is_first_release(oracle: Oracle) -> bool:
    """Whether this is libvirt 9.0, which all that is canonical was first held to."""
    return oracle(f"<filter name='{SCRATCH}'><rule action='drop' direction='in' priority='soon'/></filter>") is not None


@pytest.mark.parametrize("path", STOCK, ids=lambda path: path.stem)
def test_stock_filters(oracle: Oracle, path: Path) -> None:
    filter = parse_filter(path.read_bytes())
    assert agree(oracle, path.read_text().replace(f"name='{filter.name}'", f"name='{SCRATCH}'"))


@pytest.mark.parametrize("case", ODD_FILTERS, ids=lambda case: case.id)
def test_odd_ways(oracle: Oracle, case: Odd) -> None:
    assert agree(oracle, case.odd) or (oracle.is_newer and PRIORITY_IN_WORDS.search(case.odd))
    assert agree(oracle, case.plain)


@pytest.mark.parametrize("pair", DIFFERENT, ids=lambda pair: pair[0])
def test_libvirt_tells_these_apart(oracle: Oracle, pair: tuple[str, str, str]) -> None:
    one, other = (oracle(text) for text in pair[1:])
    assert one is not None
    assert other is not None
    assert parse_filter(one) != parse_filter(other)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_libvirt_refuses_these(oracle: Oracle, case: Refused) -> None:
    if case.id not in oracle.declined:
        assert oracle(case.text.replace("¦", "")) is None


@pytest.mark.fuzz
@seeded(20240601)
@ORACLE_SETTINGS
@given(text=filter_texts(SCRATCH))
def test_any_filter(oracle: Oracle, text: str) -> None:
    agree(oracle, text)


@pytest.mark.fuzz
@seeded(20240602)
@ORACLE_SETTINGS
@given(text=filter_texts(SCRATCH, wrong=True))
def test_any_filter_with_mistakes(oracle: Oracle, text: str) -> None:
    if oracle(text) is None:
        assert lint(text), f"libvirt refuses what lint takes: {text}"
    agree(oracle, text)


def test_the_mark_is_what_libvirt_keeps(oracle: Oracle) -> None:
    uuid = mark_uuid(SCRATCH)
    dumped = oracle(f"<!-- mine --><filter name='{SCRATCH}' owner='me'><uuid>{uuid}</uuid></filter>")
    assert dumped is not None
    assert parse_filter(dumped).uuid == uuid
    assert "mine" not in dumped
    assert "owner" not in dumped
