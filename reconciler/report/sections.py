"""What every written report has in common: the parts of a document that have something to say, in reading order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from reconciler.report.document import Document

MOST_LINES = 300
MANY = 4


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and lines of plain text, or rows of a table when it has `columns`. Nothing is escaped yet."""

    title: str
    lines: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def title(document: Document) -> str:
    host = document.get("host")
    return f"{document['verb']}{f' of {host}' if host else ''}{_outcome(document)}"


def facts(document: Document) -> tuple[tuple[str, str], ...]:
    """What a reader wants to know first: names and values."""
    named = [
        ("commit" if _is_commit(document.get("source")) else "site", document.get("source")),
        ("followed", document.get("followed")),
        ("time", document.get("time")),
        ("the repository does not answer since", document.get("stale_since")),
        ("allowed to widen", document.get("widening_reason")),
        ("cost", _cost(document.get("cost")) if document["steps"] else None),
        ("suspended", ", ".join(document.get("suspended") or ())),
    ]
    return tuple((name, str(value)) for name, value in named if value)


def sections(document: Document) -> tuple[Section, ...]:
    """Every part of the document that is not empty."""
    found = [
        Section("error", _error(document.get("error"))),
        Section("problems", _lines(document["problems"], _problem)),
        Section("drift that was found", _drifts(_only_found(document))),
        Section("drift", _drifts(each for each in document["drift"] if not each["ignored"])),
        Section("drift that the site ignores", _lines((e for e in document["drift"] if e["ignored"]), _ignored)),
        Section("changes", _lines(document["changes"], _change)),
        Section("frames with another verdict", _lines(document["verdicts"], _verdict)),
        Section("steps", _steps(document["steps"])),
        Section("waiting", _lines(document["waiting"], _waiting)),
        Section("notes", _lines(document.get("notes") or (), lambda note: (str(note),))),
        Section("how it ended", _execution(document.get("execution"))),
        _interfaces(document.get("interfaces") or ()),
        Section("cases that do not hold", _lines(_failing(document), _case)),
        Section("what filters leak", _lines(document.get("filters") or (), _filter)),
        Section("checks of the host", _lines(document.get("checks") or (), _check)),
        Section("suspended", _lines(document.get("suspensions") or (), _suspension)),
        Section("written", _lines(document.get("written") or (), lambda path: (str(path),))),
        Section("left out", _lines(document.get("skipped") or (), _skipped)),
    ]
    return tuple(section for section in found if section.lines or section.rows)


def _lines(items: Iterable[Any], describe: Callable[[Any], tuple[str, ...]]) -> tuple[str, ...]:
    lines = [line for item in items for line in describe(item)]
    if len(lines) > MOST_LINES:
        return (*lines[:MOST_LINES], f"… and {len(lines) - MOST_LINES} lines more")
    return tuple(lines)


def _outcome(document: Document) -> str:
    return f": {document['outcome']}" if document.get("outcome") else ""


def _is_commit(source: object) -> bool:
    return isinstance(source, str) and len(source) in (40, 64) and set(source) <= set("0123456789abcdef")


def _cost(cost: Any) -> str:
    return (
        f"{cost['rebuilds']} rebuilds, about {cost['seconds']:.0f} s, disruption {cost['disruption']}" if cost else ""
    )


def _error(error: Any) -> tuple[str, ...]:
    if not error:
        return ()
    return (error["message"], *([f"hint: {error['hint']}"] if error.get("hint") else []))


def _problem(each: Any) -> tuple[str, ...]:
    line = f"{each['path']}:{each['line']}:{each['column']}: {each['severity']}: {each['message']} [{each['id']}]"
    return (line, f"    {each['hint']}") if each["hint"] else (line,)


def _only_found(document: Document) -> Iterable[Any]:
    """What a run found and left is told once, as drift."""
    left = document["drift"]
    return [each for each in document.get("found") or () if each not in left and not each["ignored"]]


