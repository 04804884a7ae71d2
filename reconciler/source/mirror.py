"""A bare mirror of one remote: fetched with deadline and retries, its objects looked at before they are used."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.errors import SourceError
from reconciler.git.access import Access
from reconciler.git.bare import open_bare
from reconciler.git.commands import DeadlinePassed

ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.5
LOCK_SECONDS = 60.0
MOST_PACKS = 50
_PASSING = (
    "could not resolve host", "connection refused", "connection timed out", "connection reset", "operation timed out",
    "failed to connect", "early eof", "unexpected disconnect", "hung up", "returned error: 5", "returned error: 429",
    "operation too slow", "network is unreachable", "temporary failure", "empty reply", "kex_exchange",
)  # fmt: skip
_NO_SHALLOW = "shallow"
_HINT = "look at the URL, the branch, and the rights of this host's key"


class Mirror:
    """The mirror of one refspec in a folder, for one process at a time (`alone`); `called` is its name in messages."""

    def __init__(self, folder: Path, access: Access, refspec: str, called: str) -> None:
        self._folder = folder
        self._access = access
        self._refspec = refspec
        self._called = called
        self.commands = open_bare(folder, access)

    def fetch(self) -> None:
        """Fetch what the refspec names; refs that the remote has no more go. Shallow, where the server allows that.

        Raises `SourceError` when the remote does not answer in time, or has nothing of that name.
        """
        depth = () if self._has_commits() else ("--depth=1",)
        try:
            self._fetch(*depth)
        except SourceError as error:
            if not depth or _NO_SHALLOW not in str(error):
                raise
            self._fetch()

    def descends(self, commit: str, ancestor: str) -> bool:
        """Whether a commit is another one or has it as an ancestor; a shallow mirror is completed to say no."""
        words = ("merge-base", "--is-ancestor", ancestor, commit)
        what = "compare two commits"
        if self.commands.succeeds(*words, what=what)[0]:
            return True
        if not (self._folder / "shallow").exists():
            return False
        self._fetch("--unshallow")
        return self.commands.succeeds(*words, what=what)[0]

    def has(self, commit: str) -> bool:
        return self.commands.succeeds("cat-file", "-e", f"{commit}^{{commit}}", what="look for a commit")[0]

    def require_sound(self) -> None:
        """Look at every object: a fetch that was refused can leave bad ones, which the next one then finds present."""
        words = ("fsck", "--strict", "--no-dangling", "--no-reflogs", "--no-progress", "--full")
        self.commands.run(*words, what=f"find the objects of {self._access.url} sound")

    def needs_renewal(self) -> bool:
        """Each fetch leaves a pack, and nothing of ours ever collects them."""
        return sum(1 for _ in (self._folder / "objects/pack").glob("*.pack")) > MOST_PACKS

    def renewed(self) -> Mirror:
        """A mirror that was fetched anew, in the place of this one once its objects are sound."""
        draft = self._folder.with_name(f"{self._folder.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        fresh = Mirror(draft, self._access, self._refspec, self._called)
        fresh.fetch()
        fresh.require_sound()
        old = self._folder.with_name(f"{self._folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        self._folder.rename(old)
        draft.rename(self._folder)
        shutil.rmtree(old, ignore_errors=True)
        return Mirror(self._folder, self._access, self._refspec, self._called)

    def _has_commits(self) -> bool:
        return any((self._folder / "objects/pack").glob("*.pack"))

    def _fetch(self, *more: str) -> None:
        """Of its errors those that may pass by themselves are tried again, within the deadline of all attempts."""
        options = ("--no-tags", "--no-recurse-submodules", "--prune", "--no-write-fetch-head", *more)
        words = ("fetch", "--quiet", *options, "--end-of-options", self._access.url, self._refspec)
        ends = time.monotonic() + self._access.deadline
        pause = FIRST_PAUSE_SECONDS
        for attempt in range(1, ATTEMPTS + 1):
            left = max(ends - time.monotonic(), 0.1)
            try:
                self.commands.run(*words, what=f"fetch {self._called} of {self._access.url}", hint=_HINT, deadline=left)
                return
            except DeadlinePassed:
                raise
            except SourceError as error:
                passing = any(sign in str(error).casefold() for sign in _PASSING)
                if not passing or attempt == ATTEMPTS or time.monotonic() + pause > ends:
                    raise
            time.sleep(pause)
            pause *= 4


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the mirror for one process, waiting for another one to finish with it."""
    ends = time.monotonic() + LOCK_SECONDS
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder.with_name(f"{folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SourceError(f"the mirror {folder} cannot be used ({error.strerror}); nothing was done") from error
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise SourceError(f"another reconciler uses the mirror {folder}; nothing was done") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
