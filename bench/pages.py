"""Pages of docs/ that hold what was measured, between two lines that say by what."""

from __future__ import annotations

from pathlib import Path

from bench.measure import BenchError

DOCS = Path(__file__).parent.parent / "docs"
END = "<!-- end -->"


def put(name: str, command: str, text: str) -> None:
    """Put a text where the page says that this command writes it."""
    page, begin = DOCS / name, f"<!-- begin: {command} -->"
    before, found, rest = page.read_text().partition(begin)
    _, end, after = rest.partition(END)
    if not found or not end:
        raise BenchError(f"{name} has no lines {begin} and {END}")
    page.write_text(f"{before}{begin}\n{text}\n{END}{after}")
