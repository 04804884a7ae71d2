"""Any change of any site, on the in-memory host: it converges, and no promise is broken at any instant (P1, P3-P6).

Every write of the host is an instant: what each port may send is read from the rules that are installed then. A run is
also cut off at each of its writes; the next one finishes it.
"""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from random_cases import HOST, Case, apply, cases, host_of, load, plan_of
from sites import guest_yaml, site
from sizes import examples
from watch import watching

from reconciler.errors import HostError
from reconciler.host.memory import MemoryHost
from reconciler.model.actions import CloseGate
from reconciler.model.guest import Power
from reconciler.model.plan import Waiting
from reconciler.plan.build import make_plan


class Crash(BaseException):
    """The reconciler is gone; nothing of it runs any more."""


def canonical(host: MemoryHost) -> object:
    """All that a revert must bring back."""
    filters = {name: held.definition for name, held in host.filters.items()}
    domains = {
        d.name: (d.active, d.autostart, _nics(d.persistent), _nics(d.live), [_nics(s.nics) for s in d.saved])
        for d in host.domains.values()
    }
    rules = {_owner(host, port): expected.ethernet for port, expected in host.installed.items()}
    return filters, domains, {key: _chains(value) for key, value in rules.items()}, set(host.closed)


def _nics(nics: tuple[object, ...]) -> list[object]:
    return [replace(nic, port=None) for nic in nics]  # type: ignore[type-var]


def _owner(host: MemoryHost, port: str) -> str:
    return next((d.name for d in host.domains.values() for nic in d.live if nic.port == port), port)


def _chains(ruleset: object) -> list[int]:
    return sorted(len(chain.rules) for chain in ruleset.chains)  # type: ignore[attr-defined]


def settled(host: MemoryHost, case: Case, waiting: tuple[Waiting, ...]) -> None:
    """What holds after a run that ended well."""
    waits = {each.what for each in waiting}
    for guest in case.after.guests:
        if guest.power is Power.RUNNING and not any(what.startswith(f"start guest {guest.name}") for what in waits):
            assert host.domains[guest.name].active, f"{guest.name} is down"
    temporary = [name for name, held in host.filters.items() if held.temporary]
    assert not temporary, temporary
    assert not host.staged


def test_any_change_converges_and_no_promise_is_broken_on_the_way(tmp_path: Path) -> None:
    changed = 0
    for number, case, rng in cases(examples(20, 10_000), 20261125):
        var = tmp_path / str(number)
        host = host_of(case, var, rng)
        before = canonical(host)
        watch = watching(host, case)
        ended = apply(host, case.after, var)
        host.on_change = None
        assert watch.wrong == [], f"case {number}: {watch.wrong[:3]}"
        if not ended.ok:
            assert set(case.deaf), f"case {number}: {ended.error}"
            # A port whose rules were broken before is not opened again.
            kept = [each for each in ended.unreverted if not (case.damage and isinstance(each[0].action, CloseGate))]
            assert kept == [], f"case {number}: {kept}"
            assert case.damage or case.saved or canonical(host) == before, f"case {number}: the revert left something"
            continue
        changed += bool(ended.done)
        again = plan_of(host, case.after, var)
        assert again.steps == (), f"case {number}"
        settled(host, case, again.waiting)
    assert changed > examples(10, 6000)


