"""What the journal says of runs: which are open, whom they owe a start, what they did, and how to go back (P5, P6)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reconciler.errors import UsageError, did_you_mean
from reconciler.execute.endings import has_end, unended
from reconciler.execute.journal import VERSION, epoch_of
from reconciler.model import actions
from reconciler.model.actions import Action, ShutDownGuest
from reconciler.model.filter import FilterRef
from reconciler.model.kernel import Family, ForeignRule
from reconciler.model.supplement import Element, FloodLimit

Event = Mapping[str, Any]
_NEEDED: Mapping[str, tuple[tuple[str, type], ...]] = {
    "step": (("id", str), ("kind", str), ("action", dict)),
    "done": (("id", str),),
    "reverted": (("id", str),),
}
_KINDS: Mapping[str, type[Any]] = {
    each.kind: each for each in vars(actions).values() if isinstance(each, type) and hasattr(each, "kind")
}


@dataclass(frozen=True, slots=True)
class Run:
    """One run as its file tells it. A line that a crash or a full disk cut off is left out."""

    name: str
    events: tuple[Event, ...]

    @property
    def epoch(self) -> int:
        return epoch_of(self.events[0]) if self.events else 0

    @property
    def started(self) -> str:
        return str(self.events[0].get("time", "")) if self.events else ""

    @property
    def source(self) -> str:
        return str(self.events[0].get("source", "")) if self.events else ""

    @property
    def outcome(self) -> str:
        """How it ended: applied, reverted, rolled back …; `open` when it did not."""
        last = self.events[-1] if self.events else {}
        return str(last.get("outcome", "")) if last.get("event") == "end" else "open"

    @property
    def is_open(self) -> bool:
        return self.outcome == "open"

    def done(self) -> Iterator[tuple[str, Action]]:
        """Steps whose work stands, in order. One that was begun counts: it is looked at before it is undone."""
        taken_back = {event["id"] for event in self.events if event["event"] == "reverted"}
        for event in self.events:
            if event["event"] == "step" and event["id"] not in taken_back:
                yield str(event["id"]), read_action(str(event["kind"]), event["action"])

    def targets(self) -> Iterator[str]:
        """What its steps were begun on, taken back or not."""
        for event in self.events:
            if event["event"] == "step":
                action = read_action(str(event["kind"]), event["action"])
                staged = action.files if isinstance(action, actions.RestartDaemon) else ()
                yield from (action.target, *(f"filter/{name}" for name, _ in staged))

    def owed(self) -> frozenset[str]:
        """Guests that it shut down, or may have, and did not start again."""
        found: set[str] = set()
        begun: dict[str, Action] = {}
        for event in self.events:
            if event["event"] == "step":
                action = begun[event["id"]] = read_action(str(event["kind"]), event["action"])
                if isinstance(action, ShutDownGuest):
                    found.add(action.guest)
            elif event["event"] in ("done", "reverted"):
                found -= _started(begun.get(event["id"]), reverted=event["event"] == "reverted")
        return frozenset(found)


def _started(action: Action | None, *, reverted: bool) -> set[str]:
    started = action.inverse() if action is not None and reverted else action
    return {started.guest} if isinstance(started, actions.StartGuest) else set()


def read_runs(folder: Path) -> tuple[Run, ...]:
    """All runs, the oldest first: by their count, for a clock can be put back, and by their names."""
    return tuple(sorted(map(_read, folder.glob("*.jsonl")), key=lambda run: (run.epoch, run.name)))


def open_runs(folder: Path) -> tuple[Run, ...]:
    """Runs that never ended: killed, cut off by a power loss, or with something left that nobody took back.

    Only the ends of files are looked at, so that a timer's run pays nothing for old ones.
    """
    return tuple(run for path in unended(folder) if (run := _read(path)).is_open)


def owed_starts(folder: Path) -> frozenset[str]:
    """Guests that open runs have shut down and not started again."""
    return frozenset(guest for run in open_runs(folder) for guest in run.owed())


def targets_in_progress(folder: Path) -> frozenset[str]:
    """What the steps of open runs change or changed: filters and guests, as drift names them."""
    return frozenset(target for run in open_runs(folder) for target in run.targets())


def runs_after(folder: Path, name: str, *, itself: bool) -> tuple[Run, ...]:
    """Runs later than one, the newest first; with `itself` that one too. Raises `UsageError` for an unknown one."""
    runs = read_runs(folder)
    names = [run.name for run in runs]
    matching = [each for each in names if each.startswith(name)]
    if len(matching) != 1:
        why = "several runs begin so" if matching else "there is no such run"
        hint = did_you_mean(name, names) or "`reconciler history` lists them"
        raise UsageError(f"{name}: {why}; nothing was done", hint=hint)
    place = names.index(matching[0])
    return tuple(reversed(runs[place + (not itself) :]))


def undoing(runs: Iterable[Run]) -> Iterator[tuple[str, Action]]:
    """What takes back all that these runs did, in this order; ids are those of the steps."""
    for run in runs:
        for id, action in reversed(tuple(run.done())):
            inverse = action.inverse()
            if inverse is not None:
                yield id, inverse


def prune_runs(folder: Path, days: int) -> None:
    """Forget ended runs that are older; open ones are kept whatever their age."""
    oldest = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y%m%dT%H%M%S")
    for path in sorted(folder.glob("*.jsonl"))[:-1]:
        if path.stem < oldest and has_end(path):
            path.unlink(missing_ok=True)


def read_action(kind: str, given: Mapping[str, Any]) -> Action:
    """An action as `Journal.intend` wrote it. Raises `UsageError` for one of another version."""
    made = _KINDS.get(kind)
    if made is None:
        raise UsageError(f"the journal holds a step of the kind {kind!r}, which this version ({VERSION}) does not know")
    known = {field.name for field in fields(made)}
    try:
        action: Action = made(**{name: _value(name, value) for name, value in given.items() if name in known})
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise UsageError(
            f"the journal holds a damaged step of the kind {kind!r}; nothing was done",
            hint="`reconciler history` names the runs that are open: put the file of that run back, or move it away",
        ) from error
    return action


def _value(name: str, value: Any) -> Any:
    if name in ("filterref", "previous") and isinstance(value, Mapping):
        return FilterRef(value["filter"], tuple((key, each) for key, each in value["parameters"]))
    if name == "rules":
        return tuple(ForeignRule(Family(r["family"]), r["chain"], r["text"], r["removable"]) for r in value)
    if name == "ports" and isinstance(value, list):
        return tuple(value)
    if name == "families":
        return tuple(Family(each) for each in value)
    if name in ("files", "previous") and isinstance(value, list):
        return tuple((key, text) for key, text in value)
    if name in ("wanted", "replaced") and isinstance(value, list):
        return tuple(Element(*each) for each in value)
    if name in ("limit", "replaced_limit") and value is not None:
        return FloodLimit(**value)
    if name == "undo" and value is not None:
        return ShutDownGuest(**value)
    return value


def _read(path: Path) -> Run:
    events: list[Event] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError):
            event = json.loads(line)
            if _is_event(event):
                events.append(event)
    return Run(path.stem, tuple(events))


def _is_event(line: Any) -> bool:
    if not isinstance(line, dict):
        return False
    needed = _NEEDED.get(str(line.get("event")), ())
    return isinstance(line.get("event"), str) and all(isinstance(line.get(name), kind) for name, kind in needed)
