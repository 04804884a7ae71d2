"""What a person reads on a terminal. Tables are rich's, imported only when there is something to show."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any

from reconciler.errors import printable
from reconciler.model.actions import DefineFilter
from reconciler.model.change import Change, VerdictChange
from reconciler.model.disruption import Disruption
from reconciler.model.drift import Drift
from reconciler.model.outcome import InterfaceProof, Proof
from reconciler.model.plan import Plan, Step, Waiting, Way
from reconciler.model.problem import Problem

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WAYS = {
    "one-by-one": "each filter redefined in its turn",
    "copies": "all that change under names of their own, one switch to them, and one back",
    "canary": "one guest's guard after another to copies of all that change, each proven before the next",
    "daemon-restart": "all files written, then one restart of libvirt's daemon",
}

PROOF_STYLES = {
    Proof.ENFORCED: "green",
    Proof.PRESENT: "yellow",
    Proof.ABSENT: "bold red",
    Proof.UNGUARDED: "bold yellow",
    Proof.NOT_RUNNING: "dim",
}


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def escape(text: str) -> str:
    """Text of the site or of a tool may hold brackets, which rich would take for markup, and codes for a terminal."""
    from rich.markup import escape as rich_escape

    return rich_escape(printable(text))


def problem_lines(problems: Iterable[Problem]) -> str:
    lines: list[str] = []
    for problem in problems:
        lines.append(f"{problem.origin}: {problem.severity}: {problem.message} [{problem.id}]")
        if problem.hint:
            lines.append(f"    {problem.hint}")
    return "\n".join(lines)


def unified_diff(path: str, before: bytes, after: bytes) -> str:
    """How a file changes, as `diff -u` shows it; what is no text, or acts on a terminal, is shown by an escape."""
    from difflib import unified_diff as lines_of

    old, new = (
        _CONTROL.sub(lambda found: printable(found[0]), text.decode("utf-8", "backslashreplace")).splitlines(
            keepends=True
        )
        for text in (before, after)
    )
    lines = lines_of(old, new, f"a/{path}", f"b/{path}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def show_drift(console: Console, drift: Iterable[Drift]) -> None:
    """One block an object, one line a field: what the host has, and what the site wants; of lists a line each."""
    for name, fields in groupby(drift, key=lambda each: each.object):
        console.print(name, style="bold")
        for each in fields:
            head = f"  [cyan]{each.layer:<10}[/] {escape(each.field)}:"
            if each.ignored is not None:
                head = f"  [yellow]ignored[/] ({escape(each.ignored)})\n{head}"
            if _is_long(each.actual) or _is_long(each.desired):
                console.print(head)
                _show_lists(console, each, each.field.rpartition(".")[2])
            else:
                console.print(f"{head} {_value(each.actual)} [dim]→[/] {_value(each.desired)}")


def _is_long(value: object) -> bool:
    return isinstance(value, list) and (len(value) > 1 or any(" " in str(each) for each in value))


def _show_lists(console: Console, drift: Drift, chain: str) -> None:
    for mark, style, values in (("-", "red", drift.actual), ("+", "green", drift.desired)):
        for value in values if isinstance(values, list) else ():
            console.print(f"    {mark} {escape(str(value).removeprefix(f'-A {chain} '))}", style=style)


def show_changes(console: Console, changes: Iterable[Change]) -> None:
    """What a commit changes, one block an object, with what each change interrupts."""
    for name, fields in groupby(changes, key=lambda each: each.object):
        console.print(name, style="bold")
        for each in fields:
            values = f"{_value(each.before)} [dim]→[/] {_value(each.after)}"
            cost = f" [dim]({each.disruption})[/]" if each.disruption else ""
            console.print(f"  {escape(each.field)}: {values}{cost}")


def show_verdict_changes(console: Console, verdicts: Iterable[VerdictChange]) -> None:
    """Frames that get another verdict: a line for each sender that something opens or closes for."""
    ordered = sorted(verdicts, key=lambda each: (each.guest, each.mac, each.opens, each.sender))
    for (guest, mac), of_interface in groupby(ordered, key=lambda each: (each.guest, each.mac)):
        console.print(f"guest/{guest} {mac}: frames with another verdict", style="bold")
        for (opens, sender), cases in groupby(of_interface, key=lambda each: (each.opens, each.sender)):
            mark, style = ("opens", "yellow") if opens else ("closes", "green")
            names = ", ".join(case.case for case in cases)
            console.print(f"  [{style}]{mark:<6}[/] from {escape(sender)}: [dim]{escape(names)}[/]")


def show_plan(console: Console, plan: Plan) -> None:
    """Two lines a step: what it does, and why, at what cost, and how it is taken back. New filters share a line."""
    number = 1
    for reason, group in groupby(plan.steps, key=_reason_of_new_filter):
        steps = tuple(group)
        if reason and len(steps) > 1:
            _show_new_filters(console, number, steps)
        else:
            for position, step in enumerate(steps, number):
                _show_step(console, position, step)
        number += len(steps)
    if plan.steps:
        console.print(f"{summary(plan)} (digest {plan.digest[:12]})")
    show_ways(console, plan.ways)
    for note in plan.notes:
        console.print(f"note: {escape(note)}", style="yellow")
    show_waiting(console, plan.waiting)


def show_ways(console: Console, ways: tuple[Way, ...]) -> None:
    """The ways that were compared, the one that is taken first, each with its cost and why it was taken or not."""
    if ways:
        console.print("ways to bring the changed shared filters to the guests that run:")
    for way in sorted(ways, key=lambda each: (not each.chosen, not each.possible)):
        mark, style = ("→", "") if way.chosen else (" ", "dim")
        console.print(escape(f"  {mark} {way.name} ({WAYS.get(way.name, '')}): {_verdict_on(way)}"), style=style)


def _verdict_on(way: Way) -> str:
    if not way.possible:
        return f"not possible: {way.why}"
    costs = f"{_count(way.rebuilds, 'rebuild')}, about {way.seconds:.0f} s, disruption {way.disruption}"
    return f"{costs}; {'chosen' if way.chosen else 'not chosen'}: {way.why}"


def _reason_of_new_filter(step: Step) -> str:
    """Empty for all other steps."""
    is_new = isinstance(step.action, DefineFilter) and step.action.previous_xml is None
    return step.reason if is_new else ""


def _show_new_filters(console: Console, number: int, steps: tuple[Step, ...]) -> None:
    names = ", ".join(step.action.target.removeprefix("filter/") for step in steps)
    console.print(f"{number:>3}  define {len(steps)} filters: {escape(names)}", style="bold")
    reason = escape(steps[0].reason.replace("has it", "has them"))
    console.print(f"     because {reason}; revert: undefine them", style="dim")


def _show_step(console: Console, number: int, step: Step) -> None:
    console.print(f"{number:>3}  {escape(step.action.describe())}", style="bold")
    console.print(f"     because {escape(step.reason)}{_cost(step)}; revert: {escape(step.revert)}", style="dim")


def _cost(step: Step) -> str:
    """Nothing of a step that interrupts nobody."""
    beyond = [str(step.disruption)] if step.disruption > Disruption.REBUILD else []
    rebuilds = [_count(step.rebuilds, "rebuild")] if step.rebuilds else []
    return f" ({', '.join((*beyond, *rebuilds, f'{step.seconds:.1f} s'))})" if beyond or rebuilds else ""


def show_waiting(console: Console, waiting: Iterable[Waiting]) -> None:
    for each in waiting:
        console.print(escape(f"waits ({each.why}): {each.target}: {each.what}; {each.hint}"), style="yellow")


def summary(plan: Plan) -> str:
    counts = f"{_count(len(plan.steps), 'step')}, {_count(plan.rebuilds, 'rebuild')}"
    return f"{counts}, about {plan.seconds:.0f} s, disruption {plan.disruption}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def show_proofs(console: Console, proofs: Iterable[InterfaceProof]) -> None:
    """A table of interfaces, then a line for every case that is not as it must be, with the rule that decided."""
    table = _table("guest", "interface", "port", "proof", "cases")
    wrong: list[str] = []
    leaks: set[str] = set()
    for proof in proofs:
        failed = [case for case in proof.cases if case.fails]
        leaks.update(case.case for case in proof.cases if not case.holds and case.inexpressible)
        held = sum(case.holds for case in proof.cases)
        counted = f"{held} of {len(proof.cases)}" if proof.cases else ""
        state = f"[{PROOF_STYLES[proof.proof]}]{proof.proof}[/]"
        table.add_row(proof.guest, proof.mac, proof.port or "", state, counted)
        wrong.extend(f"{proof.guest} {case.case}: {case.got}, not {case.expected}  {case.rule}" for case in failed)
    console.print(table)
    for line in wrong:
        console.print(escape(line), style="red")
    if leaks:
        console.print(f"leaks that nwfilter cannot express: {', '.join(sorted(leaks))}", style="dim")


def _table(*columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _value(value: Any) -> str:
    """A value of a drift on one line: a filterref as `guard-web01-30fc2d (CTRL_IP_LEARNING none)`."""
    match value:
        case None:
            return "absent"
        case list():
            return ", ".join(_value(item) for item in value) or "none"
        case {"filter": name, "parameters": parameters}:
            variables = "; ".join(f"{key} {_value(item)}" for key, item in parameters.items())
            return f"{_value(name)} ({variables})" if variables else _value(name)
        case dict():
            return "; ".join(f"{escape(str(key))} {_value(item)}" for key, item in value.items())
        case _:
            return str(escape(str(value)))
