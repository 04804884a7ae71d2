"""The site of a commit: read from the object database of a bare mirror, or from an author's folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from repositories import SITE, Repository

from reconciler.errors import SourceError
from reconciler.git.access import Access
from reconciler.source.base import messages_since, read_base
from reconciler.source.following import Following, Known, fetch_verified, read_commit
from reconciler.source.snapshot import Snapshot


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "origin")


def fetched(url: str | Path, tmp_path: Path, branch: str = "main") -> Snapshot:
    following = Following(Access(str(url)), branch)
    return read_commit(following, tmp_path / "mirror", fetch_verified(following, tmp_path / "mirror", Known()))


def test_the_newest_commit_of_the_branch_is_read(repository: Repository, tmp_path: Path) -> None:
    repository.write("guests/web01.yaml", "name: web01\n")
    (repository.folder / "README.md").write_text("not of the site\n")
    commit = repository.commit()
    snapshot = fetched(repository.folder, tmp_path)
    files = {"site.yaml": SITE.encode(), "guests/web01.yaml": b"name: web01\n"}
    assert snapshot == Snapshot(commit, files, prefix="state/")


def test_a_site_at_the_top_of_the_repository_is_read(repository: Repository, tmp_path: Path) -> None:
    repository.git("mv", "state/site.yaml", "site.yaml")
    repository.commit()
    assert fetched(repository.folder, tmp_path).files == {"site.yaml": SITE.encode()}


def test_a_repository_without_a_site_is_one_sentence(repository: Repository, tmp_path: Path) -> None:
    repository.git("mv", "state/site.yaml", "state/other.yaml")
    repository.commit()
    with pytest.raises(SourceError, match=r"has no site: no site.yaml in state/ or its top; nothing was done"):
        fetched(repository.folder, tmp_path)


def test_a_missing_branch_and_a_missing_remote_are_one_sentence(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"could not fetch nowhere .*; nothing was done"):
        fetched(repository.folder, tmp_path, "nowhere")
    with pytest.raises(SourceError, match=r"could not fetch main .*; nothing was done"):
        fetched(tmp_path / "absent", tmp_path)


@pytest.mark.lab
def test_a_repository_of_another_owner_is_read_when_the_operator_names_it(
    repository: Repository, tmp_path: Path
) -> None:
    for path in [repository.folder, *repository.folder.rglob("*")]:
        os.lchown(path, 65534, 65534)
    assert fetched(repository.folder, tmp_path).files
    assert fetched(f"file://{repository.folder}", tmp_path).files
    assert read_base(repository.folder / "state", "HEAD").files


def test_the_base_is_the_same_folder_in_another_commit(repository: Repository) -> None:
    first = repository.git("rev-parse", "HEAD")
    repository.write("site.yaml", "hosts: {kvm02: {}}\n")
    repository.commit()
    base = read_base(repository.folder / "state", "HEAD~1")
    assert (base.commit, base.files) == (first, {"site.yaml": SITE.encode()})
    assert messages_since(repository.folder / "state", first).strip() == "a change"


def test_a_base_from_before_the_site_has_none_of_its_guests(repository: Repository) -> None:
    repository.git("mv", "state", "elsewhere")
    repository.commit()
    repository.git("mv", "elsewhere", "state")
    repository.commit()
    assert read_base(repository.folder / "state", "HEAD~1").files == {"site.yaml": b"{}\n"}


def test_a_base_that_a_shallow_clone_left_out_is_told_so(repository: Repository, tmp_path: Path) -> None:
    first = repository.git("rev-parse", "HEAD")
    repository.write("site.yaml", "hosts: {kvm02: {}}\n")
    repository.commit()
    clone = tmp_path / "clone"
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.folder}", str(clone))
    with pytest.raises(SourceError, match=f"the repository has no commit {first}; nothing was done") as caught:
        read_base(clone / "state", first)
    assert "shallow" in caught.value.hint


@pytest.mark.parametrize("reference", ["nowhere", "--output=SPRUNG", "HEAD:state"])
def test_a_base_that_is_no_commit_is_one_sentence(repository: Repository, reference: str) -> None:
    with pytest.raises(SourceError, match="nothing was done"):
        read_base(repository.folder / "state", reference)
    assert not list(repository.folder.rglob("SPRUNG"))
