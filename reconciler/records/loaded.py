"""Sites that were loaded before: exactly these bytes, by exactly this program, were found valid.

To read YAML and check its shapes costs more than all else that a run with nothing to do does, most of it imports.
An entry's name is a digest of all that the answer depends on, the program's own text included. An entry that is not
whole, not ours alone to write, or of anything else is no entry: then the site is loaded as ever. Safe to delete.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from reconciler.model.problem import Oddity
from reconciler.model.site import Desired
from reconciler.records.plain import from_plain, to_plain

_KEPT = 4
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
    try:
        if not _is_ours_alone(_folder(var).lstat()):
            return None
        descriptor = os.open(_folder(var) / key, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or not _is_ours_alone(found):
                return None
            head, _, body = file.read().partition(b"\n")
        if head != _head(key, body):
            return None
        return from_plain(Desired, json.loads(body))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def write_loaded(var: Path, key: str, site: Desired) -> None:
    """Keep a site that was found valid. Where that cannot be done, or there is no state folder, nothing is kept."""
    folder = _folder(var)
    draft = folder / f".{key}.{os.getpid()}"
    with suppress(OSError, TypeError, ValueError):
        if not var.is_dir():
            return
        folder.mkdir(exist_ok=True, mode=0o700)
        if not _is_ours_alone(folder.lstat()):
            return
        body = json.dumps(to_plain(site), separators=(",", ":")).encode()
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_head(key, body) + b"\n" + body)
            draft.replace(folder / key)
        finally:
            draft.unlink(missing_ok=True)
        _forget_oldest(folder)


def _folder(var: Path) -> Path:
    return var / "loaded"


def _head(key: str, body: bytes) -> bytes:
    return sha256(key.encode() + body).hexdigest().encode()


def _is_ours_alone(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077


def _forget_oldest(folder: Path) -> None:
    newest_first = sorted(folder.iterdir(), key=lambda path: path.lstat().st_mtime_ns, reverse=True)
    for path in newest_first[_KEPT:]:
        path.unlink(missing_ok=True)
