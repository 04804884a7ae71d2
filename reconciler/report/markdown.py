"""A document as Markdown for a forge. All that comes from a site, a host or a tool is code, where nothing acts.

A forge runs a line `/merge` of a comment and notifies whom `@name` names; inside of code it does neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from reconciler.report.document import Document
from reconciler.report.sections import Section, facts, sections, title


def markdown(document: Document) -> str:
    """The whole document, with a heading for each part that has something to say."""
    parts = [f"# {code(title(document))}"]
    told = facts(document)
    if told:
        parts.append("\n".join(f"- {name}: {code(value)}" for name, value in told))
    found = sections(document)
    parts += [_section(section) for section in found]
    if not found:
        parts.append("Nothing to tell.")
    return "\n\n".join(parts) + "\n"


def code(text: str) -> str:
    """Text on one line as a span of code that it cannot end."""
    clean = visible(text).replace("\n", "\\n") or " "
    ticks = "`" * (_longest_run(clean) + 1)
    space = " " if clean.startswith("`") or clean.endswith("`") else ""
    return f"{ticks}{space}{clean}{space}{ticks}"


def fenced(lines: tuple[str, ...]) -> str:
    """Lines as a block of code whose fence is longer than anything in it."""
    clean = [visible(line).replace("\n", "\\n") for line in lines]
    fence = "`" * max(3, *(_longest_run(line) + 1 for line in clean))
    return "\n".join([f"{fence}text", *clean, fence])


def visible(text: str) -> str:
    """Without characters that hide or turn text: escape codes, bidirectional controls, line ends of other systems."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)


def _section(section: Section) -> str:
    head = f"## {section.title}"
    if not section.columns:
        return f"{head}\n\n{fenced(section.lines)}"
    # In a table even a bar inside of code would end the cell.
    rows = [_row(section.columns), _row("---" for _ in section.columns)]
    rows += [_row(code(cell).replace("|", "\\|") if cell else "" for cell in row) for row in section.rows]
    return f"{head}\n\n" + "\n".join(rows)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
