"""Text in libvirt's way of writing attributes, between single quotes."""

from __future__ import annotations

from reconciler.model.filter import FilterRef, canonical_parameters

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;"})


def escape(text: str) -> str:
    return text.translate(_ESCAPES)


def filterref_lines(filterref: FilterRef) -> list[str]:
    """A `<filterref>` as its lines: one if it has no parameters, else opening, one for each value, closing."""
    opening = f"<filterref filter='{escape(filterref.filter)}'"
    parameters = canonical_parameters(filterref.parameters)
    if not parameters:
        return [f"{opening}/>"]
    values = (f"<parameter name='{escape(name)}' value='{escape(value)}'/>" for name, value in parameters)
    return [f"{opening}>", *values, "</filterref>"]
