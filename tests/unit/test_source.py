"""A repository is untrusted input: read from the object database, nothing in it runs, odd trees are refused."""

from __future__ import annotations

import ast
import os
import subprocess
from pathlib import Path

import pytest

from reconciler.errors import SourceError
from reconciler.source.base import messages_since, read_base
from reconciler.source.folder import read_folder
from reconciler.source.repository import read_repository

SITE = "hosts: {kvm01: {}}\n"


class Repository:
    """An author's repository with a site under `state/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "state/guests").mkdir(parents=True)
        (folder / "state/site.yaml").write_text(SITE)
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit()

    def git(self, *arguments: str) -> str:
        author = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"]
        argv = ["git", "-C", str(self.folder), *author, *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a change")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "origin")


def test_the_newest_commit_of_the_branch_is_read(repository: Repository, tmp_path: Path) -> None:
    (repository.folder / "state/guests/web01.yaml").write_text("name: web01\n")
    (repository.folder / "README.md").write_text("not of the site\n")
    commit = repository.commit()
    snapshot = read_repository(str(repository.folder), "main", tmp_path / "mirror")
    assert snapshot.commit == commit
    assert snapshot.files == {"site.yaml": SITE.encode(), "guests/web01.yaml": b"name: web01\n"}


def test_a_site_at_the_top_of_the_repository_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "origin"
    repository = Repository(folder)
    repository.git("mv", "state/site.yaml", "site.yaml")
    repository.commit()
    assert read_repository(str(folder), "main", tmp_path / "mirror").files == {"site.yaml": SITE.encode()}


def test_a_rewritten_branch_is_followed_to_where_it_is(repository: Repository, tmp_path: Path) -> None:
    read_repository(str(repository.folder), "main", tmp_path / "mirror")
    (repository.folder / "state/site.yaml").write_text("hosts: {other: {}}\n")
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--amend", "--message", "rewritten")
    snapshot = read_repository(str(repository.folder), "main", tmp_path / "mirror")
    assert snapshot.commit == repository.git("rev-parse", "HEAD")


@pytest.mark.parametrize("name", ["guests/link.yaml", "filters/link.xml", "site.yaml"])
def test_a_symlink_is_refused(repository: Repository, tmp_path: Path, name: str) -> None:
    link = repository.folder / "state" / name
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to("/etc/shadow")
    repository.commit()
    with pytest.raises(SourceError, match="no regular file"):
        read_repository(str(repository.folder), "main", tmp_path / "mirror")
    with pytest.raises(SourceError):
        read_folder(repository.folder / "state")


def test_a_submodule_is_refused(repository: Repository, tmp_path: Path) -> None:
    Repository(tmp_path / "other")
    repository.git("submodule", "--quiet", "add", str(tmp_path / "other"), "state/guests/other")
    repository.commit()
    with pytest.raises(SourceError, match="no regular file"):
        read_repository(str(repository.folder), "main", tmp_path / "mirror")


def test_a_huge_file_is_refused(repository: Repository, tmp_path: Path) -> None:
    (repository.folder / "state/guests/huge.yaml").write_bytes(b"#" * (1 << 21))
    repository.commit()
    with pytest.raises(SourceError, match="regular file of at most"):
        read_repository(str(repository.folder), "main", tmp_path / "mirror")


def test_nothing_of_the_users_git_environment_counts(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "sprung"
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    hook = hooks / "reference-transaction"
    hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
    hook.chmod(0o755)
    configuration = tmp_path / "gitconfig"
    configuration.write_text(f'[core]\n  hooksPath = {hooks}\n  sshCommand = "touch {trap}"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.hooksPath")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(hooks))
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.setenv(name, os.environ[name])
    read_repository(str(repository.folder), "main", tmp_path / "mirror")
    assert not trap.exists()


@pytest.mark.parametrize("url", ["ext::sh -c 'touch SPRUNG'", "fd::3", "git://localhost:1/x", "http://localhost:1/x"])
def test_other_transports_are_refused(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match="not allowed"):
        read_repository(url, "main", tmp_path / "mirror")
    assert not (tmp_path / "SPRUNG").exists()


@pytest.mark.parametrize("url", ["--upload-pack=touch SPRUNG", "-oProxyCommand=touch SPRUNG"])
def test_a_url_is_no_option(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError):
        read_repository(url, "main", tmp_path / "mirror")
    assert not (tmp_path / "SPRUNG").exists()


def test_a_missing_branch_and_a_missing_remote_are_one_sentence(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"could not fetch nowhere .*; nothing was done"):
        read_repository(str(repository.folder), "nowhere", tmp_path / "mirror")
    with pytest.raises(SourceError, match=r"could not fetch main .*; nothing was done"):
        read_repository(str(tmp_path / "absent"), "main", tmp_path / "mirror")


@pytest.mark.lab
def test_a_repository_of_another_owner_is_read_when_the_operator_names_it(
    repository: Repository, tmp_path: Path
) -> None:
    for path in [repository.folder, *repository.folder.rglob("*")]:
        os.lchown(path, 65534, 65534)
    assert read_repository(str(repository.folder), "main", tmp_path / "mirror").files
    assert read_repository(f"file://{repository.folder}", "main", tmp_path / "mirror").files
    assert read_base(repository.folder / "state", "HEAD").files


def test_the_base_is_the_same_folder_in_another_commit(repository: Repository) -> None:
    first = repository.git("rev-parse", "HEAD")
    (repository.folder / "state/site.yaml").write_text("hosts: {kvm02: {}}\n")
    repository.commit()
    base = read_base(repository.folder / "state", "HEAD~1")
    assert (base.commit, base.files) == (first, {"site.yaml": SITE.encode()})
    assert messages_since(repository.folder / "state", first).strip() == "a change"


@pytest.mark.parametrize("reference", ["nowhere", "--output=SPRUNG", "HEAD:state"])
def test_a_base_that_is_no_commit_is_one_sentence(repository: Repository, reference: str) -> None:
    with pytest.raises(SourceError, match="nothing was done"):
        read_base(repository.folder / "state", reference)
    assert not list(repository.folder.rglob("SPRUNG"))


def test_no_git_command_takes_its_words_from_a_repository() -> None:
    """`repo.git.NAME(value)` would let a value be an option; only the one constant door may run git."""
    folder = Path(__file__).parents[2] / "reconciler/source"
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Attribute) and node.attr == "git"), f"{path}:{node.lineno}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in ("config_writer", "submodules"), f"{path}:{node.lineno}"
