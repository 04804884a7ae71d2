"""A run as metrics in Prometheus' text format, for the node exporter's textfile collector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from reconciler.model.outcome import Proof
from reconciler.model.report import Outcome, Report

_Samples = Iterable[tuple[Mapping[str, str], float]]
_Family = tuple[str, str, _Samples]


def metrics(report: Report, last_success: datetime | None) -> str:
    """Gauges of the last run. `last_success` is when a run last ended with the host as its commit says."""
    families = (*_times(report, last_success), *_state(report), *_proofs(report), *_steps(report))
    return "".join(_text(name, meaning, samples) for name, meaning, samples in families)


def _times(report: Report, last_success: datetime | None) -> Iterator[_Family]:
    yield "run_duration_seconds", "How long the last run took.", _one(report.seconds)
    yield "last_run_timestamp_seconds", "When the last run began.", _moment(report.started)
    yield "last_success_timestamp_seconds", "When a run last left the host as its commit says.", _moment(last_success)
    meaning = "When the repository last answered, if it does not now."
    yield "source_stale_since_timestamp_seconds", meaning, _moment(report.stale_since)


def _state(report: Report) -> Iterator[_Family]:
    outcomes = [({"outcome": str(each)}, float(each is report.outcome)) for each in Outcome]
    yield "run_outcome", "How the last run ended: 1 for that outcome.", outcomes
    commit = [({"commit": report.commit}, 1.0)] if report.commit else []
    yield "commit_info", "The commit in force.", commit
    left = Counter(each.object for each in report.drift if each.counts)
    yield "drift", "Fields that differ from the commit after the run.", _counted("object", left)
    found = sum(each.counts for each in report.found)
    yield "drift_found", "Fields that differed when the run began.", _one(found)
    yield "suspended", "How much of this host is suspended.", _one(len(report.suspended))


def _proofs(report: Report) -> Iterator[_Family]:
    by_proof = [({"proof": str(each)}, float(sum(p.proof is each for p in report.proofs))) for each in Proof]
    yield "interfaces", "Interfaces of managed guests by what is proven of them.", by_proof
    shares = [
        ({"guest": each.guest, "mac": each.mac}, sum(case.holds for case in each.cases) / len(each.cases))
        for each in report.proofs
        if each.cases
    ]
    yield "coverage_ratio", "Share of an interface's cases that hold on the kernel's rules.", shares


def _steps(report: Report) -> Iterator[_Family]:
    waiting = report.plan.waiting if report.plan else ()
    disruptive = Counter(str(each.disruption) for each in waiting if each.disruption)
    yield "pending_disruptive_steps", "Steps that wait for somebody to allow them.", _counted("disruption", disruptive)
    yield "pending_steps", "Steps that wait, for whatever reason.", _one(len(waiting))
    done = report.execution.done if report.execution else ()
    rebuilds = sum(step.rebuilds for step in done)
    yield "rebuilds", "Ports whose rules the last run had libvirt build again.", _one(rebuilds)


def _one(value: float) -> _Samples:
    return [({}, float(value))]


def _moment(moment: datetime | None) -> _Samples:
    return _one(moment.timestamp()) if moment else []


def _counted(label: str, counts: Counter[str]) -> _Samples:
    return [({label: name}, float(number)) for name, number in sorted(counts.items())]


def _text(name: str, meaning: str, samples: _Samples) -> str:
    """A family without samples is left out."""
    full = f"reconciler_{name}"
    lines = [f"{full}{_labels(labels)} {value:.15g}\n" for labels, value in samples]
    return f"# HELP {full} {meaning}\n# TYPE {full} gauge\n{''.join(lines)}" if lines else ""


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
