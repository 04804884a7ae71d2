"""JSON Schemas of the site's files, for editors and other tools."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from reconciler.load.files import GuestFile, SiteFile

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """The schema of guests/*.yaml as `guest` and of site.yaml as `site`."""
    return {"guest": _schema(GuestFile), "site": _schema(SiteFile)}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return {"$schema": _DIALECT, **_tidy(model.model_json_schema())}


def _tidy(schema: dict[str, Any]) -> dict[str, Any]:
    """Without Python's traces (class names as titles, None for a field left out), and with names held to
    their patterns."""
    tidy = {key: _tidy_part(part) for key, part in schema.items()}
    if isinstance(tidy.get("title"), str):
        del tidy["title"]
    if isinstance(tidy.get("default"), dict):
        del tidy["default"]
    if "default" in tidy and tidy["default"] is None:
        del tidy["default"]
        choices = [choice for choice in tidy.pop("anyOf") if choice != {"type": "null"}]
        tidy |= choices[0] if len(choices) == 1 else {"anyOf": choices}
    if "patternProperties" in tidy:
        tidy["additionalProperties"] = False
    return tidy


def _tidy_part(part: Any) -> Any:
    if isinstance(part, list):
        return [_tidy_part(item) for item in part]
    return _tidy(part) if isinstance(part, dict) else part
