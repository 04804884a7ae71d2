"""The catalogue of checks, its page, and the schemas are what the code does."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.load.catalogue import CATALOGUE, catalogue_markdown
from reconciler.load.schema import schemas

ROOT = Path(__file__).parents[2]
BAD_INPUT = ROOT / "tests" / "golden" / "bad_input"
REPORTING = {"report", "Invalid", "matching", "_fail", "_mislead", "_fault", "_problem", "FilterSyntax", "Problem"}
ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")


def ids_raised_in(path: Path) -> Iterator[str]:
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and getattr(call.func, "attr", getattr(call.func, "id", "")) in REPORTING:
            for argument in call.args:
                if isinstance(argument, ast.Constant) and ID.fullmatch(str(argument.value)):
                    yield str(argument.value)


def sources() -> list[Path]:
    nwfilter = (ROOT / "reconciler" / "nwfilter" / f"{name}.py" for name in ("document", "lint", "lint_match", "parse"))
    return [*(ROOT / "reconciler" / "load").glob("*.py"), *nwfilter]


def test_every_id_in_the_code_is_in_the_catalogue() -> None:
    raised = {id for path in sources() for id in ids_raised_in(path)}
    assert len(raised) > 90
    assert raised <= CATALOGUE.keys()


def test_every_id_has_a_case() -> None:
    golden = {
        line.split(": ")[1]
        for expected in BAD_INPUT.glob("*/expected.txt")
        for line in expected.read_text(encoding="utf-8").splitlines()
    }
    unit = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_load*.py"))
    assert {id for id in CATALOGUE if id not in golden and f'"{id}"' not in unit} == set()


def test_hints_and_meanings_read_alike() -> None:
    for check in CATALOGUE.values():
        assert check.meaning.endswith("."), check.id
        assert not check.hint.endswith("."), check.id
        assert not check.hint[0].isupper(), check.id


def test_page_of_checks_is_current() -> None:
    page = ROOT / "docs" / "checks.md"
    if os.environ.get("RECONCILER_REGENERATE"):
        page.write_text(catalogue_markdown(), encoding="utf-8")
    assert page.read_text(encoding="utf-8") == catalogue_markdown()


@pytest.mark.parametrize("name", ["guest", "site"])
def test_schema_is_current(name: str) -> None:
    text = (ROOT / "state" / "schema" / f"{name}.schema.json").read_text(encoding="utf-8")
    assert json.loads(text) == schemas()[name]


def test_every_field_is_described() -> None:
    for schema in schemas().values():
        for part in (schema, *schema["$defs"].values()):
            assert part["description"]
            assert all("description" in field for field in part["properties"].values())
