"""What things cost on a host, in seconds, where it has recorded none of its own."""

from __future__ import annotations

from dataclasses import dataclass

REBUILD_SECONDS = 1.8
WRITE_SECONDS = 0.01
RESTART_SECONDS = 2.0
SHUTDOWN_SECONDS = 10.0
START_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds for one binding's rebuild, a definition that rebuilds nothing, and so on."""

    rebuild: float = REBUILD_SECONDS
    write: float = WRITE_SECONDS
    restart: float = RESTART_SECONDS
    shutdown: float = SHUTDOWN_SECONDS
    start: float = START_SECONDS