def _drifts(found: Iterable[Any]) -> tuple[str, ...]:
    """Filters that are not there yet share a line: a first run has dozens of them."""
    items = list(found)
    new = [
        each for each in items if (each["field"], each["actual"], each["desired"]) == ("definition", None, "present")
    ]
    if len(new) < MANY:
        return _lines(items, _drift)
    names = ", ".join(each["object"].removeprefix("filter/") for each in new)
    rest = _lines([each for each in items if each not in new], _drift)
    return (f"{len(new)} filters that libvirt does not have: {names}", *rest)


def _steps(found: list[Any]) -> tuple[str, ...]:
    new = [each for each in found if each.get("kind") == "define-filter" and each["revert"].startswith("undefine")]
    if len(new) < MANY:
        return _lines(found, _step)
    names = ", ".join(each["target"].removeprefix("filter/") for each in new)
    rest = _lines([each for each in found if each not in new], _step)
    return (f"define {len(new)} new filters: {names}", "    revert: undefine them", *rest)


def _drift(each: Any) -> tuple[str, ...]:
    head = f"{each['object']} {each['field']} ({each['layer']})"
    return (head, *_marked("-", each["actual"]), *_marked("+", each["desired"]))


def _ignored(each: Any) -> tuple[str, ...]:
    head, *values = _drift(each)
    return (f"{head}: {each['reason']}", *values)


def _change(each: Any) -> tuple[str, ...]:
    head = f"{each['object']} {each['field']} (disruption {each['disruption']})"
    return (head, *_marked("-", each["before"]), *_marked("+", each["after"]))


def _marked(mark: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return (f"  {mark} absent",)
    values = value if isinstance(value, list) else [value]
    return tuple(f"  {mark} {_plain(each)}" for each in values) or (f"  {mark} none",)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _verdict(each: Any) -> tuple[str, ...]:
    mark = "opens" if each["opens"] else "closes"
    return (f"{mark}: {each['guest']} {each['mac']} from {each['sender']}: {each['case']}",)


def _step(each: Any) -> tuple[str, ...]:
    cost = f" ({each['disruption']}, {each['rebuilds']} rebuilds)" if each["rebuilds"] else ""
    return (f"{each['describe']}{cost}", f"    because {each['reason']}; revert: {each['revert']}")


def _waiting(each: Any) -> tuple[str, ...]:
    return (f"{each['target']}: {each['what']} ({each['why']})", f"    {each['hint']}")


def _execution(done: Any) -> tuple[str, ...]:
    if not done or done["ok"]:
        return ()
    taken_back = f"taken back: {', '.join(done['reverted'])}" if done["reverted"] else "nothing had to be taken back"
    not_back = [f"NOT taken back: {each['id']}: {each['error']}" for each in done["unreverted"]]
    return (f"failed at {done['failed']}: {done['error']}", taken_back, *not_back, f"journal: {done['run']}")


def _interfaces(found: Iterable[Any]) -> Section:
    """Of a host's proof, or of its status."""
    rows = tuple(
        (each["guest"], each["mac"], each["port"] or "", str(each.get("proof") or each.get("state") or ""))
        for each in found
    )
    return Section("interfaces", columns=("guest", "interface", "port", "proof"), rows=rows[:MOST_LINES])


def _failing(document: Document) -> list[Any]:
    return [each for each in document["cases"] if each["expected"] not in (None, each["got"])]


def _case(each: Any) -> tuple[str, ...]:
    return (f"{each['guest']} {each['mac']} {each['case']}: {each['got']}, not {each['expected']}  {each['rule']}",)


def _filter(each: Any) -> tuple[str, ...]:
    leaks = f"leaks {', '.join(each['leaks'])}" if each["leaks"] else ""
    stops = f"stops {', '.join(each['stops'])}" if each["stops"] else ""
    told = "; ".join(part for part in (leaks, stops) if part)
    return (f"{each['filter']} (as for {each['guest']}): {told}",) if told else ()


def _check(each: Any) -> tuple[str, ...]:
    line = f"{each['health']}: {each['id']}: {each['message']}"
    return (line, f"    {each['hint']}") if each["hint"] else (line,)


def _suspension(each: Any) -> tuple[str, ...]:
    return (f"{each['target']} until {each['until']}: {each['reason']}",)


def _skipped(each: Any) -> tuple[str, ...]:
    return (f"{each['object']}: {each['reason']}", *([f"    {each['hint']}"] if each["hint"] else []))
