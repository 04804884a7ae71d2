"""The limit on floods: its text, how it is read back, who is told of it, and the steps that bring and remove it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from interfaces import interface
from sites import EXAMPLE, SITE, guest_yaml, mac
from sites import site as site_of
from test_supplement_plans import HOST, A, B, as_wanted, fields, plan, run

from reconciler.diff import changes
from reconciler.execute.runs import read_runs
from reconciler.load import examine
from reconciler.model.actions import SetSupplement
from reconciler.model.site import Desired
from reconciler.model.supplement import Element, FloodLimit, Supplement
from reconciler.nwfilter.battery import battery
from reconciler.nwfilter.floods import FLOODS, LIMITED, flood_cases, limit_in
from reconciler.nwfilter.supplement import commands, elements_of, supplement_of, with_rules
from reconciler.nwfilter.supplement_read import parse_supplement
from reconciler.nwfilter.supplement_walk import SupplementWalker
from reconciler.nwfilter.verdicts import verdict_changes
from reconciler.source.folder import read_folder

SAMPLES = Path(__file__).parents[1] / "samples"
DUAL = interface(["10.0.0.10"], ["2001:db8::10", "2001:db8:5::/64"])
LIMIT = FloodLimit(50, 100)
WANTED = with_rules(elements_of(DUAL, is_limited=True), LIMIT)


def limited(words: str = "{rate: 50, burst: 100}", **guests: bytes) -> Desired:
    text = SITE + f"policy: {{supplement: nftables, flood_limit: {words}}}\n".encode()
    return site_of(guests or {"a": A, "b": B}, text)


def unlimited() -> Desired:
    return site_of({"a": A, "b": B}, SITE + b"policy: {supplement: nftables}\n")


def test_its_text_reads_as_written() -> None:
    """After a wanted change: look at the text, then write it anew."""
    lines = [line for line in commands(WANTED) if "flood" in line or "limited" in line]
    assert "\n".join((*lines, "")) == (SAMPLES / "flood_limit.nft").read_text()


def test_what_nft_lists_is_read_as_what_was_written_whoever_is_counted_just_now() -> None:
    listed = (SAMPLES / "flood_limit.json").read_text()
    assert '"expires"' in listed
    assert parse_supplement(listed) == WANTED
    assert limit_in(WANTED) == LIMIT


@pytest.mark.parametrize("change", [{"rate": 51}, {"burst": 99}, {"per": "minute"}, {"inv": False}], ids=str)
def test_a_limit_that_somebody_changed_is_another_rule(change: dict[str, object]) -> None:
    listed = json.loads((SAMPLES / "flood_limit.json").read_text())
    rule = next(i["rule"] for i in listed["nftables"] if i.get("rule", {}).get("chain") == FLOODS)
    next(each["set"] for each in rule["expr"] if "set" in each)["stmt"][0]["limit"].update(change)
    found = parse_supplement(json.dumps(listed))
    assert found and found != WANTED and limit_in(found) is None
    assert [case.holds for case in flood_cases(found, DUAL.mac, LIMIT)] == [False]


def test_it_adds_three_rules_however_many_guests_there_are() -> None:
    many = [replace(DUAL, mac=f"52:54:00:00:{n >> 8:02x}:{n & 255:02x}") for n in range(1000)]
    whole = with_rules((each for one in many for each in elements_of(one, is_limited=True)), LIMIT)
    assert len(whole.chain(FLOODS)) == 3
    assert sum(each.set == LIMITED for each in whole.elements) == 1000


def test_one_frame_alone_is_never_over_it() -> None:
    without = SupplementWalker(with_rules(elements_of(DUAL)))
    walker = SupplementWalker(WANTED)
    assert all(walker.dropped_by(case.frame) == without.dropped_by(case.frame) for case in battery(DUAL))


def test_a_foreign_rule_beside_the_limit_is_walked() -> None:
    (drop,) = with_rules((), None).chain("supplement-rs")[-1:]
    whole = Supplement(WANTED.elements, (*WANTED.rules[:-1], (FLOODS, (drop,))))
    walker = SupplementWalker(whole)
    assert all(walker.dropped_by(case.frame) for case in battery(DUAL))


def test_it_is_off_by_default_and_the_burst_is_two_seconds_worth() -> None:
    assert unlimited().policy.flood_limit is None
    assert limited("{rate: 50}").policy.flood_limit == LIMIT


@pytest.mark.parametrize(
    ("policy", "id"),
    [
        ("{flood_limit: {rate: 50}}", "flood-limit-without-supplement"),
        ("{supplement: nftables, flood_limit: {rate: 1, burst: 61}}", "flood-limit-burst"),
    ],
)
def test_a_limit_that_cannot_hold_is_refused(policy: str, id: str) -> None:
    filters = {path: text for path, text in read_folder(EXAMPLE).items() if path.startswith("filters/")}
    files = {**filters, "site.yaml": SITE + f"policy: {policy}\n".encode(), "guests/a.yaml": A}
    assert [each.id for each in examine(files, "test")[1]] == [id]


def test_turning_it_on_and_off_is_one_step_each(tmp_path: Path) -> None:
    host = as_wanted(unlimited())
    assert ("table/reconciler", f"supplement.rules.{FLOODS}") in fields(limited(), host)
    for wanted in (limited(), limited("{rate: 20}"), unlimited()):
        made = plan(wanted, host)
        assert [step.id for step in made.steps] == ["supplement"]
        assert run(made, host, tmp_path / str(wanted.policy.flood_limit)).ok
        assert host.beside == supplement_of(wanted, HOST) and not fields(wanted, host)


def test_a_limit_is_taken_back_to_the_one_before(tmp_path: Path) -> None:
    host = as_wanted(limited())
    found = run(plan(limited("{rate: 20}"), host), host, tmp_path, broken=True)
    assert not found.ok and not found.unreverted
    assert host.beside == supplement_of(limited(), HOST)


def test_the_journal_gives_the_same_limit_back(tmp_path: Path) -> None:
    host = as_wanted(limited())
    made = plan(limited("{rate: 20}"), host)
    run(made, host, tmp_path)
    [(_, action)] = read_runs(tmp_path / "journal")[0].done()
    assert action == made.steps[0].action and isinstance(action, SetSupplement)
    assert (action.limit, action.replaced_limit) == (FloodLimit(20, 40), LIMIT)


def test_a_guest_that_is_not_counted_any_more_is_drift_and_not_enforced(tmp_path: Path) -> None:
    host = as_wanted(limited())
    assert host.beside
    lacking = tuple(each for each in host.beside.elements if each != Element(LIMITED, mac(1)))
    host.beside = replace(host.beside, elements=lacking)
    assert fields(limited(), host) == [("guest/a", f"{mac(1)}.supplement.limited")]
    cases = [flood_cases(host.beside, mac(n), LIMIT)[0].holds for n in (1, 2)]
    assert cases == [False, True]
    assert run(plan(limited(), host), host, tmp_path).ok and not fields(limited(), host)


def test_a_guest_with_ipv4_alone_is_counted_too() -> None:
    only = limited(a=guest_yaml("a", 1, "[10.0.0.11]"))
    assert Element(LIMITED, mac(1)) in (supplement_of(only, HOST) or Supplement()).elements


def test_a_merge_request_is_told_what_it_opens() -> None:
    given = [unlimited(), limited(), limited("{rate: 60, burst: 100}"), limited("{rate: 50, burst: 99}")]
    given.append(limited("{rate: 50, burst: 101}"))
    none, before = given[:2]
    told = {
        (was, will): {each.opens for each in verdict_changes(given[was], given[will])}
        for was, will in ((0, 1), (1, 0), (1, 2), (1, 4), (1, 3), (1, 1))
    }
    assert told == {(0, 1): {False}, (1, 0): {True}, (1, 2): {True}, (1, 4): {True}, (1, 3): {False}, (1, 1): set()}
    assert [(c.object, c.field, c.after) for c in changes(none, before)] == [
        ("site", "policy.flood_limit", "50 a second, 100 at once")
    ]
