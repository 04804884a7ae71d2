"""Markdown and HTML of any verb's document: whatever a site or a host says stays text, and acts nowhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.report.document import document
from reconciler.report.html import html
from reconciler.report.markdown import code, markdown

ATTACKS = (
    "/merge",
    "@everyone please look",
    "\n/close\n/assign @admin",
    "```\n/merge\n```",
    "`````",
    "`/merge`",
    "<script>alert(1)</script>",
    "<!-- nwfilter-reconciler:host=kvm01 -->",
    "![x](https://evil.example/x.png)",
    "[click](javascript:alert(1))",
    "a | b | c",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnp.exe",
    "\r\n/merge\r\n",
    "\u2028/merge\u2029",
    "\x85/merge\x0b\x0c",
    "</pre><h1>x</h1>",
    "&lt;",
    " ",
)


def _drift(text: str, **parts: Any) -> dict[str, Any]:
    return {"object": text, "field": text, "layer": text, "ignored": False, "reason": None, **parts}


def full_of(text: str) -> dict[str, Any]:
    """A document that holds a text wherever one can stand."""
    return document(
        "run",
        host=text,
        source=text,
        outcome=text,
        followed=text,
        stale_since=text,
        widening_reason=text,
        suspended=[text],
        cost={"rebuilds": 1, "seconds": 1.0, "disruption": text},
        error={"message": text, "hint": text},
        found=[_drift(text, desired=text, actual=[text, text])],
        drift=[
            _drift(text, field="f", desired={"filter": text}, actual=None),
            _drift(text, field="g", desired=text, actual=None, ignored=True, reason=text),
        ],
        changes=[{"object": text, "field": text, "before": text, "after": [], "disruption": text}],
        verdicts=[{"guest": text, "mac": text, "sender": text, "case": text, "opens": True}],
        problems=[{"id": text, "severity": text, "path": text, "line": 1, "column": 1, "message": text, "hint": text}],
        steps=[{"describe": text, "reason": text, "revert": text, "disruption": text, "rebuilds": 1}],
        waiting=[{"target": text, "what": text, "why": text, "hint": text}],
        notes=[text],
        execution={
            "ok": False,
            "failed": text,
            "error": text,
            "reverted": [text],
            "unreverted": [{"id": text, "error": text}],
            "run": text,
        },
        interfaces=[{"guest": text, "mac": text, "port": text, "proof": text}],
        cases=[{"guest": text, "mac": text, "case": text, "got": text, "expected": f"not {text}", "rule": text}],
        filters=[{"filter": text, "guest": text, "leaks": [text], "stops": [text]}],
        written=[text],
        skipped=[{"object": text, "reason": text, "hint": text}],
    )


def acting_lines(text: str) -> list[str]:
    """The lines of Markdown that are not code: fenced blocks and spans taken out as CommonMark finds them."""
    kept: list[str] = []
    fence = ""
    for line in re.split(r"\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]", text):
        found = re.match(r"`{3,}", line)
        if fence:
            if line.strip() == "`" * len(line.strip()) and len(line.strip()) >= len(fence):
                fence = ""
        elif found and "`" not in line[len(found.group()) :]:
            fence = found.group()
        else:
            kept.append(re.sub(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", "", line))
    assert not fence, "a fence that nothing ends"
    return kept


def check_inert(text: str) -> None:
    written = acting_lines(markdown(full_of(text)))
    plain = acting_lines(markdown(full_of("x")))
    assert written == plain


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_text_leaves_its_code_in_markdown(attack: str) -> None:
    check_inert(attack)


@given(st.text(alphabet="`~|<>@/\\\n\r \u2028\x1bab-*_[]()!#", min_size=1, max_size=40))
def test_no_random_text_leaves_its_code_in_markdown(text: str) -> None:
    check_inert(text)


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_text_adds_a_cell_to_a_table(attack: str) -> None:
    rows = [line for line in markdown(full_of(attack)).splitlines() if line.startswith("| ")]
    assert len(rows) == 3 and {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}


class _Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_text_becomes_a_tag_in_html(attack: str) -> None:
    page = html(full_of(attack))
    assert _Tags(page).found == _Tags(html(full_of("x"))).found
    assert all(c.isprintable() or c == "\n" for c in page)


def test_a_page_loads_and_runs_nothing() -> None:
    page = html(full_of("x"))
    assert "default-src 'none'" in page
    assert not {"script", "img", "link", "iframe", "a"} & {tag for tag, _ in _Tags(page).found}


def test_every_part_has_a_heading_and_what_it_holds() -> None:
    text = markdown(full_of("told"))
    heads = re.findall("^## (.*)", text, re.MULTILINE)
    assert heads == [
        "error", "problems", "drift that was found", "drift", "drift that the site ignores", "changes",
        "frames with another verdict", "steps", "waiting", "notes", "how it ended", "interfaces",
        "cases that do not hold", "what filters leak", "written", "left out",
    ]  # fmt: skip
    assert re.findall("<h2>(.*)</h2>", html(full_of("told"))) == heads


def test_what_has_nothing_to_say_says_so() -> None:
    assert markdown(document("diff", host="kvm01", source="a" * 40)) == (
        f"# `diff of kvm01`\n\n- commit: `{'a' * 40}`\n\nNothing to tell.\n"
    )


def test_long_lists_end_with_how_much_is_left() -> None:
    text = markdown(document("check", notes=[f"note {number}" for number in range(1000)]))
    assert "note 299" in text and "note 300" not in text and "… and 700 lines more" in text


@pytest.mark.parametrize(
    ("text", "shown"), [("a", "`a`"), ("a`b", "``a`b``"), ("`", "`` ` ``"), ("", "` `"), ("a\nb", "`a\\nb`")]
)
def test_a_span_of_code(text: str, shown: str) -> None:
    assert code(text) == shown
