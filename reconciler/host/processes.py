"""The one door to other programs: a rebuilt environment, no standard input, a deadline, errors that quote the command."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler.errors import HostError, HostTimeout

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that has ended: its exit code and both outputs as text."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.returncode == 0


@dataclass(frozen=True, slots=True)
class Namespaces:
    """The namespaces of another process, entered with nsenter(1). `kinds` are its long options without dashes."""

    pid: int
    kinds: tuple[str, ...] = ("net",)

    def wrap(self, argv: Sequence[str]) -> list[str]:
        return ["nsenter", f"--target={self.pid}", *(f"--{kind}" for kind in self.kinds), "--", *argv]


def run(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    timeout: float = 30.0,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    within: Namespaces | None = None,
) -> Completed:
    """Run a program to its end. With `check`, an exit code other than 0 is a `HostError`.

    Raises `HostTimeout` when it is still running after `timeout` seconds (it is killed), `HostError` when it
    cannot be started.
    """
    command = within.wrap(argv) if within else list(argv)
    try:
        ended = subprocess.run(
            command,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=clean_environment(env),
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError(
            f"the program {command[0]!r} is not installed", hint="the README names the packages"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise HostTimeout(f"`{shlex.join(argv)}` did not end within {timeout:.0f} s and was killed") from error
    completed = Completed(tuple(argv), ended.returncode, ended.stdout, ended.stderr)
    if check and not completed.ok:
        reason = completed.stderr.strip() or completed.stdout.strip() or "no message"
        raise HostError(f"`{shlex.join(argv)}` ended with exit code {completed.returncode}: {reason}")
    return completed


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Nothing of the caller's environment but what programs need, and English messages."""
    return {"PATH": SEARCH_PATH, "LC_ALL": "C", "HOME": os.environ.get("HOME", "/"), **(extra or {})}
