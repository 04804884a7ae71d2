"""The one door to other programs: a rebuilt environment, no standard input, a deadline, errors that quote it."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from reconciler.errors import HostError, HostTimeout

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Completed(NamedTuple):
    """A program that has ended: its exit code and both outputs as text."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.returncode == 0


class Namespaces(NamedTuple):
    """The namespaces of another process, entered with nsenter(1). `kinds` are its long options without dashes."""

    pid: int
    kinds: tuple[str, ...] = ("net",)

    @property
    def network(self) -> Namespaces:
        """Its network alone: for a program of ours, which a root of its own would not have."""
        return self._replace(kinds=("net",))

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
    except OSError as error:
        raise _not_started(command[0], error) from error
    except subprocess.TimeoutExpired as error:
        raise HostTimeout(f"`{shlex.join(argv)}` did not end within {timeout:.0f} s and was killed") from error
    completed = Completed(tuple(argv), ended.returncode, ended.stdout, ended.stderr)
    if check and not completed.ok:
        reason = completed.stderr.strip() or completed.stdout.strip() or "no message"
        raise HostError(f"`{shlex.join(argv)}` ended with exit code {completed.returncode}: {reason}")
    return completed


class Background:
    """A program that runs on by itself, in a session of its own: no signal of our terminal reaches it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def collect(self) -> int | None:
        """Its exit code, or None while it runs. Until this is asked, an ended program stays a zombie."""
        return self._process.poll()


def spawn(argv: Sequence[str], *, log: Path, descriptors: Sequence[int] = ()) -> Background:
    """Start a program and leave it running, both of its outputs appended to `log`, `descriptors` open in it.

    Raises `HostError` when it cannot be started.
    """
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=clean_environment(),
                cwd="/",
                pass_fds=descriptors,
                start_new_session=True,
            )
    except OSError as error:
        raise _not_started(argv[0], error) from error
    return Background(process)


def _not_started(program: str, error: OSError) -> HostError:
    if isinstance(error, FileNotFoundError):
        return HostError(f"the program {program!r} is not installed", hint="the README names the packages")
    return HostError(f"the program {program!r} cannot be started ({error.strerror})", hint="look at this host's limits")


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Nothing of the caller's environment but what programs need, and English messages."""
    return {"PATH": SEARCH_PATH, "LC_ALL": "C", "HOME": os.environ.get("HOME", "/"), **(extra or {})}
