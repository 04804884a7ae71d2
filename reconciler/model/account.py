"""An account of one look at a host: what was asked, and a digest of all answers."""

from __future__ import annotations

from typing import NamedTuple


class Account(NamedTuple):
    """Who asks the same again and gets answers of the same digest would conclude the same.

    `programs` are commands that were run for the kernel's rules, `filters` the names of all filters that were looked
    up, found or not. That guests, bindings, devices and files are asked for goes without saying. A tuple and no
    dataclass: to compare accounts is all that some runs do, and they pay for what they import.
    """

    programs: tuple[tuple[str, ...], ...]
    filters: tuple[str, ...]
    digest: str
