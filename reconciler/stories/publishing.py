"""Tell a run to those who read it: each place once, nothing twice, and later what could not be told now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from reconciler.errors import PublishError, ReconcilerError
from reconciler.model.message import Message, State
from reconciler.model.report import Outcome, Report
from reconciler.records.published import (
    Published,
    forget_unposted,
    keep_unposted,
    read_published,
    read_unposted,
    write_published,
)
from reconciler.report.run import found_digest, run_document, state_digest, summary
from reconciler.settings import Settings
from reconciler.stories.following import access

if TYPE_CHECKING:
    from reconciler.publish.publisher import Publisher

_STATES = {Outcome.IN_SYNC: State.SUCCESS, Outcome.APPLIED: State.SUCCESS, Outcome.WAITING: State.PENDING}
_TAKEN = (Outcome.IN_SYNC, Outcome.APPLIED, Outcome.WAITING)


def publish(settings: Settings, told: Report) -> tuple[PublishError, ...]:
    """Tell every place that the configuration names what it has not heard; what went wrong is returned."""
    if not settings.publish.targets:
        return ()
    document = run_document(told)
    failures: list[PublishError] = []
    for publisher in _publishers(settings, told.host):
        try:
            _tell(settings, publisher, told, document)
        except PublishError as error:
            failures.append(error)
    return tuple(failures)


def _tell(settings: Settings, publisher: Publisher, told: Report, document: dict[str, Any]) -> None:
    """The drift of a run that put it right is news once; a state is news when it is another one."""
    known = read_published(settings.var, publisher.name)
    now = Published(state_digest(document), found_digest(document))
    _tell_again(settings, publisher)
    if now.state == known.state and now.found in ("", known.found):
        write_published(settings.var, publisher.name, now)
        return
    message = message_of(told, document)
    keep_unposted(settings.var, publisher.name, asdict(message))
    write_published(settings.var, publisher.name, now)
    publisher.publish(message)
    forget_unposted(settings.var, publisher.name)


def _tell_again(settings: Settings, publisher: Publisher) -> None:
    """Post what an earlier run could not; only then anything newer."""
    earlier = read_unposted(settings.var, publisher.name)
    if earlier is None:
        return
    try:
        message = Message(**{**earlier, "state": State(earlier["state"])})
    except (TypeError, ValueError, KeyError):
        forget_unposted(settings.var, publisher.name)
        return
    publisher.publish(message)
    forget_unposted(settings.var, publisher.name)


def message_of(told: Report, document: dict[str, Any]) -> Message:
    from reconciler.report.html import html
    from reconciler.report.markdown import markdown

    is_commit = told.commit is not None and len(told.commit) in (40, 64)
    return Message(
        host=told.host,
        commit=told.commit if is_commit else None,
        time=document["time"],
        state=_STATES.get(told.outcome, State.FAILED),
        applied=told.outcome in _TAKEN,
        drifts=any(drift.counts for drift in told.drift) or told.outcome is Outcome.WAITING,
        summary=summary(told),
        markdown=markdown(document),
        json=json.dumps(document, indent=1, default=str) + "\n",
        html=html(document),
    )


def _publishers(settings: Settings, host: str) -> Iterator[Publisher]:
    from reconciler.publish.branch import ReportBranch
    from reconciler.publish.notes import CommitNotes
    from reconciler.publish.repository import ReportRepository

    wanted = settings.publish
    if settings.repository is not None:
        repository = ReportRepository(settings.var / "reports", access(settings), host)
        if "branch" in wanted.targets:
            yield ReportBranch(repository, wanted.keep_days)
        if "notes" in wanted.targets:
            yield CommitNotes(repository)
    if "gitlab" in wanted.targets:
        yield _gitlab(settings)


def _gitlab(settings: Settings) -> Publisher:
    from reconciler.git.access import read_secret
    from reconciler.publish.forge import ForgePublisher
    from reconciler.publish.gitlab import GitLab

    wanted = settings.publish
    assert wanted.gitlab_url and wanted.gitlab_project and wanted.gitlab_token
    try:
        token = read_secret(wanted.gitlab_token)
    except ReconcilerError as error:
        raise PublishError(error.message, hint=error.hint) from error
    ca_file = str(settings.git.ca_file) if settings.git.ca_file else None
    return ForgePublisher(GitLab(wanted.gitlab_url, wanted.gitlab_project, token, ca_file))
