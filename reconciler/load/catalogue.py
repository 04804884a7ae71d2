"""Every check that a site goes through: its id, what it means and what to do about it.

Ids are stable: hooks, CI jobs and people rely on them. `docs/checks.md` is printed from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from reconciler.load import checks_of_content, checks_of_files, checks_of_rules
from reconciler.load.check import Check, Meanings
from reconciler.load.checks_mended import MENDED, SPELLINGS
from reconciler.model.problem import Severity

_GROUPS: Mapping[str, Meanings] = {
    "Files of the site": checks_of_files.FILES,
    "YAML": checks_of_files.YAML,
    "Fields": checks_of_files.FIELDS,
    "Filter XML": checks_of_files.FILTER_XML,
    "Rules of filters": checks_of_rules.RULES,
    "Names": checks_of_content.NAMES,
    "Filters": checks_of_content.FILTERS,
    "MACs and addresses": checks_of_content.ADDRESSES,
    "Policy": checks_of_content.POLICY,
    "Health": checks_of_content.HEALTH,
    "Ignored differences": checks_of_content.IGNORED,
}
_WARNINGS = frozenset(
    {
        "shadows-builtin",
        "form-shadows-filter",
        "parameter-unused",
        "filter-negated-list",
        "iptables-window",
        "ignore-matches-nothing",
        "segment-overlap",
    }
)


def _severity(id: str) -> Severity:
    return Severity.WARNING if id in _WARNINGS else Severity.ERROR


CATALOGUE: Mapping[str, Check] = MappingProxyType(
    {
        id: Check(id, group, meaning, hint, _severity(id))
        for group, meanings in _GROUPS.items()
        for id, (meaning, hint) in meanings.items()
    }
)

_HEADER = """\
# Checks

Everything that `reconciler check` looks for in a site, by the id in its output. All problems of all files are
reported at once, each with file, line and column; with any error nothing is applied. Ids are stable.

`check --fix` mends what has one mechanical correction, in an author's folder alone, and prints each mend with its
place; `--fix --dry-run` prints a diff and writes nothing. Comments, order and layout stay as they are. No mend changes
what a filter does to a packet but the one of `filter-negated-list`, and those of filters that libvirt refuses or that
no port could use.

This page is printed from the catalogue in `reconciler/load/`: change it there.
"""

_SPELLINGS = """\
## Spellings

No problems, but `--fix` makes them uniform.

| id | what it does |
|---|---|"""


def catalogue_markdown() -> str:
    """The text of docs/checks.md."""
    lines = [_HEADER]
    group = ""
    for check in CATALOGUE.values():
        if check.group != group:
            group = check.group
            lines += [f"## {group}\n", "| id | what it means | what to do | `--fix` |", "|---|---|---|---|"]
        id = f"`{check.id}`" + (" (warning)" if check.severity is Severity.WARNING else "")
        mended = _cell(MENDED.get(check.id, "no"))
        lines.append(f"| {id} | {_cell(check.meaning)} | {_cell(check.hint)} | {mended} |")
    lines += [_SPELLINGS, *(f"| `{id}` | {meaning} |" for id, meaning in SPELLINGS.items())]
    return "\n".join(lines).replace("|\n##", "|\n\n##") + "\n"


def _cell(text: str) -> str:
    for sign, escaped in (("|", "\\|"), ("<", "&lt;")):
        text = text.replace(sign, escaped)
    return text
