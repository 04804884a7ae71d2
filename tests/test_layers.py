"""The architecture that the folders show, held: who may import whom, and who alone may import what."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "reconciler"

PURE = {"model", "nwfilter", "domain", "load", "diff", "plan", "adopt", "report"}
WORLD = {
    "admission", "ahead", "app", "cli", "execute", "git", "host", "lab", "publish", "records", "settings", "source",
    "stories", "verbs",
}  # fmt: skip

ALLOWED: dict[str, set[str]] = {
    "errors": {"model"},
    "model": {"model", "errors"},
    "nwfilter": {"nwfilter", "model", "errors"},
    "domain": {"domain", "model", "errors"},
    "load": {"load", "nwfilter", "model", "errors"},
    "diff": {"nwfilter", "domain", "model"},
    "plan": {"plan", "nwfilter", "domain", "model", "errors"},
    "adopt": {"adopt", "load", "diff", "nwfilter", "model", "errors"},
    "report": {"report", "model", "errors"},
    "host": {"host", "nwfilter", "domain", "model", "errors"},
    "git": {"git", "errors"},
    "source": {"source", "git", "model", "errors"},
    "units": set(),
    "admission": {"admission", "host"},
    "publish": {"publish", "git", "model", "errors"},
    "records": {"records", "model", "errors"},
    "execute": {"execute", "host", "nwfilter", "domain", "model", "errors"},
    "lab": {"lab", "host", "nwfilter", "domain", "model", "errors"},
    "settings": {"load", "errors"},
    "ahead": set(),
    "app": (PURE | WORLD | {"errors"}) - {"verbs", "cli"},
    "stories": (PURE | WORLD | {"errors"}) - {"verbs", "cli"},
    "verbs": (PURE | WORLD | {"errors"}) - {"cli"},
    "cli": PURE | WORLD | {"errors"},
    "__main__": {"cli"},
    "__init__": set(),
}

ONLY_IMPORTERS = {
    "libvirt": {"host"},
    "subprocess": {"host"},
    "deepdiff": {"diff"},
    "yaml": {"load"},
    "pydantic": {"load"},
    "git": {"git"},
    "gitlab": {"publish"},
    "requests": {"publish"},
    "rich": {"report", "verbs"},
}


def _layer(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def _imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function, type-checking imports aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == "reconciler":
                yield from (f"reconciler.{alias.name}" for alias in node.names)
            else:
                yield node.module
        elif isinstance(node, ast.ImportFrom):
            raise AssertionError(f"{path}:{node.lineno}: relative imports hide the layer")


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    layer = _layer(path)
    for module in _imports(path):
        parts = module.split(".")
        if parts[0] == "reconciler" and len(parts) > 1 and parts[1] != "__version__":
            assert parts[1] in ALLOWED[layer], f"{layer} must not import {module}"
        else:
            assert layer in ONLY_IMPORTERS.get(parts[0], {layer}), (
                f"only {ONLY_IMPORTERS[parts[0]]} may import {module}"
            )


def test_no_arrow_leads_from_a_pure_part_to_the_world() -> None:
    assert all(not ALLOWED[layer] & WORLD for layer in PURE)


def test_execution_neither_plans_nor_compares() -> None:
    assert not ALLOWED["execute"] & {"plan", "diff"}


def test_source_and_publish_do_not_know_each_other() -> None:
    assert "publish" not in ALLOWED["source"]
    assert "source" not in ALLOWED["publish"]
