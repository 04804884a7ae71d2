"""The folder in which libvirt keeps its filters, seen through the daemon's own root."""

from __future__ import annotations

from pathlib import Path

_SUFFIX = ".xml"


def filter_folder(root: Path) -> Path:
    return root / "etc/libvirt/nwfilter"


def definition_names(folder: Path) -> tuple[str, ...]:
    """Names of the filters that the daemon keeps in its folder.

    libvirt 9.0 can deadlock when its filters are listed while a binding is made, so the names come from the files, and
    each filter is then looked up alone.
    """
    try:
        names = [path.stem for path in folder.glob(f"*{_SUFFIX}")]
    except OSError:
        return ()
    return tuple(sorted(name for name in names if _is_text(name)))


def _is_text(name: str) -> bool:
    """libvirt's names are; a file that somebody left there may have a name that is none, and no filter."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def read_file(folder: Path, name: str) -> bytes | None:
    """The bytes of a filter's file, None where there is none that can be read."""
    try:
        with open(f"{folder}/{name}{_SUFFIX}", "rb", buffering=0) as file:  # noqa: PTH123 - of thousands
            return file.read()
    except (OSError, ValueError):
        return None
