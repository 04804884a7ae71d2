"""How one remote is reached: which protocols, and with which of the host's secrets.

Secrets come from files that the host's own configuration names. They reach git and ssh through the environment and
through paths, never through a command line, which every user of the machine can read.
"""

from __future__ import annotations

import base64
import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from reconciler.errors import SourceError

DEADLINE_SECONDS = 120.0
_OTHERS_MAY_USE = 0o007


@dataclass(frozen=True, slots=True)
class Access:
    """One remote. `token` and `ssh_key` are files; `deadline` is in seconds, for all attempts together."""

    url: str
    token: Path | None = None
    token_user: str = "oauth2"
    ssh_key: Path | None = None
    known_hosts: Path | None = None
    ca_file: Path | None = None
    deadline: float = DEADLINE_SECONDS

    @property
    def is_local(self) -> bool:
        return self.url.startswith(("/", "./", "../", "file:///"))

    def environment(self) -> dict[str, str]:
        """What git's environment needs to reach this remote and no other.

        Raises `SourceError` for a secret that is missing or that others may read, and for one inside the URL.
        """
        found = {"GIT_ALLOW_PROTOCOL": "file" if self.is_local else "https:ssh"}
        if self.ssh_key is not None or self.known_hosts is not None:
            found["GIT_SSH_COMMAND"] = self._ssh_command()
        if self.ca_file is not None:
            found["GIT_SSL_CAINFO"] = str(self.ca_file)
        if urlsplit(self.url).password is not None:
            raise SourceError(
                "the URL of the repository holds a password, which logs and reports would show; nothing was done",
                hint="put it into a file and name that as token_file in the configuration",
            )
        return found | (self._header() if self.token is not None else {})

    def _ssh_command(self) -> str:
        options = ["BatchMode=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=10", "ServerAliveInterval=10"]
        if self.ssh_key is not None:
            read_secret(self.ssh_key)
            options.append("IdentitiesOnly=yes")
        if self.known_hosts is not None:
            options.append(f"UserKnownHostsFile={self.known_hosts}")
        words = ["ssh", "-F", "/dev/null", *(word for option in options for word in ("-o", option))]
        return shlex.join([*words, *(["-i", str(self.ssh_key)] if self.ssh_key else [])])

    def _header(self) -> dict[str, str]:
        """The token for this server alone; git does not follow it to another one."""
        assert self.token is not None
        parts = urlsplit(self.url)
        if parts.scheme != "https":
            raise SourceError(
                f"a token goes over https alone, and {self.url} is something else; nothing was done",
                hint="write the repository's URL with https://",
            )
        pair = f"{self.token_user}:{read_secret(self.token)}".encode()
        settings = {
            f"http.https://{parts.netloc}/.extraHeader": f"Authorization: Basic {base64.b64encode(pair).decode()}",
            "http.followRedirects": "false",
        }
        numbered = list(enumerate(settings.items()))
        return {
            "GIT_CONFIG_COUNT": str(len(numbered)),
            **{f"GIT_CONFIG_KEY_{number}": key for number, (key, _) in numbered},
            **{f"GIT_CONFIG_VALUE_{number}": value for number, (_, value) in numbered},
        }


def read_secret(path: Path) -> str:
    """A secret's text. Raises `SourceError` when it is missing, empty, or open to every user of the machine."""
    try:
        if path.stat().st_mode & _OTHERS_MAY_USE:
            raise SourceError(f"every user may read the secret {path}; nothing was done", hint=f"chmod 600 {path}")
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SourceError(f"the secret {path} cannot be read ({reason}); nothing was done") from error
    if not text:
        raise SourceError(f"the secret {path} is empty; nothing was done")
    return text
