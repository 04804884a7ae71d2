"""How many examples a random check takes: a sample, or all with `--full`."""

from __future__ import annotations

FULL = False


def examples(sample: int, full: int) -> int:
    return full if FULL else sample
