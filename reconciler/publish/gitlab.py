"""GitLab, by python-gitlab: commit statuses, notes on merge requests, issues.

Facts about its API are from its documentation (commits, notes, issues; v4) and from its answers: a status that would
not change is refused with 400 ("Cannot transition status via :run from :running").
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from reconciler.errors import PublishError, UsageError
from reconciler.model.message import State

if TYPE_CHECKING:
    from gitlab import Gitlab
    from gitlab.v4.objects import Project

_Result = TypeVar("_Result")
TIMEOUT_SECONDS = 10.0
ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.5
MOST_MERGE_REQUESTS = 3
LABEL = "nwfilter-reconciler"
_PASSING = frozenset({408, 429, 500, 502, 503, 504})


class GitLab:
    """A project, by the account of a token (scope `api`)."""

    name = "gitlab"

    def __init__(self, url: str, project: str, token: str, ca_file: str | None = None) -> None:
        """Raises `UsageError` where the token would not go over https, or python-gitlab is not installed."""
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise UsageError(f"a token goes over https alone, and gitlab_url is {url}")
        try:
            from gitlab import Gitlab
        except ImportError as error:
            hint = "install the extra `gitlab` of this package"
            raise UsageError("python-gitlab is not installed: nothing can be posted to GitLab", hint=hint) from error
        self._name = project
        self._server = _in_no_time(Gitlab)(
            url,
            private_token=token,
            timeout=TIMEOUT_SECONDS,
            ssl_verify=ca_file or True,
            keep_base_url=True,
            per_page=100,
        )
        # requests follows redirects with every header but its own Authorization, so the token would go along.
        self._server.session.max_redirects = 0
        self._me: int | None = None

    def set_status(self, commit: str, context: str, state: State, description: str) -> None:
        statuses = self._project().commits.get(commit, lazy=True).statuses
        told = {"state": str(state), "name": context, "description": description}

        def post() -> None:
            from gitlab.exceptions import GitlabCreateError

            try:
                statuses.create(told)
            except GitlabCreateError as error:
                if error.response_code != 400 or not self._has_status(statuses, context, state):
                    raise

        self._ask(f"set the status of {commit[:12]}", post)

    def _has_status(self, statuses: Any, context: str, state: State) -> bool:
        """Whether the newest status of the name is the state already: then there was nothing to change."""
        found = [each for each in statuses.list(name=context, all=True, iterator=True) if each.name == context]
        return bool(found) and max(found, key=lambda each: int(each.id)).status == str(state)

    def comment(self, commit: str, marker: str, body: str) -> None:
        project = self._project()
        lazy = project.commits.get(commit, lazy=True)
        found = self._ask("find the merge request", lambda: [dict(each) for each in lazy.merge_requests()])
        numbers = sorted({int(each["iid"]) for each in found if each.get("state") != "closed"})
        for number in numbers[-MOST_MERGE_REQUESTS:]:
            notes = project.mergerequests.get(number, lazy=True).notes
            self._ask(f"comment on merge request {number}", partial(self._note, notes, marker, body))

    def _note(self, notes: Any, marker: str, body: str) -> None:
        own = self._own(notes.list(iterator=True, order_by="created_at", sort="asc"), marker, "body")
        if own is None:
            notes.create({"body": body})
        elif own.body != body:
            own.body = body
            own.save()

    def open_issue(self, marker: str, title: str, body: str) -> None:
        def post() -> None:
            issues = self._project().issues
            own = self._open_issue(marker)
            if own is None:
                issues.create({"title": title, "description": body, "labels": [LABEL]})
            elif own.description != body:
                own.description = body
                own.save()

        self._ask("report drift in an issue", post)

    def close_issue(self, marker: str) -> None:
        def post() -> None:
            own = self._open_issue(marker)
            if own is not None:
                own.state_event = "close"
                own.save()

        self._ask("close the issue about drift", post)

    def _open_issue(self, marker: str) -> Any:
        found = self._project().issues.list(iterator=True, state="opened", labels=[LABEL], scope="all")
        return self._own(found, marker, "description")

    def _own(self, found: Iterator[Any], marker: str, field: str) -> Any:
        """The first that our own account wrote and that begins with the marker."""
        for each in found:
            if each.author["id"] == self._account() and str(getattr(each, field) or "").startswith(marker):
                return each
        return None

    def _account(self) -> int:
        if self._me is None:
            self._server.auth()
            user = self._server.user
            assert user is not None
            self._me = int(user.id)
        return self._me

    def _project(self) -> Project:
        return self._server.projects.get(self._name, lazy=True)

    def _ask(self, what: str, action: Callable[[], _Result]) -> _Result:
        """Try again what may pass by itself, for a few seconds: the next run tries again anyway."""
        from gitlab.exceptions import GitlabError
        from requests.exceptions import RequestException

        pause = FIRST_PAUSE_SECONDS
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return action()
            except GitlabError as error:
                if attempt == ATTEMPTS or error.response_code not in _PASSING:
                    reason = f"{error.response_code or 'no answer'}: {error.error_message!s:.200}"
                    raise self._refused(what, reason) from error
            except RequestException as error:
                if attempt == ATTEMPTS:
                    raise self._refused(what, f"it does not answer ({type(error).__name__})") from error
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise self._refused(what, f"its answer is not understood ({error!r})") from error
            time.sleep(pause)
            pause *= 2
        raise self._refused(what, "it was not asked")

    def _refused(self, what: str, reason: str) -> PublishError:
        return PublishError(
            f"GitLab at {self._server.url} could not {what}: {' '.join(reason.split())}",
            hint="look at gitlab_url, gitlab_project and the rights of the token; the next run tries again",
        )


def _in_no_time(base: type[Gitlab]) -> type[Gitlab]:
    """A client that does not sleep for as long as a server asks: a run has to end, and the next one tries again."""

    class Client(base):  # type: ignore[valid-type, misc]
        def http_request(self, *words: Any, **options: Any) -> Any:
            return super().http_request(*words, **(options | {"obey_rate_limit": False}))

    return Client
