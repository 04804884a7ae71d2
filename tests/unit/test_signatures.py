"""Only what an allowed signer signed is applied; who may sign, the host says, never the repository."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from repositories import OpenPgp, Repository, allowed_signers, make_ssh_key, sign_with_ssh

from reconciler.errors import RefusedCommit, UsageError
from reconciler.git.access import Access
from reconciler.source.following import Following, Known, Signature, fetch_verified

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: make_ssh_key(folder, name) for name in ("allowed", "stranger")}


@pytest.fixture(scope="module")
def pgp(tmp_path_factory: pytest.TempPathFactory) -> dict[str, OpenPgp]:
    folder = tmp_path_factory.mktemp("pgp")
    return {name: OpenPgp(folder / name, name) for name in ("allowed", "stranger")}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "origin")


@pytest.fixture
def following(repository: Repository, tmp_path: Path, keys: dict[str, Path]) -> Following:
    """Commits on main, signed with the one allowed SSH key."""
    signers = allowed_signers(tmp_path, keys["allowed"])
    return Following(Access(str(repository.folder)), signature=Signature.COMMIT, signers=signers)


def fetched(following: Following, tmp_path: Path) -> str:
    return fetch_verified(following, tmp_path / "mirror", Known())


def test_a_commit_that_an_allowed_ssh_key_signed_is_taken(
    repository: Repository, following: Following, tmp_path: Path, keys: dict[str, Path]
) -> None:
    commit = repository.commit("a change", *sign_with_ssh(keys["allowed"]))
    assert fetched(following, tmp_path) == commit


def test_an_unsigned_commit_is_refused_with_its_name(
    repository: Repository, following: Following, tmp_path: Path
) -> None:
    commit = repository.commit()
    with pytest.raises(RefusedCommit, match=f"commit {commit[:12]} is refused: it is not signed by an allowed signer"):
        fetched(following, tmp_path)


def test_a_commit_that_a_strangers_ssh_key_signed_is_refused(
    repository: Repository, following: Following, tmp_path: Path, keys: dict[str, Path]
) -> None:
    repository.commit("a change", *sign_with_ssh(keys["stranger"]))
    with pytest.raises(RefusedCommit, match="not signed by an allowed signer"):
        fetched(following, tmp_path)


def test_signers_in_the_repository_allow_nobody(
    repository: Repository, following: Following, tmp_path: Path, keys: dict[str, Path]
) -> None:
    (repository.folder / "allowed_signers").write_text(Path(f"{keys['stranger']}.pub").read_text())
    repository.write("../.gitconfig", "[gpg]\n  format = ssh\n[gpg.ssh]\n  allowedSignersFile = allowed_signers\n")
    repository.commit("a change", *sign_with_ssh(keys["stranger"]))
    with pytest.raises(RefusedCommit):
        fetched(following, tmp_path)


def test_a_signature_on_other_content_is_refused(
    repository: Repository, following: Following, tmp_path: Path, keys: dict[str, Path]
) -> None:
    repository.commit("a change", *sign_with_ssh(keys["allowed"]))
    signed = repository.git("cat-file", "commit", "HEAD")
    forged = repository.plant("commit", signed.replace("a change", "b change").encode() + b"\n")
    repository.git("update-ref", "refs/heads/main", forged)
    with pytest.raises(RefusedCommit):
        fetched(following, tmp_path)


@pytest.mark.parametrize("armor", [False, True], ids=["binary", "armored"])
def test_a_commit_that_an_allowed_openpgp_key_signed_is_taken(
    repository: Repository, following: Following, tmp_path: Path, pgp: dict[str, OpenPgp], armor: bool
) -> None:
    keyring = pgp["allowed"].export(tmp_path / "keyring", armor=armor)
    commit = repository.commit("a change", *pgp["allowed"].program())
    assert fetched(replace(following, signers=None, keyring=keyring), tmp_path) == commit


def test_a_commit_that_a_strangers_openpgp_key_signed_is_refused(
    repository: Repository, following: Following, tmp_path: Path, pgp: dict[str, OpenPgp]
) -> None:
    keyring = pgp["allowed"].export(tmp_path / "keyring")
    repository.commit("a change", *pgp["stranger"].program())
    with pytest.raises(RefusedCommit):
        fetched(replace(following, keyring=keyring), tmp_path)


def test_a_key_in_the_users_own_keyring_allows_nobody(
    repository: Repository,
    following: Following,
    tmp_path: Path,
    pgp: dict[str, OpenPgp],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GNUPGHOME", str(pgp["stranger"].home))
    repository.commit("a change", *pgp["stranger"].program())
    with pytest.raises(RefusedCommit):
        fetched(following, tmp_path)
    keyring = pgp["allowed"].export(tmp_path / "keyring")
    with pytest.raises(RefusedCommit):
        fetched(replace(following, keyring=keyring), tmp_path)


def test_a_certificate_signature_is_refused_whatever_the_system_trusts(
    repository: Repository, following: Following, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gpgsm is a stand-in that finds every signature good, as a system that trusts somebody's authority would."""
    gpgsm = tmp_path / "bin/gpgsm"
    gpgsm.parent.mkdir()
    said = "\\n[GNUPG:] GOODSIG 1234567890ABCDEF somebody\\n[GNUPG:] TRUST_FULLY 0 x\\n"
    gpgsm.write_text(f'#!/bin/sh\ncat > /dev/null\nprintf "{said}"\n')
    gpgsm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{gpgsm.parent}:{os.environ['PATH']}")
    commit = repository.git("cat-file", "commit", "HEAD")
    head, _, message = commit.partition("\n\n")
    signature = "gpgsig -----BEGIN SIGNED MESSAGE-----\n MIIB\n -----END SIGNED MESSAGE-----"
    forged = repository.plant("commit", f"{head}\n{signature}\n\n{message}\n".encode())
    repository.git("update-ref", "refs/heads/main", forged)
    repository.git("verify-commit", "HEAD")
    with pytest.raises(RefusedCommit):
        fetched(following, tmp_path)


