"""What guests can do, for a person on a terminal: paths of frames, and a line an interface."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from reconciler.model.coverage import Coverage, FilterCoverage, InterfaceStatus, Unmanaged
from reconciler.model.health import Finding, Health
from reconciler.model.outcome import Case, InterfaceProof, Proof
from reconciler.model.trace import PathStep, Trace
from reconciler.report.text import PROOF_STYLES, escape

if TYPE_CHECKING:
    from rich.console import Console

_VERDICT_STYLES = {"pass": "bold green", "drop": "bold red"}
MOST_NAMES = 8
_FINAL = ("ACCEPT", "DROP", "REJECT", "RETURN")
_LAYERS = {
    "site": "on the rules that the site's filters will make",
    "kernel": "on the kernel's rules",
    "frames": "by the frame itself; its way as the filters foretell it",
}


def show_trace(console: Console, trace: Trace) -> None:
    direction = "to" if trace.to_guest else "from"
    got = f"[{_VERDICT_STYLES.get(trace.way.got, 'bold yellow')}]{trace.way.got.upper()}[/]"
    console.print(f"{got}  {direction} {escape(trace.guest)} {trace.mac}, {_LAYERS[trace.layer]}")
    console.print(f"  {escape(trace.frame)}", style="dim")
    if trace.way.got == "unknown":
        console.print(f"  it cannot be judged: {escape(trace.way.why)}", style="yellow")
    _show_path(console, trace.way.path)


def show_explanations(console: Console, proofs: Iterable[InterfaceProof], layer: str) -> None:
    told = [(proof, case) for proof in proofs for case in proof.cases if case.path is not None]
    for proof, case in told:
        _show_explanation(console, proof, case, layer)
    if not told:
        console.print("no guest that has such a case runs here")


def _show_explanation(console: Console, proof: InterfaceProof, case: Case, layer: str) -> None:
    style = "green" if case.holds else "red"
    verdict = f"[{style}]expected {case.expected}, got {case.got}[/]"
    console.print(f"{escape(proof.guest)} {case.mac} [bold]{escape(case.case)}[/]: {verdict}, {_LAYERS[layer]}")
    if not case.frame:
        console.print("  no frame is judged here: the rules of the port are searched", style="dim")
        return
    console.print(f"  {escape(case.frame)}", style="dim")
    if case.rule.startswith("foretold otherwise"):
        console.print(f"  {escape(case.rule)}", style="yellow")
    _show_path(console, case.path or ())


def _show_path(console: Console, path: Iterable[PathStep]) -> None:
    """Two lines a step: from which chain to what and by which filter's rule, then the kernel's rule."""
    steps = tuple(path)
    if not steps:
        console.print("  no rule is known that looks at it")
    for step in steps:
        if step.rule is None:
            console.print(f"  {escape(step.chain)}: {step.target} by its policy; no rule decided")
            continue
        console.print(f"  {escape(step.chain)}{_does(step)}")
        console.print(f"      {escape(step.rule)}", style="dim")


def _does(step: PathStep) -> str:
    if step.target not in _FINAL:
        return f" → {escape(step.target)}"
    return f": {step.target} by " + (f"[cyan]{escape(str(step.source))}[/]" if step.source else "a rule of no filter")


def show_status(console: Console, interfaces: Iterable[InterfaceStatus]) -> None:
    """A line an interface, however long; then the leaks by name, once for all interfaces that have the same."""
    shown = tuple(interfaces)
    rows = [("guest", "interface", "filter", "state", "score", "flags"), *map(_status_row, shown)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        console.print(escape(line), style="bold" if number == 0 else _status_style(shown[number - 1]))
    for guest, why in {each.guest: each.unsafe_migration for each in shown if each.unsafe_migration}.items():
        console.print(escape(f"do not migrate {guest}: {why}"), style="yellow")
    _show_leaks(console, shown)
    if any(each.coverage is None and each.state is not Proof.UNGUARDED for each in shown):
        console.print("unknown: by a filter that only a host knows, or whose rules libvirt would refuse", style="dim")


def _status_row(status: InterfaceStatus) -> tuple[str, ...]:
    state = str(status.state) if status.state else "not asked"
    return (status.guest, status.mac, status.filter or "none", state, _score(status.coverage), ", ".join(status.flags))


def _status_style(status: InterfaceStatus) -> str:
    return PROOF_STYLES[status.state] if status.state else ""


def _score(coverage: Coverage | None) -> str:
    """Rounded down, so that only what is right in every case says 100 %."""
    return f"{coverage.right * 100 // coverage.total} %" if coverage else "unknown"


def _show_leaks(console: Console, interfaces: Iterable[InterfaceStatus]) -> None:
    leaking: dict[tuple[str, ...], list[str]] = {}
    for each in interfaces:
        if each.coverage and each.coverage.leaks:
            leaking.setdefault(each.coverage.leaks, []).append(each.guest)
    for leaks, guests in leaking.items():
        told = f"leaks of {_some(dict.fromkeys(guests))}: {_some(leaks)}"
        console.print(escape(told), style="dim")


def show_unmanaged(console: Console, found: Unmanaged) -> None:
    """A line a kind, for what nobody here looks after."""
    interfaces = tuple(f"{guest} {mac}" for guest, mac in found.interfaces)
    for kind, names in (("guest", found.guests), ("interface", interfaces), ("filter", found.filters)):
        if names:
            plural = "" if len(names) == 1 else "s"
            console.print(escape(f"not of this site: {len(names)} {kind}{plural}: {_some(names)}"), style="dim")


def show_filter_coverage(console: Console, filters: Iterable[FilterCoverage]) -> None:
    """Only filters that do something wrong: what leaks, what is stopped, and what no filter can stop."""
    by_rules: dict[tuple[str, ...], list[str]] = {}
    unknown: list[str] = []
    for each in filters:
        if not each.total:
            unknown.append(each.filter)
        where = f"{each.filter} ({each.interfaces} interface{'s' if each.interfaces != 1 else ''})"
        if each.leaks:
            console.print(escape(f"{where} leaks {_count(each.leaks, each.total)}"), style="yellow")
        if each.stops:
            console.print(escape(f"{where} wrongly stops {_count(each.stops, each.total)}"), style="yellow")
        if each.inexpressible:
            by_rules.setdefault(each.inexpressible, []).append(each.filter)
    for cases, names in by_rules.items():
        told = f"leaks of {_some(dict.fromkeys(names))} that nwfilter cannot express: {_some(cases)}"
        console.print(escape(told), style="dim")
    if unknown:
        told = f"not judged: {_some(dict.fromkeys(unknown))}, by filters of libvirt's own that only a host knows"
        console.print(escape(told), style="dim")


def _count(cases: tuple[str, ...], total: int) -> str:
    return f"{len(cases)} of {total} cases: {_some(cases)}"


def _some(names: Iterable[str]) -> str:
    """The JSON document names all."""
    every = list(names)
    more = f" and {len(every) - MOST_NAMES} more" if len(every) > MOST_NAMES else ""
    return f"{', '.join(every[:MOST_NAMES])}{more}"


def show_findings(console: Console, found: Iterable[Finding]) -> None:
    """A line for each thing that was looked at, and what to do about those that are not well."""
    styles = {Health.OK: "green", Health.WARNING: "yellow", Health.FAILED: "bold red"}
    for each in found:
        console.print(f"[{styles[each.health]}]{each.health:<7}[/] {each.id}: {escape(each.message)}")
        if each.hint and each.health is not Health.OK:
            console.print(f"        {escape(each.hint)}", style="dim")
