"""What waits although the policy allows it: what is suspended, and addresses that another host still holds."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from sites import SITE, guest_yaml, host_as_wanted, host_with, site

from reconciler.errors import HostError
from reconciler.model.live import Live
from reconciler.model.plan import Plan, WaitReason
from reconciler.model.site import Desired
from reconciler.nwfilter.wanted import wanted_filters
from reconciler.plan.build import make_plan
from reconciler.plan.claims import Claim, Holding, claims, holdings, unreleased
from reconciler.plan.holding import Holds
from reconciler.records.suspensions import Suspension, read_suspensions, resume, suspend

NOW = datetime.now(UTC).replace(microsecond=0)
GUESTS = {"web01": guest_yaml("web01", 1, "[10.0.0.10]"), "db01": guest_yaml("db01", 2, "[10.0.0.20]")}
TWO = SITE + b"hosts: {kvm01: {}, kvm02: {}}\n"


def inspected(desired: Desired, *, wanted: bool = False) -> Live:
    host = host_as_wanted(desired) if wanted else host_with(desired)
    return host.inspect(definition.name for definition in wanted_filters(desired, "kvm01"))


def planned(desired: Desired, live: Live, *targets: str) -> Plan:
    holds: Holds = dict.fromkeys(targets, (WaitReason.SUSPENDED, "because"))
    return make_plan(desired, live, "kvm01", holds=holds)


def touched(plan: Plan) -> set[str]:
    return {step.action.target for step in plan.steps}


def test_a_suspended_guest_and_its_guard_are_left_alone_and_others_are_not() -> None:
    desired = site(GUESTS)
    live = inspected(desired)
    plan = planned(desired, live, "guest/web01")
    assert not any("web01" in target for target in touched(plan))
    assert "guest/db01" in touched(plan)
    assert {each.why for each in plan.waiting if "web01" in each.target} == {WaitReason.SUSPENDED}


def test_a_suspended_filter_is_left_alone_with_all_that_would_come_to_need_it() -> None:
    desired = site(GUESTS)
    plan = planned(desired, inspected(desired), "filter/guest-ipv4")
    assert "filter/guest-ipv4" not in touched(plan)
    assert not any(target.startswith("guest/") for target in touched(plan)), "they would refer to what is not there"


def test_on_a_suspended_host_nothing_is_changed() -> None:
    desired = site(GUESTS)
    plan = planned(desired, inspected(desired), "host")
    assert plan.steps == () and plan.waiting


def test_who_would_get_an_address_of_a_suspended_guest_waits_with_it() -> None:
    before = site(GUESTS)
    live = inspected(before, wanted=True)
    after = site({"web01": guest_yaml("web01", 1, "[10.0.0.11]"), "db01": guest_yaml("db01", 2, "[10.0.0.10]")})
    guards = {"filter/guard-web01-000001", "filter/guard-db01-000002"}
    assert guards <= touched(planned(after, live))
    assert not guards & touched(planned(after, live, "guest/web01"))


def test_a_hold_changes_the_plans_digest_only_by_its_steps() -> None:
    desired = site(GUESTS)
    live = inspected(desired)
    assert planned(desired, live, "guest/absent").digest == planned(desired, live).digest
    assert planned(desired, live, "guest/web01").digest != planned(desired, live).digest


# Suspensions


def suspension(target: str = "guest/web01", hours: int = 1) -> Suspension:
    return Suspension(target, "migration", NOW, NOW + timedelta(hours=hours), "root")


def test_a_suspension_is_kept_until_it_runs_out(tmp_path: Path) -> None:
    suspend(tmp_path, suspension())
    assert read_suspensions(tmp_path) == (suspension(),)
    assert read_suspensions(tmp_path, NOW + timedelta(hours=2)) == ()


def test_a_second_suspension_of_a_target_replaces_the_first(tmp_path: Path) -> None:
    suspend(tmp_path, suspension())
    suspend(tmp_path, suspension("host"))
    suspend(tmp_path, suspension(hours=5))
    assert read_suspensions(tmp_path) == (suspension("host"), suspension(hours=5))


def test_some_or_all_are_resumed(tmp_path: Path) -> None:
    for target in ("host", "guest/web01", "filter/x"):
        suspend(tmp_path, suspension(target))
    assert [each.target for each in resume(tmp_path, ("host", "guest/absent"))] == ["host"]
    assert len(resume(tmp_path, ())) == 2
    assert read_suspensions(tmp_path) == () and resume(tmp_path, ()) == ()


@pytest.mark.parametrize("text", ["{}", "[]", '{"suspensions": [{}]}', '{"suspensions": "x"}', "x"])
def test_a_record_of_suspensions_that_is_not_understood_stops_everything(tmp_path: Path, text: str) -> None:
    (tmp_path / "suspended.json").write_text(text)
    with pytest.raises(HostError, match="nothing was done"):
        read_suspensions(tmp_path)


def command(var: Path, *words: str, expected: int = 0) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "reconciler", "--site", "state", "--var", str(var), *words]
    ended = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert ended.returncode == expected, ended.stderr
    return ended


def test_the_verbs_say_what_is_suspended_why_and_until_when(tmp_path: Path) -> None:
    told = command(tmp_path, "suspend", "guest/web01", "--reason", "disk is being moved", "--for", "2h").stdout
    assert "guest/web01 is suspended" in told and "disk is being moved" in told
    found = json.loads(command(tmp_path, "--output", "json", "resume", "host").stdout)
    assert [each["target"] for each in found["suspensions"]] == ["guest/web01"]
    assert "not suspended: guest/wbe01" in command(tmp_path, "resume", "guest/wbe01").stdout
    assert "resumed: guest/web01" in command(tmp_path, "resume").stdout
    assert "nothing was suspended" in command(tmp_path, "resume").stdout


@pytest.mark.parametrize(
    "words", [["guest/../x"], ["web01"], ["host", "--for", "0h"], ["host", "--for", "soon"], ["filter/"], ["guest/a b"]]
)
def test_what_cannot_be_suspended_is_refused(tmp_path: Path, words: list[str]) -> None:
    ended = command(tmp_path, "suspend", *words, "--reason", "x", expected=2)
    assert "nothing was done" in ended.stderr and not list(tmp_path.iterdir())


def test_who_suspends_what_the_site_does_not_have_is_told(tmp_path: Path) -> None:
    told = command(tmp_path, "suspend", "guest/wbe01", "--reason", "x")
    assert "guest/wbe01 is suspended" in told.stdout
    assert told.stderr == "warning: the site has no guest/wbe01: did you mean guest/web01?\n"
    for target in ("host", "guest/web01", "filter/guest-arp", "filter/guard-web01-30fc2d"):
        assert not command(tmp_path, "suspend", target, "--reason", "x").stderr


@pytest.mark.parametrize("reason", ["", " ", "a\nb", "red \x1b[31m"])
def test_a_suspension_has_a_reason_on_one_line(tmp_path: Path, reason: str) -> None:
    ended = command(tmp_path, "suspend", "host", "--reason", reason, expected=2)
    assert "nothing was done" in ended.stderr and not list(tmp_path.iterdir())


# Addresses between hosts

MOVED = {
    "before": {"a": ("kvm02", "[10.0.0.10]"), "b": ("kvm01", "[10.0.0.20]")},
    "after": {"a": ("kvm02", "[10.0.0.11]"), "b": ("kvm01", "[10.0.0.10]")},
}


def two_hosts(guests: dict[str, tuple[str, str]]) -> Desired:
    files = {
        name: guest_yaml(name, number, addresses, more=f"hosts: [{host}]")
        for number, (name, (host, addresses)) in enumerate(sorted(guests.items()), 1)
    }
    return site(files, TWO)


def on_kvm01(desired: Desired) -> Live:
    only = site({g.name: guest_yaml(g.name, 2, "[10.0.0.20]") for g in desired.guests_on("kvm01")})
    return inspected(only, wanted=True)


def networks(*texts: str) -> frozenset[object]:
    return frozenset(ip_network(text) for text in texts)


def test_an_address_that_another_host_had_is_a_claim_that_waits_for_that_host() -> None:
    before, after = two_hosts(MOVED["before"]), two_hosts(MOVED["after"])
    [claim] = claims(before, after, on_kvm01(before), "kvm01")
    assert claim == Claim("b", networks("10.0.0.10/32"), frozenset({"kvm02"}))  # type: ignore[arg-type]
    assert unreleased(claim, [], {}) == "kvm02"
    assert unreleased(claim, ["kvm02"], {}) is None


def test_a_host_that_reached_the_commit_and_still_holds_the_address_is_waited_for() -> None:
    claim = Claim("b", networks("10.0.0.10/32"), frozenset({"kvm02"}))  # type: ignore[arg-type]
    held = {"kvm02": (Holding("a", networks("10.0.0.8/29")),)}  # type: ignore[arg-type]
    assert unreleased(claim, ["kvm02"], held) == "kvm02"


def test_a_host_that_nobody_knew_to_have_the_address_is_waited_for_when_it_says_so() -> None:
    claim = Claim("b", networks("10.0.0.10/32"))  # type: ignore[arg-type]
    held = {"kvm03": (Holding("stranger", networks("10.0.0.10/32")),)}  # type: ignore[arg-type]
    assert unreleased(claim, [], held) == "kvm03"
    assert unreleased(claim, [], {"kvm03": (Holding("b", claim.networks),)}) is None, "it is the same guest, moving"


def test_what_is_held_here_already_is_no_claim() -> None:
    before = two_hosts(MOVED["before"])
    assert claims(before, before, on_kvm01(before), "kvm01") == ()


def test_a_new_address_that_nobody_had_is_a_claim_that_waits_for_nobody() -> None:
    before = two_hosts(MOVED["before"])
    after = two_hosts({**MOVED["before"], "b": ("kvm01", "[10.0.0.99]")})
    [claim] = claims(before, after, on_kvm01(before), "kvm01")
    assert claim.hosts == frozenset() and unreleased(claim, [], {}) is None


def test_a_guest_that_moves_with_its_address_waits_for_nobody() -> None:
    before = two_hosts({"a": ("kvm02", "[10.0.0.10]")})
    after = two_hosts({"a": ("kvm01", "[10.0.0.10]")})
    [claim] = claims(before, after, inspected(site({})), "kvm01")
    assert claim.hosts == frozenset()


def test_an_owner_without_hosts_may_be_on_every_other_one() -> None:
    before = site({"a": guest_yaml("a", 1, "[10.0.0.10]")}, TWO)
    after = two_hosts({"b": ("kvm01", "[10.0.0.10]")})
    [claim] = claims(before, after, inspected(site({})), "kvm01")
    assert claim.hosts == {"kvm02"}


def test_what_a_host_holds_is_what_its_filters_allow_whatever_the_site_says() -> None:
    desired = site(GUESTS)
    assert holdings(inspected(desired)) == ()
    found = holdings(inspected(desired, wanted=True))
    assert [(each.guest, sorted(map(str, each.networks))) for each in found] == [
        ("db01", ["10.0.0.20/32"]),
        ("web01", ["10.0.0.10/32"]),
    ]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{}", "[]", '{"held": 1}', '{"held": [1, {}, {"guest": "a", "addresses": ["x"]}]}', "\x00"]
)
def test_a_report_that_is_none_releases_nothing_and_breaks_nothing(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from reconciler.publish import branch
    from reconciler.settings import Settings
    from reconciler.stories import releasing

    monkeypatch.setattr(branch, "read_reports", lambda _repository, hosts: dict.fromkeys(hosts, text))
    settings = Settings(repository=str(tmp_path), var=tmp_path / "var")
    told = dict(releasing._reports(settings, ["kvm02"]))
    assert not any(releasing._has_reached(settings, report, "c" * 40) for report in told.values())
    assert all(list(releasing._holdings(report)) == [] for report in told.values())
