"""A run as a document, in one line, and as what tells it from another run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from reconciler.model.outcome import InterfaceProof, Proof
from reconciler.model.report import Outcome, Report
from reconciler.report import document as json_document
from reconciler.report.document import Document

_WORDS = {
    Outcome.IN_SYNC: "as the commit says",
    Outcome.APPLIED: "applied",
    Outcome.WAITING: "applied, but something waits",
    Outcome.DRIFT: "differs from the commit",
    Outcome.SUSPENDED: "suspended: nothing was changed",
    Outcome.REFUSED: "the newest commit is refused, an earlier one is in force",
    Outcome.INVALID: "the site has problems: nothing was applied",
    Outcome.FAILED: "failed",
}


def run_document(report: Report) -> Document:
    """The document of `run` and `report`, as `docs/json.md` describes it."""
    parts: Document = json_document.plan_parts(report.plan) if report.plan else {}
    parts |= {
        "source": report.commit,
        "host": report.host,
        "outcome": str(report.outcome),
        "followed": report.followed,
        "time": report.started.isoformat(timespec="seconds"),
        "seconds": round(report.seconds, 2),
        "stale_since": report.stale_since.isoformat(timespec="seconds") if report.stale_since else None,
        "found": json_document.drift(report.found),
        "drift": json_document.drift(report.drift),
        "problems": json_document.problems(report.problems),
        "interfaces": json_document.interfaces(report.proofs),
        "cases": json_document.cases(_failing_only(report)),
        "execution": json_document.execution(report.execution),
        "suspended": list(report.suspended),
        "held": [{"guest": guest, "addresses": list(addresses)} for guest, addresses in report.held],
        "events": [{"event": event, "step": step} for event, step in report.events],
        "error": {"message": str(report.trouble), "hint": report.trouble.hint} if report.trouble else None,
    }
    return json_document.document(report.verb, **parts)


def _failing_only(report: Report) -> tuple[InterfaceProof, ...]:
    """Of the cases those that do not hold: a report is read by people, and most of a good host's cases hold."""
    return tuple(replace(proof, cases=tuple(case for case in proof.cases if case.fails)) for proof in report.proofs)


def summary(report: Report) -> str:
    """One line, as a commit status or a log shows it."""
    counts = [
        (sum(drift.counts for drift in report.found), "difference", "found"),
        (sum(drift.counts for drift in report.drift), "difference", "left"),
        (sum(not drift.counts for drift in report.drift), "difference", "ignored"),
        (len(report.plan.waiting) if report.plan else 0, "step", "waiting"),
        (len(report.problems), "problem", ""),
        (sum(proof.proof is not Proof.ENFORCED for proof in report.proofs), "interface", "not enforced"),
    ]
    told = ", ".join(f"{n} {noun}{'s' if n != 1 else ''} {state}".rstrip() for n, noun, state in counts if n)
    since = report.stale_since
    stale = f"; the repository does not answer since {since:%Y-%m-%d %H:%M} UTC" if since else ""
    return f"{report.host}: {_WORDS[report.outcome]}{f' ({told})' if told else ''}{stale}"


def state_digest(document: Document) -> str:
    """What a reader would want to hear of again when it changes: not when, nor how long, nor what was put right."""
    settled = "in-sync" if document["outcome"] == "applied" else document["outcome"]
    reason = document["error"]["message"] if document["error"] and settled != "in-sync" else None
    names = ("source", "host", "drift", "waiting", "problems", "interfaces", "suspended", "held")
    return _digest([settled, bool(document["stale_since"]), reason, *(document[name] for name in names)])


def found_digest(document: Document) -> str:
    """The drift that a run met; empty where it met none, or only what the site ignores."""
    met = [each for each in document["found"] if not each["ignored"]]
    return _digest(met) if met else ""


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
