"""What a person reads on a terminal. Tables are rich's, imported only when there is something to show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from reconciler.model.drift import Drift
from reconciler.model.outcome import InterfaceProof, Proof
from reconciler.model.plan import Plan, Waiting
from reconciler.model.problem import Problem

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_PROOF_STYLES = {Proof.ENFORCED: "green", Proof.PRESENT: "yellow", Proof.ABSENT: "bold red", Proof.NOT_RUNNING: "dim"}


def problem_lines(problems: Iterable[Problem]) -> str:
    lines: list[str] = []
    for problem in problems:
        lines.append(f"{problem.origin}: {problem.severity}: {problem.message} [{problem.id}]")
        if problem.hint:
            lines.append(f"    {problem.hint}")
    return "\n".join(lines)


def show_drift(console: Console, drift: Iterable[Drift]) -> None:
    table = _table("object", "layer", "field", "site", "host")
    for each in drift:
        table.add_row(each.object, str(each.layer), each.field, _value(each.desired), _value(each.actual))
    console.print(table)


def show_plan(console: Console, plan: Plan) -> None:
    if plan.steps:
        table = _table("#", "step", "because", "disruption", "rebuilds", "seconds", "revert")
        for number, step in enumerate(plan.steps, 1):
            cells = (step.action.describe(), step.reason, str(step.disruption), str(step.rebuilds))
            table.add_row(str(number), *cells, f"{step.seconds:.1f}", step.revert)
        console.print(table)
        console.print(f"{summary(plan)} (digest {plan.digest[:12]})")
    for note in plan.notes:
        console.print(f"note: {note}", style="yellow")
    show_waiting(console, plan.waiting)


def show_waiting(console: Console, waiting: Iterable[Waiting]) -> None:
    for each in waiting:
        console.print(f"waits ({each.why}): {each.target}: {each.what}; {each.hint}", style="yellow")


def summary(plan: Plan) -> str:
    steps, rebuilds = len(plan.steps), plan.rebuilds
    return (
        f"{steps} step{'s' if steps != 1 else ''}, {rebuilds} rebuild{'s' if rebuilds != 1 else ''}, "
        f"about {plan.seconds:.0f} s, disruption {plan.disruption}"
    )


def show_proofs(console: Console, proofs: Iterable[InterfaceProof]) -> None:
    table = _table("guest", "interface", "port", "proof", "cases", "not as expected")
    for proof in proofs:
        wrong = [f"{case.case}: {case.got}, not {case.expected}" for case in proof.cases if not case.holds]
        held = len(proof.cases) - len(wrong)
        state = f"[{_PROOF_STYLES[proof.proof]}]{proof.proof}[/]"
        counted = f"{held}/{len(proof.cases)}" if proof.cases else ""
        table.add_row(proof.guest, proof.mac, proof.port or "", state, counted, "\n".join(wrong))
    console.print(table)


def _table(*columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _value(value: Any) -> str:
    match value:
        case None:
            return "absent"
        case list():
            return "\n".join(str(item) for item in value)
        case dict():
            return "\n".join(f"{key}: {_value(item)}" for key, item in value.items())
        case _:
            return str(value)
