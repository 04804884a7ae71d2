"""Sites that were loaded before: exactly these bytes, by exactly this program, were found valid.

To read YAML and check its shapes costs more than all else that a run with nothing to do does, most of it imports.
An entry's name is a digest of all that the answer depends on, the program's own text included. An entry that is not
whole, not ours alone to write, or of anything else is no entry: then the site is loaded as ever. Safe to delete.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from reconciler.model.problem import Oddity
from reconciler.model.site import Desired
from reconciler.records.kept import read_kept, write_kept
from reconciler.records.plain import from_plain, to_plain

_PROGRAM = ("errors.py", "load", "nwfilter", "model", "records")
_LIBRARIES = {"pydantic": "version.py", "pydantic_core": "core_schema.py", "yaml": "__init__.py"}


def loaded_key(files: Mapping[str, bytes], source: str, odd: Iterable[Oddity]) -> str:
    """A digest of all that a loaded site depends on: its files, where they are from, and who reads them."""
    digest = sha256()
    for part in _parts(files, source, odd):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def _parts(files: Mapping[str, bytes], source: str, odd: Iterable[Oddity]) -> Iterator[bytes]:
    yield sys.version.encode()
    for path in _program_files():
        yield str(path).encode()
        yield path.read_bytes()
    yield source.encode()
    yield repr(sorted(map(repr, odd))).encode()
    for name in sorted(files):
        yield name.encode(errors="surrogateescape")
        yield files[name]


def _program_files() -> Iterator[Path]:
    package = Path(__file__).parent.parent
    for name in _PROGRAM:
        yield from sorted((package / name).rglob("*.py")) if (package / name).is_dir() else [package / name]
    for library, file in _LIBRARIES.items():
        spec = find_spec(library)
        if spec is not None and spec.origin is not None:
            yield Path(spec.origin).with_name(file)


def read_loaded(var: Path, key: str) -> Desired | None:
    """The site of that key, or None where there is no entry that can be trusted."""
    body = read_kept(var / "loaded", key)
    try:
        return from_plain(Desired, json.loads(body)) if body is not None else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def write_loaded(var: Path, key: str, site: Desired) -> None:
    """Keep a site that was found valid. Where that cannot be done, or there is no state folder, nothing is kept."""
    with suppress(TypeError, ValueError):
        write_kept(var / "loaded", key, json.dumps(to_plain(site), separators=(",", ":")).encode())
