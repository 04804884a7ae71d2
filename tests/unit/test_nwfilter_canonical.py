"""What libvirt considers the same is equal, what it tells apart differs, what it refuses raises."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples.odd_filters import DIFFERENT, ODD_FILTERS, REFUSED, Odd, Refused, rule

from reconciler.errors import ReconcilerError
from reconciler.model.filter import FilterRef, Match, NwFilter, Rule
from reconciler.nwfilter.parse import parse_dump, parse_filter
from reconciler.nwfilter.syntax import FilterSyntax

STOCK = sorted(Path("/etc/libvirt/nwfilter").glob("*.xml"))


@pytest.mark.parametrize("case", ODD_FILTERS, ids=lambda case: case.id)
def test_odd_ways_equal_the_plain_one(case: Odd) -> None:
    assert parse_filter(case.odd) == parse_filter(case.plain)


@pytest.mark.parametrize(("one", "other"), [pair[1:] for pair in DIFFERENT], ids=[pair[0] for pair in DIFFERENT])
def test_what_libvirt_tells_apart_differs(one: str, other: str) -> None:
    assert parse_filter(one) != parse_filter(other)


def place(marked: str) -> tuple[str, int, int]:
    """The text without its mark, and line and column of the mark."""
    before, _, after = marked.partition("¦")
    return before + after, before.count("\n") + 1, len(before) - before.rfind("\n")


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_refusals_name_id_and_place(case: Refused) -> None:
    text, line, column = place(case.text)
    with pytest.raises(FilterSyntax) as caught:
        parse_filter(text, "filters/x.xml")
    assert (caught.value.id, caught.value.line, caught.value.column) == (case.id, line, column)
    assert str(caught.value).startswith(f"filters/x.xml:{line}:{column}: ")


MALFORMED = (
    ("xml-malformed", "<filter name='a'>\n  <rule>\n¦</filter>"),
    ("xml-malformed", "<filter name='a' ¦name='b'/>"),
    ("xml-malformed", "<filter name='a'/>\n¦<filter name='b'/>"),
    ("xml-malformed", "<filter name='¦&nbsp;'/>"),
    ("xml-malformed", "¦"),
    ("xml-malformed", "<filter name='a'>\n" + "<rule>" * 31 + "¦<rule>" + "<rule>" * 20_000),
    ("xml-typographic-quotes", "<filter name=¦‘a’/>"),
    ("xml-typographic-quotes", "<filter name='ä'>\n  <rule action=¦”drop” direction='in'/></filter>"),
    ("xml-typographic-quotes", "<filter name='a¦’ chain='root'/>"),
    ("xml-typographic-dashes", "<filter name='a'>\n  ¦<!– note –>\n</filter>"),
    ("xml-typographic-dashes", "<filter name='a'>\n  <!-- a note\n  in two lines ¦—>\n</filter>"),
    ("xml-doctype", "<?xml version='1.0'?>\n¦<!DOCTYPE filter [<!ENTITY x 'y'>]>\n<filter name='&x;'/>"),
    ("xml-doctype", "¦<!DOCTYPE filter SYSTEM 'file:///etc/passwd'><filter name='a'/>"),
)


@pytest.mark.parametrize(("id", "text"), MALFORMED)
def test_malformed_xml_names_id_and_place(id: str, text: str) -> None:
    xml, line, column = place(text)
    with pytest.raises(FilterSyntax) as caught:
        parse_filter(xml)
    assert (caught.value.id, caught.value.line, caught.value.column) == (id, line, column)


def test_syntax_errors_are_value_errors_and_reported_without_traceback() -> None:
    with pytest.raises(ValueError, match="malformed") as caught:
        parse_filter("<filter")
    assert isinstance(caught.value, ReconcilerError)


_COMMENTED = "<filter name='a'><rule action='drop' direction='in'><ip comment='é'/></rule></filter>"
_LATIN = f"<?xml version='1.0' encoding='ISO-8859-1'?>{_COMMENTED}"


@pytest.mark.parametrize(
    "text",
    [
        _COMMENTED.encode(),
        f"\ufeff{_COMMENTED}".encode(),
        _COMMENTED.encode("utf-16"),
        _LATIN.encode("latin-1"),
        _LATIN,
    ],
    ids=["utf-8", "byte-order-mark", "utf-16", "latin-1", "text"],
)
def test_encodings(text: bytes | str) -> None:
    assert parse_filter(text).entries == (Rule("drop", "in", matches=(Match("ip", (("comment", "é"),)),)),)


@pytest.mark.parametrize(
    "text",
    [
        b"<filter\n name='\xff'/>",
        b"<?xml version='1.0' encoding='klingon'?><filter/>",
        # In UTF-7 the comment ends where no reviewer sees it end, and there is a rule.
        b"<?xml version='1.0' encoding='utf-7'?><filter><!-- +AC0-+AC0-+AD4- <rule/> +ADw-+ACE-+AC0-+AC0- --></filter>",
        rb"<?xml version='1.0' encoding='unicode_escape'?><filter name='x'>\x3crule action='accept'/></filter>",
        b"<?xml version='1.0' encoding='rot13'?><filter/>",
    ],
)
def test_bytes_that_are_no_text_are_refused(text: bytes) -> None:
    with pytest.raises(FilterSyntax) as caught:
        parse_filter(text)
    assert caught.value.id == "xml-encoding"


def test_what_libvirt_11_prints_is_read_though_9_would_refuse_it() -> None:
    """From `<ip match='no' protocol='tcp'/><ip protocol='tcp' …/>`: ports stand before the protocol that they need."""
    dumped = rule("<ip dstportend='9'/><ip match='no' protocol='tcp' dstportstart='1'/>")
    with pytest.raises(FilterSyntax):
        parse_filter(dumped)
    [entry] = parse_dump(dumped).entries
    assert isinstance(entry, Rule)
    assert [match.negated for match in entry.matches] == [False, True]


def test_a_comment_that_libvirt_garbles_is_refused() -> None:
    with pytest.raises(FilterSyntax) as caught:
        parse_filter(rule("<tcp comment='ssh'/><tcp dscp='1'/>"))
    assert caught.value.id == "filter-comment-garbled"


def test_the_model_holds_defaults_and_places() -> None:
    text = """<filter name='f' chain='ipv4-ip'>
  <uuid>AD1EB401-B1C6-4FFC-B523-03CF81999930</uuid>
  <filterref filter='x'>
    <parameter name='IP' value='10.0.0.1'/>
  </filterref>
  <rule action='return' direction='out'><ip srcipmask='255.0.0.0' srcipaddr='$IP[@0]' match='no' dscp='0x1'/></rule>
</filter>"""
    filter = parse_filter(text, "filters/f.xml")
    match = Match("ip", (("dscp", "1"), ("srcipaddr", "$IP"), ("srcipmask", "8")), negated=True)
    entries = (FilterRef("x", (("IP", "10.0.0.1"),)), Rule("return", "out", 500, True, (match,)))
    assert filter == NwFilter("f", "ipv4-ip", -700, entries)
    assert filter.uuid == "ad1eb401-b1c6-4ffc-b523-03cf81999930"
    assert str(filter.origin) == "filters/f.xml:1:1"
    reference = filter.entries[0]
    assert isinstance(reference, FilterRef)
    assert str(reference.origin) == "filters/f.xml:3:3"


@pytest.mark.parametrize("path", STOCK, ids=lambda path: path.stem)
def test_stock_filters_are_read(path: Path) -> None:
    assert parse_filter(path.read_bytes(), str(path)).name == path.stem
