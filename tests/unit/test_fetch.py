"""Fetching over HTTPS from a real server: credentials, deadlines, retries, and what holds while it is down."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from repositories import Repository
from servers import GitServer, git_server, make_certificate

from reconciler.errors import ReconcilerError, RefusedCommit, SourceError
from reconciler.git.access import Access
from reconciler.records.commits import begin, finish, read_applied
from reconciler.settings import GitSettings, Settings
from reconciler.source import mirror as mirrors
from reconciler.source.following import Following, Known, fetch_verified
from reconciler.stories import following as story

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "served/site")


@pytest.fixture
def server(repository: Repository, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    monkeypatch.setattr(mirrors, "FIRST_PAUSE_SECONDS", 0.02)
    with git_server(repository.folder.parent, certificate) as running:
        yield running


def settings(server: GitServer, tmp_path: Path, **more: object) -> Settings:
    git = GitSettings(ca_file=server.certificate)._replace(**more)  # type: ignore[arg-type]
    return Settings(repository=server.url("site/.git"), var=tmp_path / "var", git=git)


def secret(tmp_path: Path, text: str = "s3cret-token\n", mode: int = 0o600) -> Path:
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_commit_is_fetched_over_https_with_the_hosts_own_authority(
    repository: Repository, server: GitServer, tmp_path: Path
) -> None:
    assert story.newest(settings(server, tmp_path)).commit == repository.git("rev-parse", "HEAD")
    with pytest.raises(SourceError, match="certificate"):
        story.newest(settings(server, tmp_path / "other", ca_file=None))


def test_the_first_fetch_is_shallow_and_later_ones_know_what_descends(
    repository: Repository, server: GitServer, tmp_path: Path
) -> None:
    for _ in range(3):
        repository.commit()
    told = settings(server, tmp_path)
    first = story.newest(told).commit
    assert (tmp_path / "var/mirror/shallow").exists()
    finish(told.var, first, applied=True)
    newer = repository.commit()
    assert story.newest(told).commit == newer


def test_a_lost_mirror_is_completed_before_a_commit_is_called_rewound(
    repository: Repository, server: GitServer, tmp_path: Path
) -> None:
    told = settings(server, tmp_path)
    finish(told.var, story.newest(told).commit, applied=True)
    for _ in range(3):
        newest = repository.commit()
    shutil.rmtree(told.var / "mirror")
    assert story.newest(told).commit == newest


def test_a_token_comes_from_a_file_and_stands_in_no_command_line_log_or_error(
    repository: Repository, server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.token = "b2F1dGgyOnMzY3JldC10b2tlbg=="
    arguments = tmp_path / "arguments"
    real = shutil.which("git")
    spy = tmp_path / "bin/git"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\necho "$@" >> {arguments}\nexec {real} "$@"\n')
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spy.parent}:{os.environ['PATH']}")
    with pytest.raises(SourceError) as refused:
        story.newest(settings(server, tmp_path))
    told = settings(server, tmp_path, token=secret(tmp_path))
    assert story.newest(told).commit
    server.token = "another"
    with pytest.raises(SourceError) as failed:
        story.newest(told)
    kept = "".join(path.read_text(errors="replace") for path in told.var.rglob("*") if path.is_file())
    for text in (str(refused.value), str(failed.value), arguments.read_text(), kept):
        assert "s3cret" not in text and "b2F1dGgyOnMzY3JldC10b2tlbg" not in text


def test_a_token_is_not_sent_to_another_server_that_a_redirect_names(
    repository: Repository, server: GitServer, certificate: Path, tmp_path: Path
) -> None:
    told = settings(server, tmp_path, token=secret(tmp_path))
    environment = story.following(told).access.environment()
    assert environment["GIT_CONFIG_VALUE_1"] == "false" and environment["GIT_CONFIG_KEY_1"] == "http.followRedirects"
    with git_server(repository.folder.parent, certificate) as other:
        assert f"localhost:{other.port}" not in environment["GIT_CONFIG_KEY_0"]


@pytest.mark.parametrize(
    ("text", "mode", "reason"), [("", 0o600, "is empty"), ("x", 0o644, "every user may read the secret")]
)
def test_a_secret_that_is_none_is_refused(server: GitServer, tmp_path: Path, text: str, mode: int, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        story.newest(settings(server, tmp_path, token=secret(tmp_path, text, mode)))


def test_a_password_in_the_url_is_refused_and_not_repeated(tmp_path: Path) -> None:
    following = Following(Access("https://me:pa55word@example.org/site.git"))
    with pytest.raises(SourceError, match="holds a password") as refused:
        fetch_verified(following, tmp_path / "mirror", Known())
    assert "pa55word" not in str(refused.value)


def test_a_token_goes_over_https_alone(tmp_path: Path) -> None:
    following = Following(Access("ssh://git@example.org/site.git", token=secret(tmp_path)))
    with pytest.raises(SourceError, match="over https alone"):
        fetch_verified(following, tmp_path / "mirror", Known())


def test_an_ssh_key_is_used_alone_with_the_known_hosts_of_the_configuration(tmp_path: Path) -> None:
    key = secret(tmp_path, "a key")
    access = Access("ssh://git@example.org/x", ssh_key=key, known_hosts=tmp_path / "known hosts")
    command = access.environment()["GIT_SSH_COMMAND"]
    for part in ("-F /dev/null", "BatchMode=yes", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes", f"-i {key}"):
        assert part in command
    assert f"'UserKnownHostsFile={tmp_path}/known hosts'" in command


def test_a_server_that_fails_for_a_moment_is_asked_again(
    repository: Repository, server: GitServer, tmp_path: Path
) -> None:
    server.failures = [503, 502]
    assert story.newest(settings(server, tmp_path)).commit == repository.git("rev-parse", "HEAD")


def test_a_server_that_refuses_is_not_asked_again(server: GitServer, tmp_path: Path) -> None:
    server.failures = [403, 403, 403]
    with pytest.raises(SourceError, match="403"):
        story.newest(settings(server, tmp_path))
    assert len(server.headers) == 1


def test_a_server_that_never_answers_is_left_at_the_deadline_with_all_helpers(tmp_path: Path) -> None:
    with socket.create_server(("localhost", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        following = Following(Access(f"https://localhost:{port}/site.git", deadline=1))
        with pytest.raises(SourceError, match="not done within 1 s"):
            fetch_verified(following, tmp_path / "mirror", Known())
        assert time.monotonic() - started < 5
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert f"localhost:{port}".encode() not in path.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue


def test_with_the_remote_down_the_last_verified_commit_stays_in_force_and_is_called_stale(
    repository: Repository, server: GitServer, tmp_path: Path
) -> None:
    told = settings(server, tmp_path)
    before = datetime.now(UTC)
    fresh = story.in_force(told)
    assert fresh.stale_since is None and fresh.trouble is None
    repository.commit()
    server.failures = [500] * 9
    held = story.in_force(told)
    assert held.commit == fresh.commit
    assert held.stale_since is not None and abs((held.stale_since - before).total_seconds()) < 5
    assert isinstance(held.trouble, SourceError) and not held.refused


def test_with_the_remote_down_and_nothing_verified_yet_nothing_is_in_force(server: GitServer, tmp_path: Path) -> None:
    server.failures = [500] * 9
    with pytest.raises(SourceError, match="500"):
        story.in_force(settings(server, tmp_path))


def test_what_was_verified_of_another_branch_or_under_another_demand_is_not_in_force(
    repository: Repository, server: GitServer, tmp_path: Path
) -> None:
    repository.git("branch", "other")
    story.newest(settings(server, tmp_path))
    for changed in (
        settings(server, tmp_path)._replace(branch="other"),
        settings(server, tmp_path, signature="commit", signers=Path("/etc/passwd")),
    ):
        server.failures = [500] * 9
        with pytest.raises(SourceError):
            story.in_force(changed)


def test_a_rewound_branch_is_refused_and_the_last_commit_stays_in_force(
    repository: Repository, server: GitServer, tmp_path: Path
) -> None:
    told = settings(server, tmp_path)
    old = repository.git("rev-parse", "HEAD")
    new = repository.commit()
    story.newest(told)
    finish(told.var, new, applied=True)
    repository.git("reset", "--quiet", "--hard", old)
    with pytest.raises(RefusedCommit, match=f"{old[:12]} of refs/heads/main is refused: .* {new[:12]}.*rewound"):
        story.newest(told)
    held = story.in_force(told)
    assert held.refused and held.commit == new and held.stale_since is None


def test_a_replaced_history_is_refused_as_well(repository: Repository, server: GitServer, tmp_path: Path) -> None:
    told = settings(server, tmp_path)
    finish(told.var, story.newest(told).commit, applied=True)
    repository.git("checkout", "--quiet", "--orphan", "fresh")
    repository.commit("another beginning")
    repository.git("branch", "--force", "main", "fresh")
    with pytest.raises(RefusedCommit, match="rewound or replaced"):
        story.newest(told)


def test_a_rewind_is_taken_when_somebody_says_that_it_is_meant_and_only_once(
    repository: Repository, server: GitServer, tmp_path: Path
) -> None:
    told = settings(server, tmp_path)
    old = repository.git("rev-parse", "HEAD")
    new = repository.commit()
    story.newest(told)
    finish(told.var, new, applied=True)
    repository.git("reset", "--quiet", "--hard", old)
    meant = told._replace(git=told.git._replace(allow_rewind=True))
    assert story.newest(meant).commit == old
    assert read_applied(told.var).commit == old
    assert story.newest(told).commit == old


def test_a_commit_whose_steps_may_have_been_taken_counts_like_an_applied_one(
    repository: Repository, server: GitServer, tmp_path: Path
) -> None:
    told = settings(server, tmp_path)
    old = story.newest(told).commit
    finish(told.var, old, applied=True)
    new = repository.commit()
    story.newest(told)
    begin(told.var, new)
    repository.git("reset", "--quiet", "--hard", old)
    with pytest.raises(RefusedCommit):
        story.newest(told)
    finish(told.var, new, applied=False)
    assert story.newest(told).commit == old


def test_two_processes_share_one_mirror_one_after_the_other(
    repository: Repository, server: GitServer, tmp_path: Path
) -> None:
    told = settings(server, tmp_path)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(story.newest(told).commit)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [repository.git("rev-parse", "HEAD")] * 4


@pytest.mark.parametrize(("tags", "followed"), [("v*", "v10.0"), ("v1.*", "v1.9"), ("release-1*", "release-1.0")])
def test_of_tags_the_highest_version_is_followed(
    repository: Repository, server: GitServer, tmp_path: Path, tags: str, followed: str
) -> None:
    for name in ("v1.9", "release-1.0-rc1", "release-1.0", "v10.0-rc1", "v10.0", "v2.0"):
        repository.commit(name)
        repository.git("tag", "--annotate", "--message", name, name)
    commit = repository.git("rev-parse", f"{followed}^{{commit}}")
    assert story.newest(settings(server, tmp_path, tags=tags)).commit == commit


def test_a_wave_is_followed_by_its_own_ref(repository: Repository, server: GitServer, tmp_path: Path) -> None:
    first = repository.git("rev-parse", "HEAD")
    repository.git("update-ref", "refs/waves/1", first)
    repository.commit()
    told = settings(server, tmp_path, ref="refs/waves/1")
    assert story.newest(told).commit == first
    repository.git("update-ref", "refs/waves/1", "HEAD")
    assert story.newest(told).commit == repository.git("rev-parse", "HEAD")


def test_a_ref_to_something_else_than_a_commit_is_refused(
    repository: Repository, server: GitServer, tmp_path: Path
) -> None:
    repository.git("update-ref", "refs/waves/1", "HEAD^{tree}")
    with pytest.raises(RefusedCommit, match="no commit, but a tree"):
        story.newest(settings(server, tmp_path, ref="refs/waves/1"))


def test_many_fetches_do_not_fill_the_mirror(
    repository: Repository, server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "MOST_PACKS", 3)
    told = settings(server, tmp_path)
    for _ in range(6):
        commit = repository.commit()
        assert story.newest(told).commit == commit
    assert len(list((told.var / "mirror/objects/pack").glob("*.pack"))) <= 3


def test_a_state_folder_that_is_none_is_one_sentence(repository: Repository, server: GitServer, tmp_path: Path) -> None:
    (tmp_path / "var").write_text("not a folder")
    with pytest.raises(ReconcilerError, match=r"cannot be (read|used) \(Not a directory\); nothing was done"):
        story.newest(settings(server, tmp_path))
