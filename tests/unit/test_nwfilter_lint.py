"""What libvirt takes and weakens is named, at its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from samples.findings import FINDINGS, in_chain
from samples.odd_filters import DIFFERENT, REFUSED, Refused, rule
from sizes import examples
from strategies import filter_texts
from test_nwfilter_canonical import MALFORMED, STOCK, place

from reconciler.load.catalogue import CATALOGUE
from reconciler.model.problem import Severity
from reconciler.nwfilter.lint import examine, lint
from reconciler.nwfilter.parse import parse_filter
from reconciler.nwfilter.syntax import FilterSyntax


@pytest.mark.parametrize(("id", "marked"), FINDINGS)
def test_findings_name_id_and_place(id: str, marked: str) -> None:
    text, line, column = place(marked)
    problems = lint(text, "filters/x.xml")
    assert [(problem.id, str(problem.origin)) for problem in problems] == [(id, f"filters/x.xml:{line}:{column}")]
    assert problems[0].severity is Severity.ERROR


@pytest.mark.parametrize(
    "marked",
    [
        rule("<ipv6 match='no' srcipaddr='¦$IPV6'/>"),
        rule("<ip match='no' srcipaddr='¦$IP[@1]' srcipmask='$IPMASK[@1]'/>"),
        rule("<ip protocol='tcp'/><ip match='no' dstipaddr='¦$AWAY'/>").replace("drop", "accept"),
        rule("<mac match='no' srcmacaddr='¦$ROUTER'/>").replace("drop", "return"),
    ],
)
def test_a_negated_list_is_a_warning(marked: str) -> None:
    text, line, column = place(marked)
    (problem,) = lint(text)
    assert (problem.id, problem.severity) == ("filter-negated-list", Severity.WARNING)
    assert (problem.origin.line, problem.origin.column) == (line, column)


@pytest.mark.parametrize("body", ["<mac match='no' srcmacaddr='$MAC'/>", "<ip match='no' srcipaddr='$IP[1]'/>"])
def test_one_value_is_no_list(body: str) -> None:
    assert lint(rule(body)) == ()


@pytest.mark.parametrize("body", ["<mac/>", "<ipv6 srcipaddr='$IPV6'/>", "<tcp-ipv6/>", ""])
def test_what_a_chain_takes(body: str) -> None:
    assert lint(in_chain("ipv6", body)) == ()


def test_severity_is_that_of_the_catalogue() -> None:
    texts = (place(marked)[0] for _, marked in FINDINGS)
    problems = [problem for text in (*texts, rule("<ip match='no' srcipaddr='$IP'/>")) for problem in lint(text)]
    assert all(problem.severity is CATALOGUE[problem.id].severity for problem in problems)


def test_places_are_found_in_time_and_in_characters() -> None:
    """Looked for from the start of the file each time, these would take minutes."""
    rules = "<!-- né --><rule action='drop' direction='out'><ip srcipadr='1'/></rule>" * 5000
    attributes = " ".join(f"a{number}='é'" for number in range(10000))
    problems = lint(f"<filter name='f'>{rules}<rule action='drop' direction='in'><ip {attributes}/></rule></filter>")
    assert len(problems) == 15000
    width = len("<!-- né --><rule action='drop' direction='out'><ip srcipadr='1'/></rule>")
    assert problems[4999].origin.column - problems[0].origin.column == 4999 * width
    assert problems[-1].origin.column - problems[-2].origin.column == len("a9999='é' ")


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_what_the_parser_refuses_is_found_at_the_same_place(case: Refused) -> None:
    text, line, column = place(case.text)
    filter, problems = examine(text)
    assert filter is None
    assert (case.id, line, column) in [(found.id, found.origin.line, found.origin.column) for found in problems]


@pytest.mark.parametrize(("id", "marked"), MALFORMED)
def test_malformed_xml_is_one_problem(id: str, marked: str) -> None:
    text, line, column = place(marked)
    assert [(p.id, p.origin.line, p.origin.column) for p in lint(text)] == [(id, line, column)]


def test_every_problem_is_found_at_once_in_the_order_of_the_file() -> None:
    text = """<filter name='f' chain='input'>
  <rule action='dorp' direction='in'><ip srcipaddr='10.0.0.0/8' dstipmask='0'/></rule>
  <rule direction='out'/>
</filter>"""
    assert [problem.id for problem in lint(text)] == [
        "filter-chain",
        "filter-rule-action",
        "filter-address-cidr",
        "filter-mask-zero",
        "filter-attribute-alone",
        "filter-rule-action",
    ]


@pytest.mark.parametrize("path", STOCK, ids=lambda path: path.stem)
def test_libvirts_own_filters_have_no_problem(path: Path) -> None:
    assert lint(path.read_bytes(), str(path)) == ()


@pytest.mark.parametrize("pair", DIFFERENT, ids=lambda pair: pair[0])
def test_deliberate_filters_are_not_refused(pair: tuple[str, str, str]) -> None:
    for text in pair[1:]:
        assert examine(text)[0] == parse_filter(text)


@pytest.mark.fuzz
@settings(max_examples=examples(25, 10000))
@given(filter_texts(wrong=True))
def test_lint_and_parser_agree_on_what_is_refused(text: str) -> None:
    filter, problems = examine(text)
    try:
        expected = parse_filter(text)
    except FilterSyntax as error:
        assert filter is None
        assert error.problem() in problems
    else:
        assert filter == expected
