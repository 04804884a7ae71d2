"""A definition that libvirt could not write to disk is in force all the same, and its filter is gone (promise P1)."""

from __future__ import annotations

from pathlib import Path

from sites import guest_yaml, host_with, site

from reconciler.execute.executor import execute
from reconciler.execute.journal import Journal
from reconciler.host.memory import MemoryHost
from reconciler.model.outcome import Execution
from reconciler.model.site import Desired
from reconciler.plan.build import make_plan

NAMES = ("app01", "db01", "web01")
BEFORE = site({name: guest_yaml(name, number, f"[10.0.0.{number}0]") for number, name in enumerate(NAMES, 1)})
AFTER = site({name: guest_yaml(name, number, f"[10.0.0.{number}1]") for number, name in enumerate(NAMES, 1)})


def bring(host: MemoryHost, desired: Desired, var: Path) -> Execution:
    plan = make_plan(desired, host.inspect(), "kvm01")
    with Journal(var, plan) as journal:
        return execute(plan, host, journal, lambda _event, _step: None, lambda: None)


def test_the_next_run_brings_back_what_libvirt_lost_before_it_changes_anything_else(tmp_path: Path) -> None:
    """libvirt refuses every change of a filter as long as a port uses one that is gone."""
    host = host_with(BEFORE)
    assert bring(host, BEFORE, tmp_path).ok
    before = host.rules()
    host.unsaved = {"guard-db01-000002"}
    ended = bring(host, AFTER, tmp_path)
    assert ended.failed is not None
    assert ended.failed.action.target == "filter/guard-db01-000002"
    host.unsaved = set()
    for desired in (AFTER, BEFORE):
        again = bring(host, desired, tmp_path)
        assert again.ok, again.error
        assert make_plan(desired, host.inspect(), "kvm01").steps == ()
    assert host.rules() == before


def test_what_could_not_be_saved_once_is_taken_back_with_all_before_it(tmp_path: Path) -> None:
    host = host_with(BEFORE)
    assert bring(host, BEFORE, tmp_path).ok
    before = host.rules(), host.inspect().filters
    tried: list[str] = []

    def fault(_call: str, target: str) -> None:
        tried.append(target)
        host.unsaved = {"guard-db01-000002"} if tried.count("guard-db01-000002") == 1 else set()

    host.fault = fault
    ended = bring(host, AFTER, tmp_path)
    assert ended.failed is not None
    assert ended.unreverted == ()
    assert (host.rules(), host.inspect().filters) == before
