"""A document as one HTML page: everything escaped, no script, nothing loaded from elsewhere."""

from __future__ import annotations

from html import escape

from reconciler.report.document import Document
from reconciler.report.markdown import visible
from reconciler.report.sections import Section, facts, sections, title

_HEAD = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
pre {{ background: #f4f4f4; padding: .7rem; overflow-x: auto; font-size: .85rem }}
table {{ border-collapse: collapse }} td, th {{ text-align: left; padding: .2rem .8rem .2rem 0 }}
dt {{ float: left; clear: left; min-width: 9rem; color: #666 }} dd {{ margin: 0 }}
</style>
</head>
<body>
"""


def html(document: Document) -> str:
    """A whole page with a heading for each part that has something to say."""
    name = _text(title(document))
    told = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>\n" for name, value in facts(document))
    found = sections(document)
    body = "".join(_section(section) for section in found) or "<p>Nothing to tell.</p>\n"
    return f"{_HEAD.format(title=name)}<h1>{name}</h1>\n<dl>\n{told}</dl>\n{body}</body>\n</html>\n"


def _section(section: Section) -> str:
    head = f"<h2>{_text(section.title)}</h2>\n"
    if not section.columns:
        lines = "\n".join(_text(line) for line in section.lines)
        return f"{head}<pre>{lines}</pre>\n"
    columns = "".join(f"<th>{_text(column)}</th>" for column in section.columns)
    rows = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>\n" for row in section.rows)
    return f"{head}<table>\n<tr>{columns}</tr>\n{rows}</table>\n"


def _text(text: str) -> str:
    return escape(visible(text).replace("\n", "\\n"))