def test_a_run_that_is_cut_off_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    cut = 0
    for number, case, rng in cases(examples(3, 1500), 20261126):
        ready = host_of(replace(case, deaf=()), tmp_path / f"{number}", rng)
        straight = copy.deepcopy(ready)
        if not apply(straight, case.after, tmp_path / f"{number}-straight").ok:
            continue
        for at in itertools.count(1):
            host, var = copy.deepcopy(ready), tmp_path / f"{number}-{at}"
            watch = watching(host, case)
            if not crashes(host, lambda: apply(host, case.after, var), at):  # noqa: B023
                break
            cut += 1
            ended = apply(host, case.after, var)
            assert ended.ok, f"case {number}, write {at}: {ended.error}"
            assert watch.wrong == [], f"case {number}, write {at}: {watch.wrong[:3]}"
            host.on_change = None
            again = plan_of(host, case.after, var)
            assert again.steps == ()
            assert running(host) == running(straight), f"case {number}, write {at}"
            assert {n: f.definition for n, f in host.filters.items()} == {
                n: f.definition for n, f in straight.filters.items()
            }, f"case {number}, write {at}"
            settled(host, case, again.waiting)
    assert cut > examples(15, 8_000)


def crashes(host: MemoryHost, run: Callable[[], object], at: int) -> bool:
    """Whether a run got as far as its n-th write; it dies there, before the write or just after it."""
    count = 0

    def fault(_call: str, _target: str) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise Crash

    host.fault = fault
    try:
        run()
    except Crash:
        return True
    finally:
        host.fault = None
    return False


def running(host: MemoryHost) -> set[str]:
    return {domain.name for domain in host.domains.values() if domain.active}


def test_a_failure_anywhere_is_taken_back(tmp_path: Path) -> None:
    failed = 0
    for number, case, rng in cases(examples(3, 1500), 20261127):
        # What a managed-save image held is gone once its guest has run: that is not taken back.
        ready = host_of(replace(case, deaf=(), damage=(), saved=()), tmp_path / f"{number}", rng)
        before = canonical(ready)
        for at in itertools.count(1):
            host, var = copy.deepcopy(ready), tmp_path / f"{number}-{at}"
            watch = watching(host, case)
            count, rounds = 0, 0

            def fault(call: str, target: str) -> None:
                nonlocal count, rounds, before
                begun = len(list((var / "journal").glob("*.jsonl")))  # noqa: B023
                if begun > rounds:  # a round that has been proven stands
                    rounds, before = begun, canonical(host)  # noqa: B023
                count += 1
                if count == at:  # noqa: B023
                    raise HostError(f"{call} of {target} fails")

            host.fault = fault
            ended = apply(host, case.after, var)
            host.fault = None
            assert watch.wrong == [], f"case {number}, write {at}: {watch.wrong[:3]}"
            host.on_change = None
            if ended.ok:
                break
            failed += 1
            assert ended.unreverted == (), f"case {number}, write {at}: {ended.unreverted}"
            assert canonical(host) == before, f"case {number}, write {at}: {ended.failed}"
    assert failed > examples(20, 8_000)


@pytest.mark.parametrize("size", range(2, 7))
def test_circles_of_any_size_are_resolved(size: int, tmp_path: Path) -> None:
    names = [f"g{number}" for number in range(size)]
    texts = [f"[10.0.0.{10 + number}]" for number in range(size)]
    for attach in ("guard", "direct"):
        before = site({n: guest_yaml(n, k + 1, texts[k], attach=attach) for k, n in enumerate(names)})
        after = site({n: guest_yaml(n, k + 1, texts[(k + 1) % size], attach=attach) for k, n in enumerate(names)})
        case = Case(before, after)
        host = host_of(case, tmp_path / f"{attach}", random.Random(1))
        watch = watching(host, case)
        ended = apply(host, after, tmp_path / f"{attach}-run")
        assert ended.ok, ended.error
        assert watch.wrong == []
        assert make_plan(after, host.inspect(), HOST).waiting == ()


