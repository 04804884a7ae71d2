"""Whether a commit or a tag is signed by someone whom the host allows; git's exit code alone decides."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from reconciler.errors import RefusedCommit, UsageError, printable
from reconciler.git.commands import Commands

_ARMOR = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
_WRITABLE_BY_OTHERS = 0o022
# No key that happens to be in some user's or the system's keyring counts, and no server is asked for one.
_GNUPG = "no-default-keyring\nkeyring {keyring}\ntrust-model always\nno-auto-key-retrieve\nno-autostart\nlock-never\n"


class Signers:
    """Those whom the host's own files name: an allowed-signers file for SSH, a keyring for OpenPGP."""

    def __init__(self, ssh: Path | None, openpgp: Path | None, home: Path) -> None:
        """Raises `UsageError` for a file that is not there, or that others than root and this user can write."""
        self._options = ["-c", "gpg.x509.program=/bin/false", "-c", "gpg.minTrustLevel=undefined"]
        self._environment: dict[str, str] = {}
        if ssh is None:
            self._options += ["-c", "gpg.ssh.program=/bin/false"]
        else:
            _require_ours(ssh)
            self._options += ["-c", f"gpg.ssh.allowedSignersFile={ssh}"]
        if openpgp is None:
            self._options += ["-c", "gpg.program=/bin/false"]
        else:
            _require_ours(openpgp)
            self._environment["GNUPGHOME"] = _gnupg_home(openpgp, home)

    def require_commit(self, commands: Commands, commit: str) -> None:
        self._require(commands, "verify-commit", commit, f"commit {commit[:12]}")

    def require_tag(self, commands: Commands, tag: str, name: str) -> None:
        self._require(commands, "verify-tag", tag, f"tag {name}")

    def _require(self, commands: Commands, verb: str, object_id: str, called: str) -> None:
        words = (*self._options, verb, object_id)
        ok, said = commands.succeeds(*words, what=f"verify {called}", environment=self._environment)
        if ok:
            return
        line = printable(said.splitlines()[-1]) if said else "it has no signature"
        raise RefusedCommit(
            f"{called} is refused: it is not signed by an allowed signer ({line}); it was not applied",
            hint="sign it with a key that this host's configuration allows (signers, keyring)",
        )


def _require_ours(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise UsageError(f"the signers {path} cannot be read ({error.strerror}); nothing was done") from error
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & _WRITABLE_BY_OTHERS:
        raise UsageError(
            f"others than root may write the signers {path}; nothing was done",
            hint=f"chown root {path}; chmod 644 {path}",
        )


def _gnupg_home(openpgp: Path, home: Path) -> str:
    """A home for gpg that knows the allowed keys and no others, written anew from the host's file each time."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    keyring = home / "allowed.gpg"
    keyring.write_bytes(_binary(openpgp))
    (home / "gpg.conf").write_text(_GNUPG.format(keyring=keyring))
    return str(home)


def _binary(path: Path) -> bytes:
    """The keys of a file, which is armored or not. Raises `UsageError` for an armor that is broken."""
    content = path.read_bytes()
    if not content.lstrip().startswith(b"-----"):
        return content
    try:
        text = content.decode("ascii")
        blocks = [block.partition("-----END")[0] for block in text.split(_ARMOR)[1:]]
        return b"".join(_unarmored(block) for block in blocks)
    except (UnicodeDecodeError, binascii.Error) as error:
        raise UsageError(f"{path} is no OpenPGP keyring: {error}; nothing was done") from error


def _unarmored(block: str) -> bytes:
    """An armor is headers, an empty line, base64, and a line `=XXXX` with a checksum."""
    _, _, body = block.replace("\r", "").partition("\n\n")
    lines = [line.strip() for line in body.splitlines()]
    return base64.b64decode("".join(line for line in lines if not line.startswith("=")), validate=True)
