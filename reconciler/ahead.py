"""Imports that are needed later, made while something else is waited for."""

from __future__ import annotations

import threading
from contextlib import suppress
from importlib import import_module


def import_ahead(*names: str) -> None:
    """Import modules in a thread of their own; whoever needs one before that is done waits for it as for any import."""
    threading.Thread(target=_import_all, args=(names,), daemon=True, name="imports").start()


def _import_all(names: tuple[str, ...]) -> None:
    for name in names:
        with suppress(ImportError):  # told where it is needed
            import_module(name)
