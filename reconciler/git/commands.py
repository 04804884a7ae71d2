"""The one door to git: constant words, a rebuilt environment, a deadline, errors as one sentence.

A repository is untrusted input. So git runs without the configuration of user and system, without hooks, filters,
submodules and other transports, and no word of a command comes from a repository.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, cast

from git import Git
from git.exc import GitCommandError, GitCommandNotFound

from reconciler.errors import SourceError, printable
from reconciler.git.access import DEADLINE_SECONDS, Access

_OPTIONS = (
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "fetch.fsckObjects=true",
    "-c", "fetch.unpackLimit=1",
    "-c", "gc.auto=0",
    "-c", "protocol.version=2",
    "-c", "http.lowSpeedLimit=100",
    "-c", "http.lowSpeedTime=30",
)  # fmt: skip
_KEPT_VARIABLES = ("GIT_SSH_COMMAND", "GIT_SSL_CAINFO")
_OF_A_HOOK = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_QUARANTINE_PATH",
)  # fmt: skip
_KILLED = (-9, 137)


class DeadlinePassed(SourceError):
    """git was still at work when its time was over, and was killed with all its helpers."""


class Commands:
    """git in one folder. `configuration` is a file to use as git's global one, `access` how its remote is reached.

    `own` says that the folder is the caller's work, whoever owns its files: a CI's checkout often has another owner.
    `told` are more variables, such as those by which git tells a hook where the pushed objects are.
    """

    def __init__(
        self,
        folder: Path,
        configuration: Path | None = None,
        access: Access | None = None,
        *,
        own: bool = False,
        told: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        _forget_foreign_variables()
        self._options = (*_OPTIONS, "-c", "safe.directory=*") if own else _OPTIONS
        self._git = Git(folder)
        self._git.update_environment(
            GIT_CONFIG_NOSYSTEM="1",
            GIT_CONFIG_GLOBAL=str(configuration or os.devnull),
            GIT_NO_REPLACE_OBJECTS="1",
            GIT_TERMINAL_PROMPT="0",
            GIT_ASKPASS="/bin/false",
            LC_ALL="C",
            **({"GIT_ALLOW_PROTOCOL": "https:ssh"} if access is None else access.environment()),
            **told,
        )

    def run(
        self, *words: str, what: str, hint: str = "", stdin: bytes = b"", deadline: float = DEADLINE_SECONDS
    ) -> str:
        """The command's output without its last newline. Raises `SourceError` with git's last line."""
        output = self._execute(words, what, hint, stdin, deadline)
        return output.decode("utf-8", "surrogateescape").removesuffix("\n")

    def output(self, *words: str, what: str, stdin: bytes = b"") -> bytes:
        """As `run`, the bytes as they are."""
        return self._execute(words, what, "", stdin, DEADLINE_SECONDS)

    def succeeds(self, *words: str, what: str, environment: Mapping[str, str] | None = None) -> tuple[bool, str]:
        """Whether the exit code is 0, and what git says about it. Only the exit code may decide anything."""
        status, _, stderr = self._attempt(words, what, b"", DEADLINE_SECONDS, environment)
        return status == 0, stderr.strip()

    def blobs(self, object_ids: Sequence[str]) -> list[bytes]:
        """The contents of blobs, in their order, by one `cat-file --batch`."""
        wanted = "".join(f"{object_id}\n" for object_id in object_ids).encode()
        output = self._execute(("cat-file", "--batch"), "read the commit's files", "", wanted, DEADLINE_SECONDS)
        contents: list[bytes] = []
        position = 0
        for object_id in object_ids:
            header, _, _ = output[position : position + 200].partition(b"\n")
            if not header.startswith(object_id.encode() + b" blob "):
                raise SourceError(f"git has no blob {object_id}: {header.decode(errors='replace')}")
            start = position + len(header) + 1
            position = start + int(header.rsplit(b" ", 1)[1]) + 1
            contents.append(output[start : position - 1])
        return contents

    def _execute(self, words: Sequence[str], what: str, hint: str, stdin: bytes, deadline: float) -> bytes:
        status, output, stderr = self._attempt(words, what, stdin, deadline)
        if status == 0:
            return output
        reason = _reason(stderr) or f"exit code {status}"
        raise SourceError(f"git could not {what}: {reason}; nothing was done", hint=hint)

    def _attempt(
        self,
        words: Sequence[str],
        what: str,
        stdin: bytes,
        deadline: float,
        environment: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes, str]:
        # timeout(1) ends git together with its helpers: GitPython's own deadline needs ps or pgrep for that, which a
        # minimal Debian does not have, and then waits for a helper that waits for the network.
        command = ["timeout", "--signal=KILL", f"{deadline:.3f}", "git", *self._options, *words]
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            try:
                answer = self._git.execute(
                    command,
                    istream=cast("BinaryIO", given),
                    stdout_as_string=False,
                    strip_newline_in_stdout=False,
                    with_extended_output=True,
                    with_exceptions=False,
                    env=environment,
                )
            except GitCommandNotFound as error:
                raise SourceError("the program timeout is not installed; nothing was done") from error
            except GitCommandError as error:
                raise SourceError(f"git could not {what}: {error}; nothing was done") from error
        assert isinstance(answer, tuple)
        status, output, stderr = answer
        if status in _KILLED:
            raise DeadlinePassed(
                f"git could not {what}: it was not done within {deadline:.0f} s; nothing was done",
                hint="look at the network and at the server; fetch_timeout in the configuration gives it longer",
            )
        if status == 127:
            raise SourceError("the program git is not installed; nothing was done")
        return status, output, stderr


def _reason(stderr: str) -> str:
    """The line that says why. Where git ends with advice, that is the one which it calls fatal or an error."""
    lines = [printable(line.strip()) for line in stderr.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("fatal:", "error:", "remote: error:"))]
    return (told or lines or [""])[-1]


def _forget_foreign_variables() -> None:
    """GitPython hands the process's environment on; a hook's GIT_DIR, or a user's GIT_CONFIG_COUNT, must not count."""
    for name in [name for name in os.environ if name.startswith("GIT_") and name not in _KEPT_VARIABLES]:
        del os.environ[name]


def told_to_hook() -> dict[str, str]:
    """Where git, which runs us as its hook, has put the pushed objects. Ask before any `Commands` is made."""
    return {name: os.environ[name] for name in _OF_A_HOOK if name in os.environ}
