"""A site in a folder: the working tree of an author, or of a test."""

from __future__ import annotations

from pathlib import Path

from reconciler.errors import SourceError

MAXIMUM_FILE_BYTES = 1 << 20
SITE_FOLDERS = ("guests", "filters", "domains")


def read_folder(site: Path) -> dict[str, bytes]:
    """`{path relative to the site: content}` of site.yaml and the site's folders.

    Raises `SourceError` when the folder is no site, and for a symlink or another odd file: what a checkout
    follows, a commit read from the object database does not.
    """
    if not (site / "site.yaml").is_file():
        raise SourceError(
            f"{site} is not a site: it has no site.yaml; nothing was done",
            hint="name the site's folder with --site, or its repository with --repo",
        )
    folders = [site / name for name in SITE_FOLDERS if (site / name).is_dir()]
    paths = [site / "site.yaml", *(path for folder in folders for path in sorted(folder.rglob("*")))]
    return {
        path.relative_to(site).as_posix(): _content(path) for path in paths if path.is_symlink() or not path.is_dir()
    }


def _content(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise SourceError(f"{path} is no regular file; nothing was done", hint="a site holds plain files only")
    try:
        if path.stat().st_size > MAXIMUM_FILE_BYTES:
            raise SourceError(f"{path} is larger than {MAXIMUM_FILE_BYTES} bytes; nothing was done")
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); nothing was done") from error
