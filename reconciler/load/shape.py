"""Nodes to models: every fault of pydantic at the place where it was written.

What is at fault is cut out and the rest is read again, so that the checks across files still see all of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from reconciler.load.findings import Findings, Invalid, kind_of, shown
from reconciler.load.node import Location, Node
from reconciler.model.origin import Origin

Model = TypeVar("Model", bound=BaseModel)

MAX_CUTS = 4
KEY = "[key]"
EXPECTED = {
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "string_too_short": "a text that is not empty",
}
HINTS = {
    "list_type": "write it as a list, each item behind a dash or all of them in [ ]",
    "dict_type": "write it as NAME: VALUE, one a line",
    "model_type": "write it as NAME: VALUE, one a line",
    "int_type": "write it in digits alone, without quotes",
    "string_too_short": "write what is meant, or remove the field",
}


@dataclass(frozen=True, slots=True)
class Shaped(Generic[Model]):
    """A file's model and its nodes; `node.damaged` where something faulty was cut out."""

    model: Model
    node: Node


def shape(model: type[Model], node: Node, findings: Findings, fallback: Mapping[str, str]) -> Shaped[Model] | None:
    """The file as its model, or None when too little of it is left.

    `fallback` has values for fields of the file that are at fault themselves, so that the rest can be read.
    """
    for attempt in range(MAX_CUTS):
        try:
            return Shaped(model.model_validate(node.data), node)
        except ValidationError as error:
            details = error.errors(include_url=False)
        if attempt == 0:
            _report(model, node, details, findings)
        if not _cut_out(node, details, fallback):
            return None
    return None


def _cut_out(node: Node, details: list[ErrorDetails], fallback: Mapping[str, str]) -> bool:
    """Remove what is at fault; False when that is the whole file."""
    lacking = {str(detail["loc"][0]) for detail in details if detail["loc"]} & fallback.keys()
    faulty = {id(_faulty_node(node, d)) for d in details if not (d["loc"] and d["loc"][0] in lacking)}
    if id(node) in faulty:
        return False
    node.discard(faulty)
    for field in lacking:
        node.replace_field(field, fallback[field])
    return True


def _faulty_node(node: Node, detail: ErrorDetails) -> Node:
    return node.at(*(step for step in detail["loc"] if step != KEY))


def _report(model: type[BaseModel], node: Node, details: list[ErrorDetails], findings: Findings) -> None:
    known = findings.places()
    unknown = (detail["loc"] for detail in details if detail["type"] == "extra_forbidden")
    misspelt = {location: _similar_field(model, location) for location in unknown}
    meant = {(*location[:-1], field) for location, field in misspelt.items() if field}
    for detail in details:
        if detail["type"] == "missing" and detail["loc"] in meant:
            continue
        place = _place(node, detail)
        if place not in known:
            problem = _explained(node, detail, misspelt.get(detail["loc"]))
            findings.report_invalid(problem, place)


def _place(node: Node, detail: ErrorDetails) -> Origin:
    location = detail["loc"]
    if detail["type"] == "extra_forbidden":
        return node.at(*location[:-1]).key_origin(str(location[-1]))
    if location and location[-1] == KEY:
        return node.at(*location[:-2]).key_origin(str(location[-2]))
    return _faulty_node(node, detail).origin


def _explained(node: Node, detail: ErrorDetails, similar: str | None) -> Invalid:
    kind, location = detail["type"], detail["loc"]
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, Invalid):
        return cause
    if kind == "extra_forbidden":
        return _unknown_field(location, similar)
    if kind == "missing":
        return Invalid("missing-field", f"the field {location[-1]} is missing", _missing_hint(location[-1]))
    if kind == "too_short":
        return Invalid("empty-list", "the list is empty")
    found = kind_of(_faulty_node(node, detail).data)
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = f"{detail['ctx']['ge']} or more" if kind[0] == "g" else f"{detail['ctx']['le']} or less"
        message = f"a number of {bound} is expected here, not {detail['input']}"
        return Invalid("unknown-value", message, f"write {bound}")
    if kind == "literal_error":
        words = detail["ctx"]["expected"].replace("True", "true")
        return Invalid("unknown-value", f"{words} is expected here, not {found}")
    expected = EXPECTED.get(kind, "another type")
    return Invalid("wrong-type", f"{expected} is expected here, not {found}", _type_hint(kind, detail["input"]))


def _missing_hint(field: int | str) -> str:
    return f"list its addresses, or write {field}: none" if field in ("ipv4", "ipv6") else ""


def _unknown_field(location: Location, similar: str | None) -> Invalid:
    hint = f"did you mean {similar}?" if similar else ""
    return Invalid("unknown-field", f"there is no field {shown(str(location[-1]))} here", hint)


def _type_hint(kind: str, value: object) -> str:
    if kind == "list_type" and isinstance(value, str):
        if value.casefold() == "none":
            return "write none in small letters for no addresses"
        return f"write it as a list: [{value}]; in quotes if it has a colon"
    if kind == "model_type" and value is None:
        return "write {} for no settings"
    if kind == "bool_type":
        return "write true or false, without quotes"
    return HINTS.get(kind, "")


def _similar_field(model: type[BaseModel], location: Location) -> str | None:
    """The field that a misspelt one at a location most likely means."""
    for step in location[:-1]:
        field = model.model_fields.get(step) if isinstance(step, str) else None
        model = (_model_in(field.annotation) if field else None) or model
    similar = difflib.get_close_matches(str(location[-1]), model.model_fields, n=1)
    return similar[0] if similar else None


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
