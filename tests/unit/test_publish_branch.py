"""The report branch and the notes: what people and other hosts find in the repository."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from reports import COMMIT, DRIFT, NOON, message, report
from repositories import Repository

from reconciler.errors import PublishError
from reconciler.git.access import Access
from reconciler.model.message import State
from reconciler.model.report import Outcome, Report
from reconciler.publish.branch import ReportBranch
from reconciler.publish.notes import CommitNotes
from reconciler.publish.repository import ReportRepository
from reconciler.settings import PublishSettings, Settings
from reconciler.stories.publishing import publish

pytestmark = pytest.mark.server

REFERENCE = "refs/heads/reports/kvm01"


@pytest.fixture
def origin(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "origin")


@pytest.fixture
def repository(origin: Repository, tmp_path: Path) -> ReportRepository:
    return ReportRepository(tmp_path / "var/reports", Access(str(origin.folder)), "kvm01")


@pytest.fixture
def branch(repository: ReportRepository) -> ReportBranch:
    return ReportBranch(repository, keep_days=30)


def shown(origin: Repository, path: str) -> str:
    return origin.git("show", f"{REFERENCE}:{path}")


def settings(origin: Repository, tmp_path: Path, *targets: str) -> Settings:
    return Settings(
        repository=str(origin.folder), var=tmp_path / "var", publish=PublishSettings(targets or ("branch",))
    )


def branch_log(origin: Repository) -> str:
    return origin.git("rev-parse", "--verify", "--quiet", REFERENCE, check=False)


def test_a_report_is_there_for_people_and_for_programs(origin: Repository, branch: ReportBranch) -> None:
    branch.publish(message(markdown="# run\n", json='{"schema": 1}\n', html="<p>run</p>\n"))
    assert shown(origin, "README.md") == "# run"
    assert json.loads(shown(origin, "report.json")) == {"schema": 1}
    assert shown(origin, "report.html") == "<p>run</p>"
    assert shown(origin, "history/20260301T120000Z.md") == "# run"
    assert origin.git("log", "--format=%an <%ae> %s", REFERENCE) == (
        "nwfilter-reconciler <reconciler@kvm01> kvm01: applied"
    )


def test_the_branch_has_no_history_of_its_own_and_none_of_the_site(origin: Repository, branch: ReportBranch) -> None:
    for hour in range(3):
        branch.publish(message(time=(NOON + timedelta(hours=hour)).isoformat(), markdown=f"# {hour}\n"))
    assert origin.git("rev-list", "--count", REFERENCE) == "1"
    history = [f"history/20260301T1{hour}0000Z.md" for hour in (2, 3, 4)]
    listed = origin.git("ls-tree", "-r", "--name-only", REFERENCE).split()
    assert listed == ["README.md", *history, "report.html", "report.json"]


def test_reports_that_are_too_old_go(origin: Repository, branch: ReportBranch) -> None:
    for days in (0, 20, 40):
        branch.publish(message(time=(NOON + timedelta(days=days)).isoformat()))
    listed = origin.git("ls-tree", "--name-only", f"{REFERENCE}:history").split()
    assert listed == ["20260321T120000Z.md", "20260410T120000Z.md"]


def test_many_reports_do_not_fill_the_state_folder(
    origin: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reconciler.publish import repository as repositories

    monkeypatch.setattr(repositories, "MOST_PACKS", 3)
    for hour in range(8):
        fresh = ReportRepository(tmp_path / "var/reports", Access(str(origin.folder)), "kvm01")
        ReportBranch(fresh, 30).publish(message(time=(NOON + timedelta(hours=hour)).isoformat()))
    assert len(list((tmp_path / "var/reports/objects/pack").glob("*.pack"))) <= 4
    assert len(origin.git("ls-tree", "--name-only", f"{REFERENCE}:history").split()) == 8


def test_what_others_put_on_the_branch_goes_and_names_nothing(origin: Repository, branch: ReportBranch) -> None:
    branch.publish(message())
    blob = origin.git("hash-object", "-w", "--stdin", stdin=b"evil")
    tree = origin.git(
        "mktree", stdin=f"100644 blob {blob}\t--output=x\n120000 blob {blob}\t20260301T110000Z.md\n".encode()
    )
    top = origin.git("mktree", stdin=f"040000 tree {tree}\thistory\n".encode())
    origin.git("update-ref", REFERENCE, origin.git("commit-tree", "-m", "evil", top))
    branch.publish(message())
    assert origin.git("ls-tree", "--name-only", f"{REFERENCE}:history") == "20260301T120000Z.md"


def test_a_report_that_another_pushed_meanwhile_is_not_lost_unseen(
    origin: Repository, repository: ReportRepository, branch: ReportBranch, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch.publish(message())
    real = repository.remote

    def then_somebody_pushes(reference: str) -> str | None:
        found = real(reference)
        origin.git("update-ref", REFERENCE, origin.git("commit-tree", "-m", "other", "HEAD^{tree}"))
        return found

    monkeypatch.setattr(repository, "remote", then_somebody_pushes)
    with pytest.raises(PublishError, match="could not push the report"):
        branch.publish(message(markdown="# newer\n"))
    assert origin.git("log", "--format=%s", REFERENCE) == "other"


def test_the_branch_of_one_host_is_not_anothers(origin: Repository, tmp_path: Path, branch: ReportBranch) -> None:
    branch.publish(message())
    other = ReportRepository(tmp_path / "other/reports", Access(str(origin.folder)), "kvm02")
    ReportBranch(other, 30).publish(message(host="kvm02", markdown="# other\n"))
    assert shown(origin, "README.md") == "# run"


@pytest.mark.parametrize("host", ["a..b", "x.lock", "a b", "a:b", "../../heads/main"])
def test_a_host_name_that_is_no_ref_is_refused_by_git(origin: Repository, branch: ReportBranch, host: str) -> None:
    before = origin.git("for-each-ref")
    with pytest.raises(PublishError):
        branch.publish(message(host=host))
    assert origin.git("for-each-ref") == before


def test_a_note_stands_on_the_applied_commit(origin: Repository, repository: ReportRepository) -> None:
    first, second = origin.git("rev-parse", "HEAD"), origin.commit()
    notes = CommitNotes(repository)
    notes.publish(message(commit=first, summary="kvm01: applied"))
    notes.publish(message(commit=second, summary="kvm01: applied again"))
    notes.publish(message(commit=second, summary="kvm01: as the commit says"))
    log = origin.git("log", "--format=%s: %N", "--notes=reconciler/kvm01")
    assert "kvm01: as the commit says" in log and "kvm01: applied\n" in log and "again" not in log


def test_a_commit_that_was_not_applied_has_no_note(origin: Repository, repository: ReportRepository) -> None:
    notes = CommitNotes(repository)
    notes.publish(message(applied=False, state=State.FAILED))
    notes.publish(message(commit=None))
    assert origin.git("for-each-ref", "refs/notes") == ""


def test_a_repository_that_may_not_be_written_is_a_failure_of_posting(tmp_path: Path) -> None:
    nowhere = ReportRepository(tmp_path / "var/reports", Access(str(tmp_path / "absent")), "kvm01")
    with pytest.raises(PublishError, match="for reports") as refused:
        ReportBranch(nowhere, 30).publish(message())
    assert "nothing was done" not in str(refused.value)


# The story: what is told, when, and how often.


def test_a_state_is_told_once(origin: Repository, tmp_path: Path) -> None:
    told = settings(origin, tmp_path)
    assert publish(told, report()) == ()
    first = branch_log(origin)
    assert first
    for hour in range(1, 4):
        publish(told, report(started=NOON + timedelta(hours=hour), seconds=hour))
    assert branch_log(origin) == first
    publish(told, report(commit="d" * 40))
    assert branch_log(origin) != first


def changes(origin: Repository, told: Settings, *runs: Report) -> list[bool]:
    """Whether each run was told."""
    found = []
    for number, run in enumerate(runs):
        before = branch_log(origin)
        publish(told, replace(run, started=NOON + timedelta(hours=number)))
        found.append(branch_log(origin) != before)
    return found


def test_drift_that_was_put_right_is_told_once_and_again_only_when_it_comes_back_or_changes(
    origin: Repository, tmp_path: Path
) -> None:
    calm, mended = report(), report(Outcome.APPLIED, found=(DRIFT,))
    other = report(Outcome.APPLIED, found=(replace(DRIFT, actual=None),))
    runs = (calm, mended, calm, calm, mended, mended, other)
    assert changes(origin, settings(origin, tmp_path), *runs) == [True, True, False, False, True, False, True]


def test_drift_that_stays_is_told_once_and_again_when_it_is_gone(origin: Repository, tmp_path: Path) -> None:
    calm = report()
    stays = report(Outcome.DRIFT, found=(DRIFT,), drift=(DRIFT,))
    assert changes(origin, settings(origin, tmp_path), calm, stays, stays, stays, calm) == [
        True, True, False, False, True,
    ]  # fmt: skip


def test_what_could_not_be_posted_is_posted_by_the_next_run(origin: Repository, tmp_path: Path) -> None:
    told = settings(origin, tmp_path)
    origin.folder.rename(tmp_path / "away")
    mended = report(Outcome.APPLIED, found=(DRIFT,))
    [failure] = publish(told, mended)
    assert failure.exit_code == 4
    (tmp_path / "away").rename(origin.folder)
    assert publish(told, report(started=NOON + timedelta(hours=1))) == ()
    assert json.loads(shown(origin, "report.json"))["found"][0]["object"] == "guest/web01"
    before = branch_log(origin)
    assert publish(told, report(started=NOON + timedelta(hours=2))) == ()
    assert branch_log(origin) == before


def test_one_place_that_fails_does_not_keep_another_from_being_told(origin: Repository, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    (tmp_path / "token").chmod(0o600)
    targets = PublishSettings(("branch", "notes", "gitlab"), 30, "http://127.0.0.1:1", "infra/site", tmp_path / "token")
    told = Settings(repository=str(origin.folder), var=tmp_path / "var", publish=targets)
    [failure] = publish(told, report(commit=origin.git("rev-parse", "HEAD")))
    assert "GitLab" in str(failure)
    assert branch_log(origin) and origin.git("for-each-ref", "refs/notes")


def test_nothing_is_told_to_nobody(origin: Repository, tmp_path: Path) -> None:
    told = Settings(repository=str(origin.folder), var=tmp_path / "var")
    assert publish(told, report()) == ()
    assert not (tmp_path / "var").exists()


def test_no_secret_stands_in_a_report(origin: Repository, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("glpat-s3cret")
    (tmp_path / "token").chmod(0o600)
    targets = PublishSettings(("branch", "gitlab"), 30, "http://127.0.0.1:1", "infra/site", tmp_path / "token")
    publish(Settings(repository=str(origin.folder), var=tmp_path / "var", publish=targets), report(commit=COMMIT))
    everything = [path.read_bytes() for path in (tmp_path / "var").rglob("*") if path.is_file()]
    assert everything and not any(b"s3cret" in content for content in everything)
    assert "s3cret" not in shown(origin, "report.json") + shown(origin, "README.md")
