"""What becomes of a host that is taken into a site: files, and what could not be said in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Omission:
    """Something of the host that was left out: `guest/NAME`, or `guest/NAME/MAC` for one interface.

    `missing` says that the site now lacks something of the host; it does not where it has a file already.
    """

    object: str
    reason: str
    hint: str
    missing: bool = True


@dataclass(frozen=True, slots=True)
class Adoption:
    """New or changed files of the site by their path in it, in an order in which it is valid after each."""

    host: str
    files: Mapping[str, bytes]
    omissions: tuple[Omission, ...] = ()
