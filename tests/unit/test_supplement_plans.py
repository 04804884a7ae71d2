"""The supplement on a host: drift, the steps that bring it, their order and revert, and the gate beside it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Network
from pathlib import Path

import pytest
from adopting import adopted, reasons
from hypothesis import given, settings
from hypothesis import strategies as st
from sites import EXAMPLE, SITE, guest_yaml, host_as_wanted, mac, site
from sizes import examples

from reconciler.diff import diff
from reconciler.errors import HostError
from reconciler.execute.executor import execute
from reconciler.execute.journal import Journal
from reconciler.execute.runs import read_runs
from reconciler.host.memory import MemoryHost
from reconciler.load import load
from reconciler.model.actions import SetSupplement
from reconciler.model.outcome import Execution
from reconciler.model.plan import Plan
from reconciler.model.site import Desired
from reconciler.model.supplement import Element, FloodLimit, Supplement
from reconciler.nwfilter.supplement import supplement_of, with_rules
from reconciler.plan.build import make_plan
from reconciler.source.folder import read_folder

ON = SITE + b"policy: {supplement: nftables}\n"
A = guest_yaml("a", 1, "[10.0.0.11]", '["2001:db8::11"]')
B = guest_yaml("b", 2, "[10.0.0.12]", '["2001:db8::12"]')
HOST = "kvm01"


def on(**guests: bytes) -> Desired:
    return site(guests or {"a": A, "b": B}, ON)


def without_it(desired: Desired) -> MemoryHost:
    """All else is as the site wants it, what is stored too."""
    host = host_as_wanted(desired)
    for name, domain in host.domains.items():
        stored = tuple(replace(nic, port=None) for nic in domain.live)
        host.domains[name] = replace(domain, persistent=stored, persistent_xml=domain.live_xml)
    return host


def as_wanted(desired: Desired) -> MemoryHost:
    host = without_it(desired)
    host.beside = supplement_of(desired, HOST)
    return host


def plan(desired: Desired, host: MemoryHost) -> Plan:
    return make_plan(desired, host.inspect(), HOST)


def run(made: Plan, host: MemoryHost, var: Path, broken: bool = False) -> Execution:
    reason = HostError("it does not hold") if broken else None
    with Journal(var / "journal", made) as journal:
        return execute(made, host, journal, lambda _event, _step: None, lambda: reason)


def fields(desired: Desired, host: MemoryHost) -> list[tuple[str, str]]:
    return [(drift.object, drift.field) for drift in diff(desired, host.inspect(), HOST)]


def targets(found: Supplement | None, number: int) -> set[str]:
    return (
        {each.value for each in found.elements if (each.set, each.mac) == ("targets", mac(number))} if found else set()
    )


def held(host: MemoryHost, port: str) -> str:
    """The rules of a port, as text."""
    return " ".join(rule.text for chain in host.installed[port].ethernet.chains for rule in chain.rules)


def test_off_by_default_and_then_nothing_is_asked_for() -> None:
    off = site({"a": A})
    assert supplement_of(off, HOST) is None
    assert not fields(off, without_it(off))


def test_turning_on_is_one_step_and_idempotent(tmp_path: Path) -> None:
    host = without_it(on())
    assert fields(on(), host) == [("table/reconciler", "supplement")]
    made = plan(on(), host)
    assert [step.id for step in made.steps] == ["supplement"]
    assert (made.rebuilds, str(made.disruption)) == (0, "none")
    assert run(made, host, tmp_path).ok
    assert host.beside == supplement_of(on(), HOST)
    assert not fields(on(), host) and not plan(on(), host).steps


def test_turning_off_takes_it_away(tmp_path: Path) -> None:
    host, off = as_wanted(on()), site({"a": A, "b": B})
    made = plan(off, host)
    assert [step.id for step in made.steps] == ["supplement"]
    assert run(made, host, tmp_path).ok
    assert host.beside is None and not fields(off, host)


@pytest.mark.parametrize("broken", ["rule", "foreign", "element"])
def test_what_is_not_ours_or_lacks_is_drift_and_repaired(broken: str, tmp_path: Path) -> None:
    host = as_wanted(on())
    assert host.beside
    (hook, *others), elements = host.beside.rules, host.beside.elements
    host.beside = {
        "rule": replace(host.beside, rules=((hook[0], ()), *others)),
        "foreign": replace(host.beside, others=("chain theirs: ",)),
        "element": replace(host.beside, elements=(*elements, Element("targets", mac(1), "::/0"))),
    }[broken]
    assert (
        fields(on(), host)
        == {
            "rule": [("table/reconciler", "supplement.rules.supplement")],
            "foreign": [("table/reconciler", "supplement.others")],
            "element": [("guest/a", f"{mac(1)}.supplement.targets")],
        }[broken]
    )
    assert run(plan(on(), host), host, tmp_path).ok
    assert host.beside == supplement_of(on(), HOST)


def test_a_step_is_taken_back_to_what_was_there(tmp_path: Path) -> None:
    host = as_wanted(on())
    before = host.beside
    moved = on(a=guest_yaml("a", 1, "[10.0.0.11]", '["2001:db8::99"]'), b=B)
    found = run(plan(moved, host), host, tmp_path, broken=True)
    assert not found.ok and not found.unreverted
    assert host.beside == before and not fields(on(), host)


def test_the_journal_gives_the_same_action_back(tmp_path: Path) -> None:
    host = without_it(on())
    made = plan(on(), host)
    run(made, host, tmp_path)
    [(_, action)] = read_runs(tmp_path / "journal")[0].done()
    assert action == made.steps[0].action and isinstance(action, SetSupplement)


def test_a_new_address_is_given_last_and_an_old_one_taken_first(tmp_path: Path) -> None:
    """At every instant the table allows no more than both the old and the new state, until all ports are changed."""
    host = as_wanted(on())
    moved = on(a=guest_yaml("a", 1, "[10.0.0.11]", '["2001:db8::99"]'), b=B)
    made = plan(moved, host)
    assert (made.steps[0].id, made.steps[-1].id) == ("supplement:narrow", "supplement")
    assert len(made.steps) == 3
    seen: list[set[str]] = []
    host.on_change = lambda each: seen.append(targets(each.beside, 1))
    assert run(made, host, tmp_path).ok
    own = "fe80::5054:ff:fe00:1/128"
    assert seen[0] == {own} and seen[-1] == {own, "2001:db8::99/128"}
    assert all(each == {own} for each in seen[:-1])


@settings(max_examples=examples(15, 100), deadline=None)
@given(st.permutations(["2001:db8::11", "2001:db8::12", "2001:db8::13"]), st.permutations([0, 1, 2]))
def test_no_two_guests_may_ever_claim_one_address(given: list[str], order: list[int]) -> None:
    """P4 through swaps and circles, in the table as in the ports."""
    import tempfile

    names = ("a", "b", "c")

    def of(addresses: list[str]) -> Desired:
        return on(**{n: guest_yaml(n, i + 1, "none", f'["{addresses[i]}"]') for i, n in enumerate(names)})

    host, after = as_wanted(of(given)), of([given[i] for i in order])

    def look(each: MemoryHost) -> None:
        for number in (1, 2, 3):
            others = [held(each, f"vnet{other}") for other in range(3) if other != number - 1]
            for target in targets(each.beside, number):
                assert not any(f" {target.removesuffix('/128')} " in text for text in others), target

    host.on_change = look
    with tempfile.TemporaryDirectory() as var:
        made = plan(after, host)
        assert not made.waiting
        assert not made.steps or run(made, host, Path(var)).ok
    assert not fields(after, host)


def test_a_guest_on_hold_keeps_what_the_table_has_of_it(tmp_path: Path) -> None:
    host = as_wanted(on())
    held = guest_yaml("a", 1, "[10.0.0.11]", '["2001:db8::99"]', more="hold: true")
    wanted = on(a=held, b=guest_yaml("b", 2, "[10.0.0.12]", '["2001:db8::98"]'))
    made = plan(wanted, host)
    assert any(each.target == "host" for each in made.waiting)
    assert run(made, host, tmp_path).ok
    assert "2001:db8::11/128" in targets(host.beside, 1)
    assert "2001:db8::98/128" in targets(host.beside, 2)
    assert not [step for step in plan(wanted, host).steps if step.action.kind == "set-supplement"]


def test_a_guest_that_leaves_the_site_is_let_go_last(tmp_path: Path) -> None:
    host = as_wanted(on())
    made = plan(on(a=A), host)
    assert [step.id for step in made.steps][-1:] == ["supplement"]
    assert run(made, host, tmp_path).ok
    assert not targets(host.beside, 2)


def test_a_changed_table_is_not_overwritten_by_an_old_plan(tmp_path: Path) -> None:
    host = without_it(on())
    made = plan(on(), host)
    host.beside = supplement_of(on(a=A), HOST)
    found = run(made, host, tmp_path)
    assert not found.ok and "somebody else" in str(found.error)


def test_what_the_site_ignores_is_left() -> None:
    text = ON + b'ignore: [{object: "table/reconciler", field: "supplement*", reason: "by hand"}]\n'
    desired = site({"a": A, "b": B}, text)
    host = without_it(desired)
    assert not plan(desired, host).steps
    assert not desired.warnings


def ignoring(object: str, field: str, **guests: bytes) -> Desired:
    text = ON + f'ignore: [{{object: "{object}", field: "{field}", reason: "by hand"}}]\n'.encode()
    return site(guests or {"a": A, "b": B}, text)


def test_what_is_ignored_of_one_interface_stays_while_others_are_brought(tmp_path: Path) -> None:
    host = as_wanted(on())
    assert host.beside
    theirs = Element("targets", mac(1), "2001:db8::77/128")
    host.beside = replace(host.beside, elements=tuple(sorted((*host.beside.elements, theirs))))
    alone = ignoring("guest/a", "*.supplement.*")
    assert not plan(alone, host).steps
    moved = ignoring("guest/a", "*.supplement.*", a=A, b=guest_yaml("b", 2, "[10.0.0.12]", '["2001:db8::98"]'))
    assert run(plan(moved, host), host, tmp_path).ok
    assert theirs in host.beside.elements and "2001:db8::98/128" in targets(host.beside, 2)
    assert not plan(moved, host).steps
    assert plan(on(), host).steps


def test_what_is_ignored_of_its_rules_stays_while_elements_are_brought(tmp_path: Path) -> None:
    host = as_wanted(on())
    assert host.beside
    host.beside = replace(host.beside, rules=host.beside.rules[:-1], others=("chain theirs: ",))
    before = host.beside
    assert not plan(ignoring("table/reconciler", "supplement.*"), host).steps
    changed = guest_yaml("a", 1, "[10.0.0.11]", '["2001:db8::99"]')
    moved = ignoring("table/reconciler", "supplement.*", a=changed, b=B)
    found = run(plan(moved, host), host, tmp_path)
    assert found.ok and (host.beside.rules, host.beside.others) == (before.rules, before.others)
    assert "2001:db8::99/128" in targets(host.beside, 1)
    assert run(plan(on(), host), host, tmp_path / "all").ok and host.beside == supplement_of(on(), HOST)


def test_every_address_of_the_site_is_there_before_its_guest() -> None:
    wanted = supplement_of(on(), HOST)
    assert targets(wanted, 1) == {"2001:db8::11/128", "fe80::5054:ff:fe00:1/128"}
    assert all(IPv6Network(each) for each in targets(wanted, 2))


def test_a_guest_is_adopted_although_the_table_does_not_have_it_yet() -> None:
    host = without_it(on(a=A, b=guest_yaml("b", 2, "[10.0.0.12]", '["2001:db8::12"]', attach="direct")))
    host.beside = supplement_of(on(a=A), HOST)
    filters = {path: content for path, content in read_folder(EXAMPLE).items() if path.startswith("filters/")}
    done = adopted(host, {"site.yaml": ON, **filters, "guests/a.yaml": A})
    assert "guests/b.yaml" in done.files, reasons(done)


def test_a_new_site_has_the_supplement_where_its_host_has_it() -> None:
    """And is empty of drift either way."""
    for limit in (None, FloodLimit(20, 30)):
        host = without_it(on(a=guest_yaml("a", 1, "[10.0.0.11]", '["2001:db8::11"]', attach="direct")))
        host.beside = with_rules((supplement_of(on(a=A), HOST) or Supplement()).elements, limit)
        done = adopted(host)
        made = load(done.files, "a draft")
        assert (made.policy.supplement, made.policy.flood_limit) == (True, limit)
        assert limit or not fields(made, host)
        host.beside = None
        made = load(adopted(host).files, "a draft")
        assert not made.policy.supplement and not fields(made, host)
