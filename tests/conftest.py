"""Options and profiles of the suite; being here also puts this folder on the path of the tests' helpers."""

from __future__ import annotations

import pytest
import sizes
from hypothesis import HealthCheck, settings


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz", action="store_true", help="one round of the random checks, with examples of its own")
    parser.addoption("--full", action="store_true", help="run the random checks at their full size, unseeded")


def pytest_configure(config: pytest.Config) -> None:
    sizes.FUZZ = bool(config.getoption("--fuzz"))
    full = sizes.FUZZ or bool(config.getoption("--full"))
    sizes.FULL = full
    calm = (HealthCheck.too_slow, HealthCheck.data_too_large)
    settings.register_profile(
        "sample", max_examples=40, derandomize=True, deadline=None, database=None, suppress_health_check=calm
    )
    settings.register_profile("full", deadline=None, print_blob=True, suppress_health_check=calm)
    settings.load_profile("full" if full else "sample")
