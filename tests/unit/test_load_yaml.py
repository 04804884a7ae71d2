"""The YAML reader: types, places and limits."""

from __future__ import annotations

import pytest

from reconciler.load.findings import Findings
from reconciler.load.node import Node
from reconciler.load.yamlfile import MAX_NODES, read_yaml
from reconciler.model.origin import Origin


def read(text: str | bytes) -> tuple[Node | None, Findings]:
    findings = Findings()
    content = text.encode() if isinstance(text, str) else text
    return read_yaml("x.yaml", content, findings), findings


def value(text: str) -> object:
    node, findings = read(f"key: {text}\n")
    assert node is not None and not findings.in_order()
    assert isinstance(node.data, dict)
    return node.data["key"]


def problem(text: str | bytes) -> tuple[str, int, int]:
    _, findings = read(text)
    (found,) = findings.in_order()
    return found.id, found.origin.line, found.origin.column


@pytest.mark.parametrize(
    "text",
    [
        *("no", "yes", "on", "off", "NO", "y", "n"),
        *("0777", "0o17", "0x1F", "1_000", "00", "-01", "1e", ".", "+", "..", "9" * 30),
        *("22:22", "190:20:30", "12:30:45.5", "2001-12-14", "52:54:00:30:fc:2d", "fe80::1", "10.0.0.1", "1.2.3"),
        *("=", "none", ".inf", ".nan"),
    ],
)
def test_stays_the_text_that_was_written(text: str) -> None:
    assert value(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("0", 0),
        ("-12", -12),
        ("+7", 7),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ('"1"', "1"),
        ("'true'", "true"),
        ('"~"', "~"),
        ("[]", []),
        ("{}", {}),
    ],
)
def test_core_types(text: str, expected: object) -> None:
    assert value(text) == expected
    assert type(value(text)) is type(expected)


def test_keys_are_words() -> None:
    node, _ = read("1: a\ntrue: b\n~: c\n")
    assert node is not None
    assert node.data == {"1": "a", "true": "b", "~": "c"}


def test_places_count_characters_from_one() -> None:
    node, _ = read('ä: "ü"\nlist: [ä, {b: c}]\n')
    assert node is not None
    assert node.key_origin("list") == Origin("x.yaml", 2, 1)
    assert node.at("ä").origin == Origin("x.yaml", 1, 4)
    assert node.at("list", 1, "b").origin == Origin("x.yaml", 2, 15)
    assert node.at("list", 7, "nowhere").origin == Origin("x.yaml", 2, 7)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\n" + "b: " + "[" * 25_000, ("yaml-too-deep", 2, 35)),
        ("- " * 25_000, ("yaml-too-deep", 1, 65)),
        ("{a: " * 25_000, ("yaml-too-deep", 1, 129)),
        ("[" + "a," * MAX_NODES + "]", ("yaml-too-large", 1, 2 * MAX_NODES)),
        (b"#" * (1 << 20) + b"\n", ("file-too-large", 1, 1)),
        (b"a: b\nc: \xc3\xa4\xff", ("not-utf8", 2, 5)),
        (b"\xff\xfea\x00:\x00", ("not-utf8", 1, 1)),
        ("a: b\u2028c", ("control-character", 1, 5)),
        ("a: b\x00", ("control-character", 1, 5)),
        ("a: b # e\u0301", ("not-composed", 1, 8)),
        ("a: b\nc: \u212b", ("not-composed", 2, 4)),
        ("a: b\u200b", ("control-character", 1, 5)),
        ("a: b # \u061c", ("control-character", 1, 8)),
        ("a: b # \u00ad", ("control-character", 1, 8)),
        ("a: b # \U000e0041", ("control-character", 1, 8)),
        ("a: b # a comment\rc: d\n", ("control-character", 1, 17)),
        ("a: b\r\r\nc: d\r\n", ("control-character", 1, 5)),
        ("a:\n\t- b", ("yaml-tab", 2, 1)),
        ("a: b\n\t\nc: d", ("yaml-tab", 2, 1)),
        ("a:\n  \tb: c", ("yaml-tab", 2, 3)),
        ("%YAML 3.0\n---\na: b", ("yaml-syntax", 1, 1)),
        ("a: b: c", ("yaml-syntax", 1, 5)),
        ("a: b\n...\n---\nc: d\n", ("yaml-documents", 3, 1)),
        ("[a]: b", ("yaml-key", 1, 1)),
        ("{a: b}: c", ("yaml-key", 1, 1)),
        ("a: !!str b", ("yaml-tag", 1, 4)),
        ("a: ! b", ("yaml-tag", 1, 4)),
        ("&x a: b", ("yaml-alias", 1, 1)),
        ("# nothing", ("yaml-empty", 1, 1)),
        ("~", ("yaml-empty", 1, 1)),
        ("a: 1\n'a': 2", ("duplicate-key", 2, 1)),
        ("a: 52:54:00:12:34:56", ("mac-unquoted", 1, 4)),
        ("a: 00:00:00:00:00:00", ("mac-unquoted", 1, 4)),
        ("a: [x,\u00a0y]", ("typographic-character", 1, 7)),
        ("a: “b c”", ("typographic-character", 1, 4)),
        ("– a", ("typographic-character", 1, 1)),
    ],
)
def test_refuses(text: str | bytes, expected: tuple[str, int, int]) -> None:
    assert problem(text) == expected


@pytest.mark.parametrize("text", ["# “quotes” – and dashes\na: b # …\n", "a: b\t# tab\n", "a: b\r\nc: d\r\n"])
def test_accepts_in_comments_and_at_ends(text: str) -> None:
    node, findings = read(text)
    assert node is not None
    assert not findings.in_order()


def test_quoted_values_are_taken_as_they_are() -> None:
    assert value('"52:54:00:12:34:56"') == "52:54:00:12:34:56"
    assert value('"“quoted”"') == "“quoted”"


def test_aliases_are_not_expanded() -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 9))
    node, findings = read("l0: &l0 x\n" + levels)
    assert node is None
    assert {found.id for found in findings.in_order()} == {"yaml-alias"}


def test_pure_python_reader_gives_the_same_places(monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    from reconciler.load import yamlfile

    text = 'a: [b, "ü", 1]\nc: {d: e, "f": ~}\na: &x 2\n'
    fast = read(text)[1].in_order()
    monkeypatch.setattr(yamlfile, "_Loader", yaml.SafeLoader)
    assert read(text)[1].in_order() == fast
