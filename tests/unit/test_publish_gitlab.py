"""Posting to GitLab: against a server that behaves as GitLab does, on its good days and on its odd ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gitlab_server import BOT, SOMEBODY, FakeGitLab, add_issue, fake_gitlab
from reports import COMMIT, message

from reconciler.errors import PublishError, UsageError
from reconciler.model.message import State
from reconciler.publish import gitlab as adapter
from reconciler.publish.forge import MOST_BODY, ForgePublisher
from reconciler.publish.gitlab import LABEL, GitLab

pytestmark = pytest.mark.server

MARKER = "<!-- nwfilter-reconciler host=kvm01 -->"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGitLab]:
    monkeypatch.setattr(adapter, "FIRST_PAUSE_SECONDS", 0.01)
    with fake_gitlab() as running:
        running.commits.add(COMMIT)
        running.merge_requests[COMMIT] = [{"iid": 3, "state": "merged"}]
        yield running


@pytest.fixture
def publisher(server: FakeGitLab) -> ForgePublisher:
    return ForgePublisher(GitLab(server.url, server.project, server.token))


def shown(server: FakeGitLab) -> list[tuple[str, str]]:
    return [(status["name"], status["status"]) for status in server.statuses]


def test_a_run_is_a_status_and_a_comment_on_its_merge_request(server: FakeGitLab, publisher: ForgePublisher) -> None:
    publisher.publish(message(summary="kvm01: applied"))
    assert shown(server) == [("reconciler/kvm01", "success")]
    assert server.statuses[0]["description"] == "kvm01: applied"
    assert [note["body"] for note in server.notes[3]] == [f"{MARKER}\n# run\n"]
    assert server.issues == []


def test_the_comment_is_made_once_and_then_updated_in_place(server: FakeGitLab, publisher: ForgePublisher) -> None:
    for text in ("# one\n", "# two\n", "# two\n"):
        publisher.publish(message(markdown=text))
    assert [note["body"] for note in server.notes[3]] == [f"{MARKER}\n# two\n"]
    assert sum("/notes" in request for request in server.writes) == 2


def test_hosts_do_not_overwrite_each_other(server: FakeGitLab, publisher: ForgePublisher) -> None:
    publisher.publish(message(host="kvm01", state=State.SUCCESS))
    publisher.publish(message(host="kvm02", state=State.FAILED, markdown="# other\n"))
    publisher.publish(message(host="kvm01", state=State.SUCCESS, markdown="# again\n"))
    assert shown(server)[:2] == [("reconciler/kvm01", "success"), ("reconciler/kvm02", "failed")]
    assert [note["body"].partition("\n")[2] for note in server.notes[3]] == ["# again\n", "# other\n"]


def test_a_marker_in_somebody_elses_comment_is_not_ours(server: FakeGitLab, publisher: ForgePublisher) -> None:
    server.add_note(3, SOMEBODY, f"{MARKER}\nmine")
    server.add_note(3, BOT, f"a reply that quotes {MARKER}")
    publisher.publish(message())
    bodies = [note["body"] for note in server.notes[3]]
    assert bodies == [f"{MARKER}\nmine", f"a reply that quotes {MARKER}", f"{MARKER}\n# run\n"]


def test_the_comment_is_found_behind_many_pages_of_others(server: FakeGitLab, publisher: ForgePublisher) -> None:
    for number in range(70):
        server.add_note(3, SOMEBODY, f"comment {number}")
    publisher.publish(message(markdown="# one\n"))
    publisher.publish(message(markdown="# two\n"))
    assert len(server.notes[3]) == 71
    assert server.notes[3][-1]["body"] == f"{MARKER}\n# two\n"


def test_a_status_that_would_not_change_is_no_failure(server: FakeGitLab, publisher: ForgePublisher) -> None:
    for _ in range(2):
        publisher.publish(message(state=State.PENDING))
    assert shown(server) == [("reconciler/kvm01", "pending")]
    publisher.publish(message(state=State.SUCCESS))
    assert shown(server) == [("reconciler/kvm01", "success")]


def test_another_400_is_a_failure(server: FakeGitLab, publisher: ForgePublisher) -> None:
    server.faults.append((400, {}, b'{"message": "Sha is not valid"}'))
    with pytest.raises(PublishError, match="400: Sha is not valid"):
        publisher.publish(message())
    assert shown(server) == []


def test_drift_that_stays_is_one_issue_opened_once_and_closed_when_it_is_gone(
    server: FakeGitLab, publisher: ForgePublisher
) -> None:
    for text in ("# drift\n", "# drift\n", "# more drift\n"):
        publisher.publish(message(state=State.FAILED, drifts=True, markdown=text))
    [issue] = server.issues
    assert (issue["title"], issue["state"], issue["labels"]) == ("kvm01 differs from the site", "opened", [LABEL])
    assert issue["description"] == f"{MARKER}\n# more drift\n"
    publisher.publish(message(host="kvm02"))
    assert issue["state"] == "opened"
    publisher.publish(message())
    publisher.publish(message())
    assert issue["state"] == "closed"
    publisher.publish(message(state=State.FAILED, drifts=True))
    assert [each["state"] for each in server.issues] == ["closed", "opened"]


def test_a_failed_run_that_knows_of_no_drift_leaves_the_issue_open(
    server: FakeGitLab, publisher: ForgePublisher
) -> None:
    publisher.publish(message(state=State.FAILED, drifts=True))
    publisher.publish(message(state=State.FAILED, drifts=False))
    assert server.issues[0]["state"] == "opened"


def test_the_issue_is_found_behind_many_pages_of_others(server: FakeGitLab, publisher: ForgePublisher) -> None:
    for number in range(50):
        add_issue(server, SOMEBODY, f"issue {number}", "", [LABEL])
    publisher.publish(message(state=State.FAILED, drifts=True))
    publisher.publish(message(state=State.FAILED, drifts=True, markdown="# more\n"))
    assert len(server.issues) == 51
    publisher.publish(message())
    assert server.issues[-1]["state"] == "closed"


def test_somebody_elses_issue_is_neither_changed_nor_closed(server: FakeGitLab, publisher: ForgePublisher) -> None:
    theirs = add_issue(server, SOMEBODY, "kvm01", f"{MARKER}\nmine", [LABEL])
    publisher.publish(message(state=State.FAILED, drifts=True))
    publisher.publish(message())
    assert (theirs["state"], theirs["description"]) == ("opened", f"{MARKER}\nmine")


def test_a_commit_without_merge_requests_gets_its_status_alone(server: FakeGitLab, publisher: ForgePublisher) -> None:
    server.merge_requests[COMMIT] = [{"iid": 5, "state": "closed"}]
    publisher.publish(message())
    assert shown(server) and server.notes == {}


def test_a_run_without_a_commit_can_still_tell_of_drift(server: FakeGitLab, publisher: ForgePublisher) -> None:
    publisher.publish(message(commit=None, state=State.FAILED, drifts=True))
    assert shown(server) == [] and len(server.issues) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_what_passes_by_itself_is_asked_again(server: FakeGitLab, publisher: ForgePublisher, status: int) -> None:
    server.faults += [(status, {"Retry-After": "3600"}, b"<html>sorry</html>")] * 2
    publisher.publish(message())
    assert shown(server) == [("reconciler/kvm01", "success")]


def test_a_server_that_stays_down_is_a_failure_after_a_few_attempts(
    server: FakeGitLab, publisher: ForgePublisher
) -> None:
    server.faults += [(503, {}, b"")] * 50
    with pytest.raises(PublishError, match=r"could not set the status .*503"):
        publisher.publish(message())
    assert len(server.requests) <= 3 * adapter.ATTEMPTS


def test_a_part_that_fails_does_not_keep_the_others_from_being_told(
    server: FakeGitLab, publisher: ForgePublisher
) -> None:
    server.commits.clear()
    with pytest.raises(PublishError, match="404"):
        publisher.publish(message(state=State.FAILED, drifts=True))
    assert len(server.issues) == 1


def test_a_server_that_hangs_is_left(
    server: FakeGitLab, publisher: ForgePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "TIMEOUT_SECONDS", 0.1)
    hung = ForgePublisher(GitLab(server.url, server.project, server.token))
    server.hang = 0.5
    with pytest.raises(PublishError, match="does not answer"):
        hung.publish(message(commit=None, drifts=True))


def test_a_server_that_is_not_there_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "FIRST_PAUSE_SECONDS", 0.01)
    nobody = ForgePublisher(GitLab("http://127.0.0.1:1", "infra/site", "x"))
    with pytest.raises(PublishError, match="does not answer"):
        nobody.publish(message())


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"<html>", b'{"id": "x"}', b"[1, 2]"])
def test_an_answer_that_is_none_is_a_failure_not_a_crash(
    server: FakeGitLab, publisher: ForgePublisher, body: bytes
) -> None:
    server.faults += [(200, {}, body)] * 9
    with pytest.raises(PublishError):
        publisher.publish(message(commit=None, drifts=True))


def test_a_wrong_token_is_a_failure_that_does_not_show_it(server: FakeGitLab) -> None:
    publisher = ForgePublisher(GitLab(server.url, server.project, "glpat-other"))
    with pytest.raises(PublishError, match="401") as refused:
        publisher.publish(message())
    assert "glpat" not in str(refused.value) + refused.value.hint


def test_a_token_goes_over_https_alone() -> None:
    with pytest.raises(UsageError, match="over https alone"):
        GitLab("http://gitlab.example.org", "infra/site", "x")


def test_a_redirect_takes_the_token_nowhere(server: FakeGitLab, publisher: ForgePublisher) -> None:
    with fake_gitlab() as other:
        server.faults += [(302, {"Location": f"{other.url}/api/v4/user"}, b"")] * 9
        with pytest.raises(PublishError):
            publisher.publish(message())
        assert other.requests == []


@pytest.mark.parametrize("attack", ["/merge", "/close\n/label ~x", "@all"])
def test_what_a_site_says_is_never_done_by_gitlab(server: FakeGitLab, publisher: ForgePublisher, attack: str) -> None:
    from reports import DRIFT, report

    from reconciler.model.report import Outcome
    from reconciler.report.run import run_document
    from reconciler.stories.publishing import message_of

    drift = (type(DRIFT)(attack, attack, DRIFT.layer, [attack, f"```\n{attack}"], attack),)
    told = report(Outcome.FAILED, drift=drift, found=drift)
    publisher.publish(message_of(told, run_document(told)))
    assert server.notes[3] and server.issues and server.executed == []


def test_the_server_of_these_tests_does_quick_actions_when_it_is_let() -> None:
    told = FakeGitLab()
    told.quick_actions("text\n/merge\n```\n/close\n```\n")
    assert told.executed == ["/merge"]


def test_a_report_that_is_too_long_is_cut_where_nothing_stays_open(
    server: FakeGitLab, publisher: ForgePublisher
) -> None:
    long = "# run\n\n## drift\n\n```text\n" + "/merge\n" * MOST_BODY + "```\n"
    publisher.publish(message(markdown=long))
    assert "too long to be shown" in server.notes[3][0]["body"] and server.executed == []


@pytest.mark.parametrize("host", ["-->", "a b", "", "x\ny", "@all"])
def test_a_host_whose_name_could_act_is_not_told(publisher: ForgePublisher, server: FakeGitLab, host: str) -> None:
    with pytest.raises(PublishError):
        publisher.publish(message(host=host))
    assert server.requests == []


def test_no_status_says_success_before_it_is_true(server: FakeGitLab, publisher: ForgePublisher) -> None:
    posted: list[Any] = []
    for state in State:
        publisher.publish(message(state=state))
        posted.append(server.statuses[-1]["status"])
    assert posted == [str(state) for state in State]
