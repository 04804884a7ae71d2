"""What a source gives: a commit's or a folder's files, and what of them was not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from reconciler.model.problem import Oddity


class Snapshot(NamedTuple):
    """One commit's site: its id, `{path relative to the site: content}`, what is no plain file, and its place."""

    commit: str
    files: dict[str, bytes]
    odd: tuple[Oddity, ...] = ()
    prefix: str = ""
