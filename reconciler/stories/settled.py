"""An apply with nothing to do, told again: the host answers what it answered when all of it was proven."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.admission.hook import RECORD
from reconciler.app import Application, Survey
from reconciler.model.outcome import Case, InterfaceProof
from reconciler.model.plan import Plan
from reconciler.records.suspensions import read_suspensions
from reconciler.settings import Settings
from reconciler.stories.agreeing import recall, remember

if TYPE_CHECKING:
    from reconciler.source.snapshot import Snapshot


def settled_before(settings: Settings, found: Snapshot | None) -> Application | None:
    """What an apply told that had nothing to do and left nothing waiting, where it would find the same now."""
    if read_suspensions(settings.var):
        return None
    kept = recall(settings, "apply", found)
    if kept is None or kept.facts["admission"] != _admission(settings.var):
        return None
    plan = Plan(kept.source, kept.host, notes=tuple(kept.facts["notes"]), digest=kept.facts["digest"])
    held = tuple((guest, tuple(addresses)) for guest, addresses in kept.facts["held"])
    return Application(plan, None, (), tuple(map(_proof, kept.facts["proofs"])), held=held)


def remember_settled(settings: Settings, found: Snapshot | None, seen: Survey, done: Application) -> None:
    """Keep it where a later one with the same answers could only tell the same."""
    plan = done.plan
    if done.execution or plan.steps or plan.waiting or plan.ways or seen.holds or _any_fails(done):
        return
    facts = {
        "digest": plan.digest,
        "notes": plan.notes,
        "proofs": [_plain(proof) for proof in done.proofs],
        "held": done.held,
        "admission": _admission(settings.var),
    }
    remember(settings, "apply", found, seen, facts)


def _any_fails(done: Application) -> bool:
    return any(case.fails or case.path is not None for proof in done.proofs for case in proof.cases)


def _plain(proof: InterfaceProof) -> list[Any]:
    cases = [[each.mac, each.case, each.expected, each.got, each.rule, each.inexpressible] for each in proof.cases]
    return [proof.guest, proof.mac, proof.port, cases, proof.managed]


def _proof(kept: list[Any]) -> InterfaceProof:
    guest, mac, port, cases, managed = kept
    return InterfaceProof(guest, mac, port, tuple(Case(*case) for case in cases), managed)


def _admission(var: Path) -> str:
    """What libvirt's hook is told, which every good run sees to."""
    try:
        return sha256((var / RECORD).read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
