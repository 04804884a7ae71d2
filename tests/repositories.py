"""Authors' repositories for tests, and servers that give them out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always")
SITE = "hosts: {kvm01: {}}\n"


class Repository:
    """An author's repository with a site under `state/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "state/guests").mkdir(parents=True)
        self.write("site.yaml", SITE)
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit()

    def write(self, name: str, text: str) -> None:
        path = self.folder / "state" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def git(self, *arguments: str, stdin: bytes = b"", check: bool = True) -> str:
        argv = ["git", "-C", str(self.folder), *AUTHOR, *arguments]
        ended = subprocess.run(argv, check=False, capture_output=True, input=stdin)
        assert ended.returncode == 0 or not check, ended.stderr.decode()
        return ended.stdout.decode().strip()

    def commit(self, message: str = "a change", *options: str) -> str:
        self.git("add", "--all")
        self.git(*options, "commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def plant(self, kind: str, content: bytes) -> str:
        """An object as no porcelain would make it; its id."""
        return self.git("hash-object", "-w", "-t", kind, "--literally", "--stdin", stdin=content)

    def commit_tree(self, tree: str) -> str:
        """A commit of any tree, on main."""
        commit = self.git("commit-tree", "-m", "odd", "-p", "HEAD", tree)
        self.git("update-ref", "refs/heads/main", commit)
        return commit


def in_git(site: Path) -> Path:
    """A folder with a site, as the first commit of a repository."""
    on_site(site, "init", "--quiet", "--initial-branch=main")
    on_site(site, "add", "--all")
    on_site(site, "commit", "--quiet", "--message", "before")
    return site


def on_site(site: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(site), *AUTHOR, *words], check=True, capture_output=True)


def make_ssh_key(folder: Path, name: str) -> Path:
    """A new key; the public half is beside it with the ending .pub."""
    path = folder / name
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return path


def sign_with_ssh(key: Path) -> tuple[str, ...]:
    """Options of git that sign with a key: commits with -S, tags with -s."""
    return ("-c", "gpg.format=ssh", "-c", f"user.signingKey={key}.pub", "-c", "commit.gpgSign=true")


def allowed_signers(folder: Path, *keys: Path) -> Path:
    path = folder / "allowed_signers"
    path.write_text("".join(f"a@example.org {Path(f'{key}.pub').read_text()}" for key in keys))
    path.chmod(0o644)
    return path


class OpenPgp:
    """A signer with a home of its own."""

    def __init__(self, home: Path, name: str) -> None:
        self.home = home
        home.mkdir(mode=0o700)
        self.name = f"{name} <{name}@example.org>"
        words = ["--batch", "--passphrase", "", "--quick-generate-key", self.name, "ed25519", "sign", "never"]
        self.gpg(*words)

    def gpg(self, *words: str) -> bytes:
        environment = {"PATH": os.environ["PATH"], "GNUPGHOME": str(self.home)}
        return subprocess.run(["gpg", *words], check=True, capture_output=True, env=environment).stdout

    def export(self, path: Path, *, armor: bool = False) -> Path:
        path.write_bytes(self.gpg(*(["--armor"] if armor else []), "--export", self.name))
        path.chmod(0o644)
        return path

    def program(self) -> tuple[str, ...]:
        """Options of git that sign with this key."""
        script = self.home / "sign"
        script.write_text(f'#!/bin/sh\nexec gpg --homedir {self.home} "$@"\n')
        script.chmod(0o755)
        return ("-c", f"gpg.program={script}", "-c", f"user.signingKey={self.name}", "-c", "commit.gpgSign=true")
