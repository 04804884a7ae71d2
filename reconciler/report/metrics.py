"""A run as metrics in Prometheus' text format, for the node exporter's textfile collector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

from reconciler.model.outcome import Proof
from reconciler.model.report import Outcome, Report

Sample = tuple[Mapping[str, str], float]


def metrics(report: Report, last_success: datetime | None) -> str:
    """Gauges of the last run. `last_success` is when a run last ended with the host as its commit says."""
    plan = report.plan
    waiting = plan.waiting if plan else ()
    steps = plan.steps if plan else ()
    execution = report.execution
    done = {step.id for step in execution.done} if execution else set()
    families = [
        _family("run_duration_seconds", "How long the last run took.", [({}, report.seconds)]),
        _family("last_run_timestamp_seconds", "When the last run began.", [({}, report.started.timestamp())]),
        _family("last_success_timestamp_seconds", "When a run last left the host as its commit says.",
                [({}, last_success.timestamp())] if last_success else []),
        _family("run_outcome", "How the last run ended: 1 for that outcome.",
                [({"outcome": str(each)}, float(each is report.outcome)) for each in Outcome]),
        _family("commit_info", "The commit in force.", [({"commit": report.commit}, 1.0)] if report.commit else []),
        _family("source_stale_since_timestamp_seconds", "When the repository last answered, if it does not now.",
                [({}, report.stale_since.timestamp())] if report.stale_since else []),
        _family("drift", "Fields that differ from the commit after the run.",
                [({"object": name}, float(n)) for name, n in sorted(Counter(d.object for d in report.drift).items())]),
        _family("drift_found", "Fields that differed when the run began.", [({}, float(len(report.found)))]),
        _family("interfaces", "Interfaces of managed guests by what is proven of them.",
                [({"proof": str(each)}, float(sum(p.proof is each for p in report.proofs))) for each in Proof]),
        _family("coverage_ratio", "Share of an interface's cases that hold on the kernel's rules.",
                [({"guest": p.guest, "mac": p.mac}, sum(c.holds for c in p.cases) / len(p.cases))
                 for p in report.proofs if p.cases]),
        _family("pending_disruptive_steps", "Steps that wait for somebody to allow them.",
                [({"disruption": name}, float(n)) for name, n in
                 sorted(Counter(str(each.disruption) for each in waiting if each.disruption).items())]),
        _family("pending_steps", "Steps that wait, for whatever reason.", [({}, float(len(waiting)))]),
        _family("rebuilds", "Ports whose rules the last run had libvirt build again.",
                [({}, float(sum(step.rebuilds for step in steps if step.id in done)))]),
        _family("suspended", "Whether the host, or something on it, is suspended.",
                [({}, float(len(report.suspended)))]),
    ]  # fmt: skip
    return "".join(families)


def _family(name: str, meaning: str, samples: Iterable[Sample]) -> str:
    full = f"reconciler_{name}"
    lines = [f"{full}{_labels(labels)} {value:.15g}\n" for labels, value in samples]
    return f"# HELP {full} {meaning}\n# TYPE {full} gauge\n{''.join(lines)}" if lines else ""


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
