"""The JSON document, the same shape on every verb; `docs/json.md` describes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from reconciler.errors import ReconcilerError, SiteError

if TYPE_CHECKING:
    from reconciler.model.adoption import Omission
    from reconciler.model.change import Change, Proposal
    from reconciler.model.coverage import FilterCoverage, InterfaceStatus, Unmanaged
    from reconciler.model.drift import Drift
    from reconciler.model.kernel import RuleSource
    from reconciler.model.mend import Mend
    from reconciler.model.outcome import Case, Execution, InterfaceProof
    from reconciler.model.plan import Plan, Step, Waiting, Way
    from reconciler.model.problem import Problem
    from reconciler.model.trace import PathStep, Trace

SCHEMA = 1

Document = dict[str, Any]


def document(verb: str, **parts: Any) -> Document:
    """The frame: every list is there on every verb, empty where the verb has nothing to say."""
    empty: Document = {
        "problems": [],
        "drift": [],
        "changes": [],
        "verdicts": [],
        "steps": [],
        "waiting": [],
        "cases": [],
        "events": [],
    }
    return {"schema": SCHEMA, "verb": verb, **empty, **parts}


def problems(found: Iterable[Problem]) -> list[Document]:
    return [
        {
            "id": problem.id,
            "severity": str(problem.severity),
            "path": problem.origin.path,
            "line": problem.origin.line,
            "column": problem.origin.column,
            "message": problem.message,
            "hint": problem.hint,
        }
        for problem in found
    ]


def mends(found: Iterable[Mend]) -> list[Document]:
    return [
        {
            "id": mend.id,
            "path": mend.origin.path,
            "line": mend.origin.line,
            "column": mend.origin.column,
            "before": mend.before,
            "after": mend.after,
        }
        for mend in found
    ]


def drift(found: Iterable[Drift]) -> list[Document]:
    return [
        {
            "object": each.object,
            "field": each.field,
            "layer": str(each.layer),
            "desired": each.desired,
            "actual": each.actual,
            "ignored": each.ignored is not None,
            "reason": each.ignored,
        }
        for each in found
    ]


def changes(found: Iterable[Change]) -> list[Document]:
    return [
        {
            "object": each.object,
            "field": each.field,
            "before": each.before,
            "after": each.after,
            "disruption": str(each.disruption),
        }
        for each in found
    ]


def filters(found: Iterable[FilterCoverage]) -> list[Document]:
    return [
        {
            "filter": each.filter,
            "guest": each.guest,
            "interfaces": each.interfaces,
            "cases": each.total,
            "leaks": list(each.leaks),
            "inexpressible": list(each.inexpressible),
            "stops": list(each.stops),
        }
        for each in found
    ]


def proposal_parts(proposal: Proposal) -> Document:
    verdicts = [
        {
            "guest": each.guest,
            "mac": each.mac,
            "sender": each.sender,
            "case": each.case,
            "before": each.before,
            "after": each.after,
            "opens": each.opens,
        }
        for each in proposal.verdicts
    ]
    return {
        "changes": changes(proposal.changes),
        "verdicts": verdicts,
        "widening_reason": proposal.widening_reason,
        "base_problems": proposal.base_problems,
    }


def plan_parts(plan: Plan) -> Document:
    return {
        "source": plan.source,
        "host": plan.host,
        "steps": [step(each) for each in plan.steps],
        "waiting": [waiting(each) for each in plan.waiting],
        "notes": list(plan.notes),
        "cost": {"rebuilds": plan.rebuilds, "seconds": round(plan.seconds, 2), "disruption": str(plan.disruption)},
        "digest": plan.digest,
        "ways": [way(each) for each in plan.ways],
    }


def way(each: Way) -> Document:
    return {
        "name": each.name,
        "possible": each.possible,
        "chosen": each.chosen,
        "rebuilds": each.rebuilds if each.possible else None,
        "seconds": round(each.seconds, 2) if each.possible else None,
        "disruption": str(each.disruption) if each.possible else None,
        "why": each.why,
    }


def step(each: Step) -> Document:
    return {
        "id": each.id,
        "kind": each.action.kind,
        "target": each.action.target,
        "describe": each.action.describe(),
        "reason": each.reason,
        "disruption": str(each.disruption),
        "rebuilds": each.rebuilds,
        "seconds": round(each.seconds, 2),
        "revert": each.revert,
        "after": list(each.after),
    }


def waiting(each: Waiting) -> Document:
    return {
        "target": each.target,
        "what": each.what,
        "why": str(each.why),
        "disruption": str(each.disruption),
        "hint": each.hint,
    }


def cases(proofs: Iterable[InterfaceProof], layer: str = "kernel") -> list[Document]:
    return [_case(proof.guest, case, layer) for proof in proofs for case in proof.cases]


def _case(guest: str, case: Case, layer: str) -> Document:
    found: Document = {
        "guest": guest,
        "mac": case.mac,
        "case": case.case,
        "expected": case.expected,
        "got": case.got,
        "layer": layer,
        "rule": case.rule,
        "inexpressible": case.inexpressible,
    }
    if case.path is not None:
        found |= {"frame": case.frame, "path": path(case.path)}
    return found


def traced(trace: Trace) -> Document:
    """A case that nobody expects anything of."""
    return {
        "guest": trace.guest,
        "mac": trace.mac,
        "case": "trace",
        "expected": None,
        "got": trace.way.got,
        "layer": trace.layer,
        "rule": trace.way.why,
        "inexpressible": False,
        "direction": "to-guest" if trace.to_guest else "from-guest",
        "frame": trace.frame,
        "path": path(trace.way.path),
    }


def path(steps: Iterable[PathStep]) -> list[Document]:
    return [
        {
            "family": str(step.family),
            "chain": step.chain,
            "target": step.target,
            "rule": step.rule,
            "filter": step.source.filter if step.source else None,
            "file": _file(step.source),
            "number": step.source.rule if step.source else None,
        }
        for step in steps
    ]


def _file(source: RuleSource | None) -> str | None:
    """A file of the site; a filter that only libvirt has is in none."""
    return source.path if source and source.path.startswith("filters/") else None


def interfaces(proofs: Iterable[InterfaceProof]) -> list[Document]:
    return [{"guest": proof.guest, "mac": proof.mac, "port": proof.port, "proof": str(proof.proof)} for proof in proofs]


def statuses(found: Iterable[InterfaceStatus]) -> list[Document]:
    return [
        {
            "guest": each.guest,
            "mac": each.mac,
            "port": each.port,
            "filter": each.filter,
            "state": str(each.state) if each.state else None,
            "flags": [str(flag) for flag in each.flags],
            "unsafe_migration": each.unsafe_migration or None,
            "leaks": list(each.coverage.leaks) if each.coverage else [],
            "score": round(each.coverage.score, 4) if each.coverage else None,
        }
        for each in found
    ]


def unmanaged(found: Unmanaged) -> Document:
    """What the host has and the site does not name."""
    return {
        "guests": list(found.guests),
        "interfaces": [{"guest": guest, "mac": mac} for guest, mac in found.interfaces],
        "filters": list(found.filters),
    }


def execution(done: Execution | None) -> Document | None:
    if done is None:
        return None
    return {
        "run": done.run,
        "ok": done.ok,
        "done": [each.id for each in done.done],
        "failed": done.failed.id if done.failed else None,
        "error": str(done.error) if done.error else None,
        "reverted": [each.id for each in done.reverted],
        "unreverted": [{"id": each.id, "error": str(reason)} for each, reason in done.unreverted],
    }


def omissions(found: Iterable[Omission]) -> list[Document]:
    return [{"object": each.object, "reason": each.reason, "hint": each.hint} for each in found]


def error(verb: str, failure: ReconcilerError) -> Document:
    """An error as a document, so that a reader of JSON never has to read text."""
    found = problems(failure.problems) if isinstance(failure, SiteError) else []
    return document(verb, problems=found, error={"message": str(failure), "hint": failure.hint})
