"""Reports of runs, as a host would make them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from reconciler.model.drift import Drift, Layer
from reconciler.model.message import Message, State
from reconciler.model.outcome import InterfaceProof
from reconciler.model.report import Outcome, Report

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
COMMIT = "c" * 40
DRIFT = Drift("guest/web01", "autostart", Layer.PERSISTENT, True, False)


def report(outcome: Outcome = Outcome.IN_SYNC, **more: Any) -> Report:
    told: dict[str, Any] = {"verb": "run", "host": "kvm01", "commit": COMMIT, "followed": "main", "started": NOON}
    proofs = (InterfaceProof("web01", "52:54:00:00:00:01", None),)
    return Report(outcome=outcome, **(told | {"proofs": proofs} | more))


def message(**more: Any) -> Message:
    told: dict[str, Any] = {
        "host": "kvm01", "commit": COMMIT, "time": NOON.isoformat(), "state": State.SUCCESS, "applied": True,
        "drifts": False, "summary": "kvm01: applied", "markdown": "# run\n", "json": "{}\n", "html": "<p>run</p>\n",
    }  # fmt: skip
    return Message(**(told | more))
