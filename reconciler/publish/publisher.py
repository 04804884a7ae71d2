"""The one interface of all places that a report can go to."""

from __future__ import annotations

from typing import Protocol

from reconciler.model.message import Message


class Publisher(Protocol):
    """A place for reports. Publishing the same message twice leaves it there once."""

    @property
    def name(self) -> str: ...

    def publish(self, message: Message) -> None:
        """Raises `PublishError` when it is not, or not wholly, there; the next run tries again."""
