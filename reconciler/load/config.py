"""The host's own configuration: a flat mapping of strings, read as strictly as the site."""

from __future__ import annotations

from reconciler.errors import UsageError
from reconciler.load.findings import Findings
from reconciler.load.yamlfile import read_yaml
from reconciler.model.origin import Origin


def read_config(path: str, content: bytes, keys: tuple[str, ...]) -> dict[str, str]:
    """`{key: text}`. Raises `UsageError` for the first thing that is not a known key with a text or a number."""
    findings = Findings()
    node = read_yaml(path, content, findings)
    problems = findings.in_order()
    if [problem.id for problem in problems] == ["yaml-empty"]:
        return {}
    if problems:
        raise UsageError(problems[0].message, hint=problems[0].hint, origin=problems[0].origin)
    if node is None or node.data is None:
        return {}
    if not isinstance(node.data, dict):
        raise UsageError("the configuration is not a mapping of keys to texts", origin=Origin(path))
    for key, value in node.data.items():
        if key not in keys:
            raise UsageError(
                f"{key!r} is no key of the configuration", hint=f"keys: {', '.join(keys)}", origin=node.key_origin(key)
            )
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise UsageError(f"{key!r} is not a text", origin=node.fields[key].origin)
    return {key: str(value) for key, value in node.data.items()}
