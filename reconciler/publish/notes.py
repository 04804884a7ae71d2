"""A note on the applied commit, under a ref of the host's own: `git log --notes=reconciler/<host>` shows it."""

from __future__ import annotations

from reconciler.model.message import Message
from reconciler.publish.repository import ReportRepository, as_publish_error

_FILE = "100644 blob"


def notes_of(host: str) -> str:
    return f"refs/notes/reconciler/{host}"


class CommitNotes:
    """The last note on each commit; a tree of notes has a file for each, named by its commit."""

    name = "notes"

    def __init__(self, repository: ReportRepository) -> None:
        self._repository = repository

    def publish(self, message: Message) -> None:
        if message.commit is not None and message.applied:
            as_publish_error(lambda: self._publish(message))

    def _publish(self, message: Message) -> None:
        repository = self._repository
        reference = notes_of(message.host)
        before = repository.remote(reference)
        entries = repository.entries(before) if before else {}
        note = repository.blob(f"{message.summary}\n{message.time}\n")
        tree = repository.tree(entries | {str(message.commit): (_FILE, note)})
        repository.push(repository.commit(tree, f"{message.summary}\n", before), reference, before)
