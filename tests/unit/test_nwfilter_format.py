"""Reading what was formatted gives the same filter."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from samples.odd_filters import rule
from sizes import examples
from strategies import filters

from reconciler.model.filter import FilterRef, Match, NwFilter, Rule
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.parse import parse_filter


@pytest.mark.fuzz
@settings(max_examples=examples(50, 15000))
@given(filters())
def test_reading_what_was_formatted_gives_the_same(filter: NwFilter) -> None:
    assert parse_filter(format_filter(filter, None)) == filter


def test_the_layout_is_libvirts() -> None:
    match = Match("ip", (("comment", "it's <&>"), ("srcipaddr", "$IP")))
    entries = (
        Rule("drop", "out", -10, statematch=False, matches=(match,)),
        Rule("accept", "in"),
        FilterRef("x", (("A", "1"),)),
        FilterRef("y"),
    )
    uuid = "ad1eb401-b1c6-4ffc-b523-03cf81999930"
    assert format_filter(NwFilter("f", "ipv4", -700, entries), uuid) == (
        "<filter name='f' chain='ipv4' priority='-700'>\n"
        f"  <uuid>{uuid}</uuid>\n"
        "  <rule action='drop' direction='out' priority='-10' statematch='false'>\n"
        "    <ip srcipaddr='$IP' comment='it&apos;s &lt;&amp;&gt;'/>\n"
        "  </rule>\n"
        "  <rule action='accept' direction='in' priority='500'/>\n"
        "  <filterref filter='x'>\n"
        "    <parameter name='A' value='1'/>\n"
        "  </filterref>\n"
        "  <filterref filter='y'/>\n"
        "</filter>\n"
    )


def test_the_protocol_comes_before_ports_of_another_sign() -> None:
    filter = parse_filter(rule("<ip match='no' protocol='tcp'/><ip srcportstart='22' srcmacaddr='0:0:0:0:0:1'/>"))
    assert (
        "    <ip srcmacaddr='00:00:00:00:00:01'/>\n    <ip match='no' protocol='tcp'/>\n    <ip srcportstart='22'/>\n"
    ) in format_filter(filter, None)
