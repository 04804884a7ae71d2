"""A plan's execution on the in-memory host: it converges (P1), never opens a port (P3), and takes back (P6)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sites import domain_xml, guest_yaml, host_with, mac, site

from reconciler.diff import diff
from reconciler.errors import HostError, HostTimeout, ReconcilerError, StaleError
from reconciler.execute.executor import execute
from reconciler.execute.journal import Journal, close_run
from reconciler.execute.runs import open_runs, prune_runs, read_runs
from reconciler.host.memory import MemoryHost
from reconciler.model.live import MANAGED_SAVE, SavedState
from reconciler.model.outcome import Execution
from reconciler.model.plan import Step
from reconciler.model.site import Desired
from reconciler.plan.build import make_plan

BEFORE = {
    "web01": guest_yaml("web01", 1, "[10.0.0.10]", '["2001:db8::10"]'),
    "db01": guest_yaml("db01", 2, "[10.0.0.20]", attach="direct"),
}
AFTER = {
    "web01": guest_yaml("web01", 1, "[10.0.0.11, 10.0.0.40/29]", '["2001:db8::11"]'),
    "db01": guest_yaml("db01", 2, "[10.0.0.21]", attach="direct"),
}


def bring(host: MemoryHost, desired: Desired, var: Path) -> Execution:
    plan = make_plan(desired, host.inspect(), "kvm01")
    with Journal(var, plan) as journal:
        return execute(plan, host, journal, lambda _event, _step: None, lambda: still_different(host, desired))


def still_different(host: MemoryHost, desired: Desired) -> ReconcilerError | None:
    left = diff(desired, host.inspect(), "kvm01")
    return HostError(f"still different: {left[0]}") if left else None


@pytest.fixture
def host(tmp_path: Path) -> MemoryHost:
    """A host as BEFORE wants it."""
    desired = site(BEFORE)
    host = host_with(desired)
    assert bring(host, desired, tmp_path).ok
    host.writes.clear()
    host.rebuilds.clear()
    return host


def test_a_second_apply_has_nothing_to_do(host: MemoryHost) -> None:
    assert make_plan(site(BEFORE), host.inspect(), "kvm01").steps == ()


def test_an_address_change_under_guard_redefines_one_filter_and_rebuilds_one_port(
    host: MemoryHost, tmp_path: Path
) -> None:
    desired = site({**BEFORE, "web01": AFTER["web01"]})
    assert bring(host, desired, tmp_path).ok
    assert host.writes == [("define_filter", "guard-web01-000001")]
    assert sum(host.rebuilds.values()) == 1


def test_a_change_of_both_kinds_converges(host: MemoryHost, tmp_path: Path) -> None:
    desired = site(AFTER)
    assert bring(host, desired, tmp_path).ok
    assert diff(desired, host.inspect(), "kvm01") == ()


def test_a_running_port_without_rules_is_always_gated(host: MemoryHost, tmp_path: Path) -> None:
    seen: list[str] = []

    def watch(now: MemoryHost) -> None:
        ports = {nic.port for domain in now.domains.values() for nic in domain.live if nic.port}
        seen.extend(port for port in ports if port not in now.installed and port not in now.closed)

    host.on_change = watch
    assert bring(host, site(AFTER), tmp_path).ok
    assert not seen, "a port was open without rules"
    assert not host.closed


def test_values_that_libvirt_takes_for_the_same_are_changed_all_the_same(tmp_path: Path) -> None:
    one = {"db01": guest_yaml("db01", 2, "[10.0.0.32/28, 10.0.0.64/27]", attach="direct")}
    two = {"db01": guest_yaml("db01", 2, "[10.0.0.64/28, 10.0.0.32/27]", attach="direct")}
    host = host_with(site(one))
    assert bring(host, site(one), tmp_path).ok
    assert bring(host, site(two), tmp_path).ok
    assert diff(site(two), host.inspect(), "kvm01") == ()


@pytest.mark.parametrize("number", range(12))
def test_a_failure_at_any_write_takes_everything_back(host: MemoryHost, tmp_path: Path, number: int) -> None:
    before = host.inspect()
    count = 0

    def fail(call: str, target: str) -> None:
        nonlocal count
        count += 1
        if count == number + 1:
            raise HostError(f"{call} of {target} fails")

    host.fault = fail
    ended = bring(host, site(AFTER), tmp_path)
    host.fault = None
    if ended.ok:
        assert count <= number, "a write failed unnoticed"
        return
    after = host.inspect()
    assert not after.gated
    assert {f.definition.name: f.definition for f in after.filters} == {
        f.definition.name: f.definition for f in before.filters
    }
    assert [(d.persistent, d.live) for d in after.domains] == [(d.persistent, d.live) for d in before.domains]


def test_what_nobody_foresaw_is_taken_back_too(host: MemoryHost, tmp_path: Path) -> None:
    before = host.rules()

    def fault(call: str, target: str) -> None:
        if call == "define_domain":
            raise UnicodeError(f"no such letter in {target}")

    host.fault = fault
    ended = bring(host, site(AFTER | {"db01": guest_yaml("db01", 2, "[10.0.0.22]", attach="direct")}), tmp_path)
    assert ended.reverted and not ended.unreverted
    assert "a fault: UnicodeError: no such letter" in str(ended.error)
    host.fault = None
    assert host.rules() == before


def test_a_missed_deadline_stops_without_a_revert(host: MemoryHost, tmp_path: Path) -> None:
    def hang(call: str, target: str) -> None:
        if (call, target) == ("define_filter", "guard-web01-000001"):
            raise HostTimeout("libvirt did not answer")

    host.fault = hang
    ended = bring(host, site(AFTER), tmp_path / "var")
    assert isinstance(ended.error, HostTimeout)
    assert ended.reverted == ()
    assert host.writes[-1] == ("define_filter", "guard-web01-000001")
    assert [run.name for run in open_runs(tmp_path / "var")] == [ended.run]


def test_a_foreign_change_between_plan_and_step_stops(host: MemoryHost, tmp_path: Path) -> None:
    desired = site(AFTER)
    plan = make_plan(desired, host.inspect(), "kvm01")
    held = host.filters["guard-web01-000001"]
    host.define_filter(held.xml.replace("10.0.0.10", "10.0.0.99"))
    with Journal(tmp_path, plan) as journal:
        ended = execute(plan, host, journal, lambda _event, _step: None, lambda: None)
    assert isinstance(ended.error, StaleError)
    assert "10.0.0.99" in host.filters["guard-web01-000001"].xml


@pytest.mark.parametrize("undefined", [False, True], ids=["stopped", "undefined"])
@pytest.mark.parametrize("flushed", [False, True], ids=["switched", "rebuilt"])
def test_a_guest_that_goes_meanwhile_is_no_reason_to_take_back_what_others_got(
    host: MemoryHost, tmp_path: Path, *, flushed: bool, undefined: bool
) -> None:
    if flushed:
        host.installed.clear()
    desired = site(BEFORE if flushed else AFTER)
    plan = make_plan(desired, host.inspect(), "kvm01")

    def stop(event: str, _step: Step) -> None:
        if event == "start" and "db01" in host.domains and host.domains["db01"].active:
            host.destroy_domain("db01")
            if undefined:
                del host.domains["db01"]

    with Journal(tmp_path, plan) as journal:
        ended = execute(plan, host, journal, stop, lambda: still_different(host, desired))
    assert ended.ok, ended.error
    assert not host.closed
    assert ("db01" in host.domains) != undefined, "nobody defined it again"


@pytest.mark.parametrize("running", [False, True], ids=["down", "restarted"])
def test_a_guest_that_is_started_before_it_gives_an_address_up_keeps_it_for_itself(
    tmp_path: Path, *, running: bool
) -> None:
    """With its old definition it holds the address again; its next owner must not get that meanwhile (P4)."""
    before = {name: guest_yaml(name, n, f"[10.0.0.1{n}]", attach="direct") for n, name in enumerate(("old", "new"), 1)}
    host = host_with(site(before))
    assert bring(host, site(before), tmp_path).ok
    if not running:
        host.destroy_domain("old")
    after = {"old": guest_yaml("old", 1, "[10.0.0.9]", attach="direct"), "new": guest_yaml("new", 2, "[10.0.0.11]")}
    desired = site(after)
    plan = make_plan(desired, host.inspect(), "kvm01")

    def start(event: str, step: Step) -> None:
        if event == "start" and step.id == "guest:old":
            if running:
                host.destroy_domain("old")
                host.define_domain(domain_xml(ANOTHER))  # takes the port that is free now
                host.start_domain("another")
            host.start_domain("old")

    def owners(host: MemoryHost) -> None:
        held = [guest for guest, port in ports(host) if "10.0.0.11" in str(host.installed.get(port))]
        assert held in ([], ["old"]), held

    host.on_change = owners
    with Journal(tmp_path, plan) as journal:
        ended = execute(plan, host, journal, start, lambda: None)
    assert "guest old was started by somebody else" in str(ended.error)
    assert "guest:old" in {step.id for step in ended.reverted}


ANOTHER = site({"another": guest_yaml("another", 7, "[10.0.0.70]")}).guests[0]


def ports(host: MemoryHost) -> list[tuple[str, str]]:
    return [(name, nic.port) for name, domain in host.domains.items() for nic in domain.live if nic.port]


def test_a_guest_that_is_saved_meanwhile_owns_what_its_image_holds(host: MemoryHost, tmp_path: Path) -> None:
    plan = make_plan(site(AFTER), host.inspect(), "kvm01")

    def save(event: str, step: Step) -> None:
        running = host.domains["db01"]
        if event == "start" and running.active and step.id.startswith("filter:"):
            host.destroy_domain("db01")
            image = SavedState(MANAGED_SAVE, running.live, running.persistent_xml)
            host.domains["db01"] = replace(host.domains["db01"], saved=(image,))

    with Journal(tmp_path, plan) as journal:
        ended = execute(plan, host, journal, save, lambda: None)
    assert "guest/db01 was changed by somebody else" in str(ended.error)
    assert ended.reverted


def test_a_result_that_does_not_hold_is_taken_back(host: MemoryHost, tmp_path: Path) -> None:
    before = host.filters["guard-web01-000001"].definition
    plan = make_plan(site(AFTER), host.inspect(), "kvm01")
    with Journal(tmp_path, plan) as journal:
        ended = execute(plan, host, journal, lambda _event, _step: None, lambda: HostError("not proven"))
    assert not ended.ok
    assert host.filters["guard-web01-000001"].definition == before


def test_a_port_that_an_interrupted_run_left_closed_is_opened_once_it_is_proven(
    host: MemoryHost, tmp_path: Path
) -> None:
    host.closed.add("vnet0")
    assert [drift.field for drift in diff(site(BEFORE), host.inspect(), "kvm01")] == [f"{owner(host, 'vnet0')}.gate"]
    assert bring(host, site(BEFORE), tmp_path).ok
    assert not host.closed


def owner(host: MemoryHost, port: str) -> str:
    return host.bindings[port].mac


def test_rules_that_were_flushed_are_rebuilt_behind_the_gate(host: MemoryHost, tmp_path: Path) -> None:
    port = next(nic.port for nic in host.domains["web01"].live if nic.mac == mac(1))
    assert port
    del host.installed[port]
    assert bring(host, site(BEFORE), tmp_path).ok
    assert host.writes == [("close_gate", port), ("rebuild_binding", port), ("open_gate", port)]


def test_a_run_that_is_overtaken_takes_no_further_step(host: MemoryHost, tmp_path: Path) -> None:
    """Two reconcilers, and a lock that does not hold: each run has a number, and looks at it before each step."""
    desired = site(AFTER)
    plan = make_plan(desired, host.inspect(), "kvm01")

    def overtake(event: str, _step: Step) -> None:
        if event == "done":
            (tmp_path / "epoch").write_text("99\n")

    with Journal(tmp_path, plan) as journal:
        ended = execute(plan, host, journal, overtake, lambda: None)
    assert "another reconciler" in str(ended.error)
    assert len(ended.reverted) == 1
    assert ended.unreverted == ()


def test_ended_runs_are_forgotten_by_age_and_open_ones_are_kept(tmp_path: Path) -> None:
    ended, opened = (tmp_path / f"20200101T00000{n}.000000Z-0000000{n}.jsonl" for n in range(2))
    ended.write_text('{"event": "run"}\n{"event": "end", "outcome": "applied"}\n')
    opened.write_text('{"event": "run"}\n')
    newest = tmp_path / "20200102T000000.000000Z-00000000.jsonl"
    newest.write_text(ended.read_text())
    prune_runs(tmp_path, 30)
    assert [run.name for run in read_runs(tmp_path)] == [opened.stem, newest.stem]


@pytest.mark.parametrize("cut", range(1, 2000, 37))
def test_a_torn_journal_is_read_as_far_as_it_goes(host: MemoryHost, tmp_path: Path, cut: int) -> None:
    assert bring(host, site(AFTER), tmp_path / "var").ok
    [path] = (tmp_path / "var").glob("*.jsonl")
    path.write_bytes(path.read_bytes()[: -1 - cut])
    [run] = read_runs(tmp_path / "var")
    assert run.is_open
    close_run(tmp_path / "var", run.name, "converged by a later run")
    assert open_runs(tmp_path / "var") == ()


def test_every_action_is_read_back_from_the_journal_as_it_was(host: MemoryHost, tmp_path: Path) -> None:
    plan = make_plan(site(AFTER), host.inspect(), "kvm01")
    with Journal(tmp_path / "var", plan) as journal:
        assert execute(plan, host, journal, lambda _event, _step: None, lambda: None).ok
    [run] = read_runs(tmp_path / "var")
    assert dict(run.done()) == {step.id: step.action for step in plan.steps}
