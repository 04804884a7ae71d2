"""How many examples a random check takes: a sample, all with `--full`, or the part of a round of `--fuzz`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import seed

FULL = False
FUZZ = False
ROUNDS = 50
"""So many rounds of `make fuzz` take as many examples as one full run, each other ones."""


def examples(sample: int, full: int) -> int:
    if FUZZ:
        return max(sample, full // ROUNDS)
    return full if FULL else sample


def seeded(number: int) -> Callable[[Any], Any]:
    """The same examples on every run, but for `--fuzz`."""
    return (lambda test: test) if FUZZ else seed(number)
