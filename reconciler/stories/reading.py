"""The files of the site that this host's settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import UsageError
from reconciler.settings import Settings

if TYPE_CHECKING:
    from reconciler.source.snapshot import Snapshot


def read_site(settings: Settings) -> Snapshot:
    """The site's files and where they are from: a commit, or a folder."""
    if settings.repository is not None:
        from reconciler.stories import following

        return following.read_pinned(settings) if settings.commit else following.newest(settings)
    from reconciler.source.folder import look_at_folder

    if settings.site is None:
        raise UsageError("there is no site: neither --site, --repo nor a folder ./state", hint="name one of them")
    return look_at_folder(settings.site)