def test_what_is_only_stored_closes_no_circle_that_a_cut_run_had_opened(tmp_path: Path) -> None:
    """g3 runs with its new addresses behind a gate; its definition still says what g5 is to get."""
    common = {"attach": "direct", "more": "", "variable": ""}
    given = {"number": "3", "ipv4": "[10.0.0.20]", "ipv6": '["2001:db8:0:1::/64"]', **common}
    taking = {"number": "5", "ipv4": "[10.0.0.10]", "ipv6": "none", **common}
    before = load("", {"g3": given, "g5": taking})
    later = {"ipv4": "[10.0.0.64/28]", "ipv6": "none", "variable": "PEER"}
    gets = {"attach": "guard", "ipv6": '["2001:db8:0:1::/64"]', "variable": "PEER"}
    case = Case(before, load("", {"g3": given | later, "g5": taking | gets}))
    ready = host_of(case, tmp_path / "before", random.Random(0))
    for at in itertools.count(1):
        host, var = copy.deepcopy(ready), tmp_path / str(at)
        watch = watching(host, case)
        if not crashes(host, lambda host=host, var=var: apply(host, case.after, var), at):
            break
        assert apply(host, case.after, var).ok
        assert watch.wrong == []
        host.on_change = None
        left = plan_of(host, case.after, var)
        assert (left.steps, left.waiting) == ((), ()), at
    assert at > 6


def test_a_guard_whose_own_change_waits_is_not_left_on_the_copies_of_a_cut_roll_out(tmp_path: Path) -> None:
    """g2 is to get an address that g1, which is held, has; meanwhile the filters of g2 and g3 change one by one."""
    common = {"ipv6": "none", "attach": "guard", "variable": "", "more": ""}
    guests = {f"g{n}": {"number": str(n), "ipv4": f"[10.0.0.{n}0]", **common} for n in (1, 2, 3)}
    guests["g1"] |= {"more": "hold: true", "attach": "direct"}
    policy = "policy: {rollout: canary}"
    exchanged = guests | {"g1": guests["g1"] | {"ipv4": "[10.0.0.40]"}, "g2": guests["g2"] | {"ipv4": "[10.0.0.10]"}}
    after = load(policy, exchanged)
    twice = (replace(f, entries=(*f.entries, f.entries[-1])) if f.name == "guest-arp" else f for f in after.filters)
    case = Case(load(policy, guests), replace(after, filters=tuple(twice)), stopped=("g1",))
    ready = host_of(case, tmp_path / "before", random.Random(0))
    straight = copy.deepcopy(ready)
    assert apply(straight, case.after, tmp_path / "straight").ok
    assert {each.target for each in plan_of(straight, case.after, tmp_path / "straight").waiting} >= {"guest/g1"}
    for at in itertools.count(1):
        host, var = copy.deepcopy(ready), tmp_path / str(at)
        if not crashes(host, lambda host=host, var=var: apply(host, case.after, var), at):
            break
        assert apply(host, case.after, var).ok
        assert {n: f.definition for n, f in host.filters.items()} == {
            n: f.definition for n, f in straight.filters.items()
        }, at
    assert at > 6


def test_a_guard_made_in_one_round_may_be_the_next_ones_canary(tmp_path: Path) -> None:
    """g1 is to get what g3 has, and a variable that the changed filters ask for; g3 gives it up with a new guard."""
    policy = "policy: {disruption: guest-restart, rollout: canary}"
    common = {"ipv6": "none", "attach": "guard", "variable": "", "more": ""}
    guests = {f"g{n}": {"number": str(n), "ipv4": f"[10.0.0.{n}0]", **common} for n in (1, 2, 3)}
    guests["g3"] |= {"attach": "direct"}
    given = {"g1": "[10.0.0.30]", "g2": "[10.0.0.10]", "g3": "[10.0.0.40]"}
    later = {n: guests[n] | {"ipv4": own, "attach": "guard", "variable": "PEER"} for n, own in given.items()}
    case = Case(load(policy, guests), load(policy, later))
    host = host_of(case, tmp_path, random.Random(0))
    watch = watching(host, case)
    ended = apply(host, case.after, tmp_path)
    assert ended.ok, ended.error
    assert watch.wrong == []
    left = plan_of(host, case.after, tmp_path)
    assert (left.steps, left.waiting) == ((), ())
