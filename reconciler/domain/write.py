"""Text in libvirt's way of writing attributes, between single quotes."""

from __future__ import annotations

from reconciler.model.filter import FilterRef, canonical_parameters

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;"})


def escape(text: str) -> str:
    return text.translate(_ESCAPES)


def filterref_text(filterref: FilterRef, before_parameter: str, before_end: str) -> str:
    """A `<filterref>`, with line breaks and indentation before each parameter and before the closing tag."""
    opening = f"<filterref filter='{escape(filterref.filter)}'"
    parameters = canonical_parameters(filterref.parameters)
    if not parameters:
        return f"{opening}/>"
    values = (f"<parameter name='{escape(name)}' value='{escape(value)}'/>" for name, value in parameters)
    return "".join((f"{opening}>", *(before_parameter + value for value in values), before_end, "</filterref>"))
