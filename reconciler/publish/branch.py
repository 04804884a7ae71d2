"""The report branch of a host: one commit with the latest report for people and programs, and the earlier ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from reconciler.model.message import Message
from reconciler.publish.repository import ReportRepository, as_publish_error, fetched

_EARLIER = re.compile(r"(\d{8}T\d{6}Z)\.md")
_STAMP = "%Y%m%dT%H%M%SZ"
_FILE, _FOLDER = "100644 blob", "040000 tree"
MOST_EARLIER = 500


def branch_of(host: str) -> str:
    return f"refs/heads/reports/{host}"


def read_reports(repository: ReportRepository, hosts: Iterable[str]) -> dict[str, str]:
    """The latest report.json of those of the hosts that have published one. Raises `PublishError`."""
    return as_publish_error(lambda: dict(_read(repository, hosts)))


def _read(repository: ReportRepository, hosts: Iterable[str]) -> Iterator[tuple[str, str]]:
    repository.fetch_all(branch_of("*"))
    for host in hosts:
        text = repository.content(f"{fetched(branch_of(host))}:report.json")
        if text is not None:
            yield host, text


class ReportBranch:
    """`reports/<host>`. Its commits have no parents, so what is pruned is gone."""

    name = "branch"

    def __init__(self, repository: ReportRepository, keep_days: int) -> None:
        self._repository = repository
        self._keep = timedelta(days=keep_days)

    def publish(self, message: Message) -> None:
        as_publish_error(lambda: self._publish(message))

    def _publish(self, message: Message) -> None:
        repository = self._repository
        reference = branch_of(message.host)
        before = repository.remote(reference)
        moment = datetime.fromisoformat(message.time).astimezone(UTC)
        text = repository.blob(message.markdown)
        earlier = self._earlier(before, moment) | {f"{moment:{_STAMP}}.md": (_FILE, text)}
        files = {"report.json": message.json, "report.html": message.html}
        entries = {name: (_FILE, repository.blob(content)) for name, content in files.items()}
        entries |= {"README.md": (_FILE, text), "history": (_FOLDER, repository.tree(earlier))}
        commit = repository.commit(repository.tree(entries), f"{message.summary}\n")
        repository.push(commit, reference, before)

    def _earlier(self, before: str | None, now: datetime) -> dict[str, tuple[str, str]]:
        """Reports that are young enough. What others have put there is not ours, and goes."""
        if before is None or "history" not in self._repository.entries(before):
            return {}
        kept = {}
        for name, entry in sorted(self._repository.entries(f"{before}:history").items()):
            stamp = _EARLIER.fullmatch(name)
            if stamp and entry[0] == _FILE and now - _moment(stamp[1]) <= self._keep:
                kept[name] = entry
        return dict(list(kept.items())[-MOST_EARLIER:])


def _moment(stamp: str) -> datetime:
    try:
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
