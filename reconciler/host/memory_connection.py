"""How the in-memory host is talked to: writes that fail or hang when they are told to, a daemon that may be down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.errors import HostTimeout, HostUnreachable


@dataclass(slots=True)
class MemoryConnection:
    """`fault` is asked before every write with its name and target; it raises to make the write fail, or hang."""

    writes: list[tuple[str, str]] = field(default_factory=list)
    fault: Callable[[str, str], None] | None = None
    hanging: str = ""
    """The call that was never answered."""
    is_down: bool = False

    def _call(self, call: str, target: str) -> None:
        """A write that libvirt makes; one that hangs is the last that this connection knows of."""
        self._answer()
        try:
            self._write(call, target)
        except HostTimeout:
            self.hanging = call
            raise

    def _answer(self) -> None:
        if self.hanging:
            raise HostTimeout(f"libvirt still has not answered `{self.hanging}`")
        self._find_daemon()

    def _find_daemon(self) -> None:
        """The kernel's rules are those of its network namespace."""
        if self.is_down:
            raise HostUnreachable("libvirt's daemon does not run")

    def _write(self, call: str, target: str) -> None:
        self.writes.append((call, target))
        if self.fault is not None:
            self.fault(call, target)
