"""Fixtures for everything that needs a real libvirtd."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import libvirt
import pytest

from reconciler.lab import guests, labs
from reconciler.lab.guests import GuestImage
from reconciler.lab.handle import Lab

Eventually = Callable[..., None]
POLL_SECONDS = 0.01


@pytest.fixture(autouse=True, scope="session")
def _root() -> None:
    if os.geteuid() != 0:
        pytest.fail("these tests make namespaces and bridges: run them as root, or leave them out with -m 'not lab'")


@pytest.fixture(autouse=True, scope="session")
def _quiet_libvirt() -> None:
    libvirt.registerErrorHandler(lambda _context, _error: None, None)


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A lab of the test's own."""
    with labs.lab() as running:
        yield running


@pytest.fixture(scope="session")
def shared_lab() -> Iterator[Lab]:
    """One lab for all tests that leave nothing behind in it, or mind nothing that others left."""
    with labs.lab() as running:
        yield running


@pytest.fixture(scope="session")
def guest_image() -> GuestImage:
    """What real guests boot from; the first time a kernel is downloaded."""
    return guests.image()


@pytest.fixture
def eventually() -> Eventually:
    """Polls a condition until it holds; fails when a deadline passes first."""

    def wait(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not within {seconds:.0f} s: {what}")
            time.sleep(POLL_SECONDS)

    return wait
