"""The one door to git: constant words, a rebuilt environment, a deadline, errors as one sentence.

A repository is untrusted input. So git runs without the configuration of user and system, without hooks, filters,
submodules and other transports, and no word of a command comes from a repository.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

from git import Git
from git.exc import GitCommandError, GitCommandNotFound

from reconciler.errors import SourceError

_DEADLINE_SECONDS = 120
_OPTIONS = (
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "fetch.fsckObjects=true",
    "-c", "gc.auto=0",
    "-c", "protocol.version=2",
)  # fmt: skip
_KEPT_VARIABLES = ("GIT_SSH_COMMAND", "GIT_SSL_CAINFO")


class Commands:
    """git in one folder. `configuration` is a file to use as git's global one, `protocols` those that may be used.

    `own` says that the folder is the caller's work, whoever owns its files: a CI's checkout often has another owner.
    """

    def __init__(
        self, folder: Path, configuration: Path | None = None, protocols: str = "https:ssh", *, own: bool = False
    ) -> None:
        _forget_foreign_variables()
        self._options = (*_OPTIONS, "-c", "safe.directory=*") if own else _OPTIONS
        self._git = Git(folder)
        self._git.update_environment(
            GIT_CONFIG_NOSYSTEM="1",
            GIT_CONFIG_GLOBAL=str(configuration or os.devnull),
            GIT_ALLOW_PROTOCOL=protocols,
            GIT_TERMINAL_PROMPT="0",
            LC_ALL="C",
        )

    def run(self, *words: str, what: str, hint: str = "") -> str:
        """The command's output without its last newline. Raises `SourceError` with git's last line."""
        return self._execute(words, what, hint).decode("utf-8", "surrogateescape").removesuffix("\n")

    def blobs(self, object_ids: Sequence[str]) -> list[bytes]:
        """The contents of blobs, in their order, by one `cat-file --batch`."""
        with tempfile.TemporaryFile() as wanted:
            wanted.write("".join(f"{object_id}\n" for object_id in object_ids).encode())
            wanted.seek(0)
            output = self._execute(("cat-file", "--batch"), "read the commit's files", stdin=cast("BinaryIO", wanted))
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

    def _execute(self, words: Sequence[str], what: str, hint: str = "", stdin: BinaryIO | None = None) -> bytes:
        command = ["git", *self._options, *words]
        try:
            output = self._git.execute(
                command,
                istream=stdin,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
                kill_after_timeout=_DEADLINE_SECONDS,
            )
        except GitCommandNotFound as error:
            raise SourceError("the program git is not installed; nothing was done") from error
        except GitCommandError as error:
            reason = str(error.stderr).replace("stderr:", "").strip().strip("'").strip() or f"exit code {error.status}"
            raise SourceError(
                f"git could not {what}: {reason.splitlines()[-1]}; nothing was done", hint=hint
            ) from error
        assert isinstance(output, bytes)
        return output


def _forget_foreign_variables() -> None:
    """GitPython hands the process's environment on; a hook's GIT_DIR, or a user's GIT_CONFIG_COUNT, must not count."""
    for name in [name for name in os.environ if name.startswith("GIT_") and name not in _KEPT_VARIABLES]:
        del os.environ[name]
