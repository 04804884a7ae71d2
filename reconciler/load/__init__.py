"""From the files of a site to its desired state, or to everything that is wrong with them.

The only package that imports yaml and pydantic, and only when a site is read: other verbs stay quick to start.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from reconciler.errors import SiteError

if TYPE_CHECKING:
    from reconciler.model.faultless import Memory
    from reconciler.model.problem import Oddity, Problem
    from reconciler.model.site import Desired

__all__ = ["examine", "load"]

# Whatever else is installed on a host gets no say in how a site is read, and is not looked for.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def load(
    files: Mapping[str, bytes], source: str = "", odd: Iterable[Oddity] = (), memory: Memory | None = None
) -> Desired:
    """The desired state of a valid site; `files` maps paths relative to the site's root to their content."""
    desired, problems = examine(files, source, odd, memory)
    if desired is None:
        raise SiteError(problems)
    return desired


def examine(
    files: Mapping[str, bytes], source: str = "", odd: Iterable[Oddity] = (), memory: Memory | None = None
) -> tuple[Desired | None, tuple[Problem, ...]]:
    """The desired state, None if there is any error, and all problems of all files, warnings included.

    `odd` is what is in the site's folders and no file to read. With a `memory` only guests are read that it does not
    know; what it answers and what it does not is examined alike beside all others.
    """
    from reconciler.load.examination import examine_files

    return examine_files(files, source, odd, memory)