def tagged(repository: Repository, key: Path, name: str = "v1") -> None:
    repository.git(*sign_with_ssh(key), "tag", "--sign", "--message", "a release", name)


def test_a_signed_tag_is_taken_and_one_without_signature_refused(
    repository: Repository, following: Following, tmp_path: Path, keys: dict[str, Path]
) -> None:
    tags = replace(following, branch=None, tags="v*", signature=Signature.TAG)
    tagged(repository, keys["allowed"])
    assert fetched(tags, tmp_path) == repository.git("rev-parse", "HEAD")
    repository.git("tag", "--annotate", "--message", "unsigned", "v2")
    with pytest.raises(RefusedCommit, match="tag refs/tags/v2 is refused"):
        fetched(tags, tmp_path)
    repository.git("tag", "v3")
    with pytest.raises(RefusedCommit, match="no annotated tag"):
        fetched(tags, tmp_path)


def test_a_strangers_tag_is_refused(
    repository: Repository, following: Following, tmp_path: Path, keys: dict[str, Path]
) -> None:
    tagged(repository, keys["stranger"])
    with pytest.raises(RefusedCommit):
        fetched(replace(following, branch=None, tags="v*", signature=Signature.TAG), tmp_path)


def test_a_signed_tag_under_another_name_is_refused(
    repository: Repository, following: Following, tmp_path: Path, keys: dict[str, Path]
) -> None:
    tagged(repository, keys["allowed"], "trial-1")
    repository.git("update-ref", "refs/tags/v9", "refs/tags/trial-1")
    with pytest.raises(RefusedCommit, match="its signature is for the tag 'trial-1'"):
        fetched(replace(following, branch=None, tags="v*", signature=Signature.TAG), tmp_path)


def test_both_means_that_neither_alone_is_enough(
    repository: Repository, following: Following, tmp_path: Path, keys: dict[str, Path]
) -> None:
    both = replace(following, branch=None, tags="v*", signature=Signature.BOTH)
    tagged(repository, keys["allowed"], "v1")
    with pytest.raises(RefusedCommit, match="commit"):
        fetched(both, tmp_path)
    commit = repository.commit("a change", *sign_with_ssh(keys["allowed"]))
    tagged(repository, keys["stranger"], "v2")
    with pytest.raises(RefusedCommit, match="tag"):
        fetched(both, tmp_path)
    tagged(repository, keys["allowed"], "v3")
    assert fetched(both, tmp_path) == commit


def test_a_signers_file_that_others_may_write_is_refused(following: Following, tmp_path: Path) -> None:
    assert following.signers is not None
    following.signers.chmod(0o666)
    with pytest.raises(UsageError, match="others than root may write"):
        fetched(following, tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"signers": None}, "who may sign"),
        ({"signature": Signature.TAG}, "needs tags to follow"),
        ({"signers": Path("/nowhere")}, "cannot be read"),
    ],
)
def test_a_demand_that_cannot_be_met_is_refused(
    following: Following, tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        fetched(replace(following, **change), tmp_path)  # type: ignore[arg-type]
