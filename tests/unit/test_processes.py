"""A program that cannot be run is an error of the host, so that a run takes back what it did (promise P6)."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest

from reconciler.errors import HostError
from reconciler.host.processes import run


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.EACCES])
def test_a_host_at_its_limits_starts_no_program(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(code, os.strerror(code), "nft")

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(HostError, match=f"'nft' cannot be started \\({os.strerror(code)}\\)"):
        run(["nft", "list", "tables"])


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(HostError, match="'no-such-program' is not installed"):
        run(["no-such-program"])
