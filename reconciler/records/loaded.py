"""Sites that were loaded before: exactly these bytes, by exactly this program, were found valid.

To read YAML and check its shapes costs more than all else that a run with nothing to do does, most of it imports.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from reconciler.model.site import Desired
from reconciler.records.kept import read_kept, write_kept
from reconciler.records.plain import from_plain, to_plain


def read_loaded(var: Path, key: str) -> Desired | None:
    """The site of that key, or None where there is no entry that can be trusted."""
    body = read_kept(_folder(var), key)
    try:
        return from_plain(Desired, json.loads(body)) if body is not None else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def write_loaded(var: Path, key: str, site: Desired) -> None:
    """Keep a site that was found valid. Where that cannot be done, or there is no state folder, nothing is kept."""
    with suppress(TypeError, ValueError):
        write_kept(_folder(var), key, json.dumps(to_plain(site), separators=(",", ":")).encode())


def _folder(var: Path) -> Path:
    return var / "loaded"
