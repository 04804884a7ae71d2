"""A site's folder, written to: each file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from stat import S_IMODE

from reconciler.errors import SourceError
from reconciler.source.folder import SITE_FOLDERS, read_folder


def read_or_begin(site: Path) -> dict[str, bytes] | None:
    """The files of a site, None where a new one may be made.

    Raises `SourceError` for a folder that has a site's folders and no site.yaml: whose they are is not known.
    """
    if (site / "site.yaml").exists():
        return read_folder(site)
    used = next((name for name in SITE_FOLDERS if (site / name).is_dir() and any((site / name).iterdir())), None)
    if used is None:
        return None
    raise SourceError(
        f"{site} has {used}/ but no site.yaml, so it is neither a site nor a place for a new one; nothing was done",
        hint="name another folder with --out, or write its site.yaml",
    )


def has_schemas(site: Path) -> bool:
    """Whether the JSON Schemas that the files may name for editors are there."""
    return (site / "schema" / "guest.schema.json").is_file()


def write_files(site: Path, files: Mapping[str, bytes]) -> None:
    """Write files in their order, each by a rename: whoever reads meanwhile finds the old content or the new.

    Raises `SourceError` at the first that cannot be written; those before it are there.
    """
    for name, content in files.items():
        path = site / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, content)
        except OSError as error:
            raise SourceError(
                f"{path} cannot be written ({error.strerror}); the files before it were",
                hint="when it can be, the same command goes on from there",
            ) from error


def _write(path: Path, content: bytes) -> None:
    """The file that it replaces hands on its rights, and its owner where that may be."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    before = path.lstat() if path.is_file() and not path.is_symlink() else None
    try:
        with draft.open("xb") as file:
            if before is not None:
                with suppress(PermissionError):
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fchmod(file.fileno(), S_IMODE(before.st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
