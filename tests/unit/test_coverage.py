"""What an interface's filter covers: flags, leaks and score, from verdicts and not from names."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from interfaces import INEXPRESSIBLE, filterref, interface, shared_filters
from rich.console import Console
from sites import EXAMPLE, example_without_supplement, guest_yaml, host_as_wanted, host_with, mac, site

from reconciler import app
from reconciler.host.memory import MemoryHost
from reconciler.model.coverage import Coverage, Flag, InterfaceStatus
from reconciler.model.filter import FilterRef, NwFilter, Rule
from reconciler.model.guest import Interface
from reconciler.model.kernel import Ruleset
from reconciler.model.outcome import Proof
from reconciler.model.site import Desired, Segment
from reconciler.nwfilter.battery import Direction, battery
from reconciler.nwfilter.coverage import JudgedFrame, coverage
from reconciler.nwfilter.evaluate import Evaluator
from reconciler.nwfilter.expand import expand
from reconciler.nwfilter.guard import learns_addresses
from reconciler.nwfilter.parse import parse_filter
from reconciler.nwfilter.prove import judged
from reconciler.nwfilter.status import status_of_host, status_of_site
from reconciler.report.guests import show_status
from reconciler.settings import Settings

SHARED = shared_filters()
DUAL = interface(["10.0.0.10", "10.0.1.16/29"], ["2001:db8::10", "2001:db8:5::/64"])
FORMS = {"dual": DUAL, "ipv4": interface(["10.0.0.10"]), "ipv6": interface(ipv6=["2001:db8::10"]), "none": interface()}
GUESTS = {
    "web01": guest_yaml("web01", 1, "[10.0.0.10]", '["2001:db8::10"]'),
    "db01": guest_yaml("db01", 2, "[10.0.0.20]", attach="direct"),
}
LEARNING = parse_filter(
    b"<filter name='learning'><rule action='accept' direction='out'><ip srcipaddr='$IP'/></rule></filter>"
)


def covered(
    subject: Interface, filters: Mapping[str, NwFilter] = SHARED, segment: Segment | None = None, learns: bool = False
) -> Coverage:
    return counted(subject, Evaluator.of(expand(filters.get, filterref(subject), subject.mac, "p0")), segment, learns)


def counted(subject: Interface, evaluator: Evaluator, segment: Segment | None = None, learns: bool = False) -> Coverage:
    cases = battery(subject)
    verdicts = judged(evaluator, "p0", subject.mac, cases)
    frames = [JudgedFrame(c.frame, v, c.direction is Direction.OUT) for c, v in zip(cases, verdicts, strict=True)]
    return coverage(subject, frames, segment, learns=learns)


def without(unwanted: Callable[[Rule], bool]) -> dict[str, NwFilter]:
    """The shared filters without some of their rules."""
    return {
        name: replace(each, entries=tuple(e for e in each.entries if not (isinstance(e, Rule) and unwanted(e))))
        for name, each in SHARED.items()
    }


def attribute(name: str, value: str) -> Callable[[Rule], bool]:
    return lambda rule: any((name, value) in match.attributes for match in rule.matches)


class TestFlags:
    @pytest.mark.parametrize(
        ("form", "flags"),
        [
            ("dual", {Flag.NO_ND_GUARD}),
            ("ipv4", {Flag.IPV4_ONLY}),
            ("ipv6", {Flag.NO_ND_GUARD}),
            ("none", set()),
        ],
    )
    def test_of_the_shared_filters(self, form: str, flags: set[Flag]) -> None:
        found = covered(FORMS[form])
        assert set(found.flags) == flags
        assert set(found.leaks) == (INEXPRESSIBLE if Flag.NO_ND_GUARD in flags else set())

    def test_what_no_rule_can_express_is_counted_and_not_hidden(self) -> None:
        found = covered(DUAL)
        assert (found.right, found.total) == (len(battery(DUAL)) - len(INEXPRESSIBLE), len(battery(DUAL)))
        assert found.score == found.right / found.total < 1
        assert covered(FORMS["ipv4"]).score == 1

    def test_without_any_rule_everything_leaks(self) -> None:
        found = counted(DUAL, Evaluator(Ruleset()))
        assert set(found.flags) == {
            Flag.UNFILTERED, Flag.NO_RA_GUARD, Flag.NO_ND_GUARD, Flag.NO_DHCP_SERVER_GUARD,
        }  # fmt: skip
        assert set(found.leaks) == {case.id for case in battery(DUAL) if case.expected == "drop"}
        assert found.right == sum(case.expected == "pass" for case in battery(DUAL))

    @pytest.mark.parametrize(
        ("missing", "flag", "leak"),
        [
            (attribute("type", "134"), Flag.NO_RA_GUARD, "ext-ra-hop-by-hop"),
            (attribute("dstportstart", "68"), Flag.NO_DHCP_SERVER_GUARD, "dhcpv4-server"),
            (attribute("dstportstart", "546"), Flag.NO_DHCP_SERVER_GUARD, "dhcpv6-server"),
        ],
    )
    def test_a_rule_that_is_not_there_is_a_guard_that_is_not_there(
        self, missing: Callable[[Rule], bool], flag: Flag, leak: str
    ) -> None:
        found = covered(DUAL, without(missing))
        assert set(found.flags) == {flag, Flag.NO_ND_GUARD}
        assert leak in found.leaks
        assert found.score < covered(DUAL).score

    def test_ipv6_that_passes_or_is_dropped_unjudged_is_ipv4_only(self) -> None:
        no_ipv6 = {**SHARED, "guest-ipv6-source": replace(SHARED["guest-ipv6-source"], entries=())}
        passes = parse_filter(
            b"<filter name='guest-ipv6-source'><rule action='accept' direction='out'><ipv6/></rule></filter>"
        )
        for filters in (no_ipv6, {**SHARED, passes.name: passes}):
            assert Flag.IPV4_ONLY in covered(DUAL, filters).flags
        assert Flag.NO_RA_GUARD in covered(DUAL, {**SHARED, passes.name: passes}).flags
        assert Flag.NO_RA_GUARD not in covered(DUAL, no_ipv6).flags

    @pytest.mark.parametrize(
        ("ipv4", "ipv6", "is_wide"),
        [
            (["10.0.0.0/24"], [], True),
            (["10.0.0.0/16"], [], True),
            (["10.0.0.0/25"], [], False),
            (["10.1.0.0/24"], [], False),
            ([], ["2001:db8::/48"], True),
            ([], ["2001:db8::/64"], False),
        ],
    )
    def test_a_prefix_as_wide_as_the_segment(self, ipv4: list[str], ipv6: list[str], is_wide: bool) -> None:
        segment = Segment("lan", "br0", (IPv4Network("10.0.0.0/24"),), (IPv6Network("2001:db8::/48"),))
        subject = interface(ipv4, ipv6)
        assert (Flag.WIDE_PREFIX in covered(subject, segment=segment).flags) is is_wide
        assert Flag.WIDE_PREFIX not in covered(subject).flags

    @pytest.mark.parametrize(
        ("parameters", "learns"),
        [
            ((), True),
            ((("CTRL_IP_LEARNING", "any"),), True),
            ((("CTRL_IP_LEARNING", "dhcp"),), True),
            ((("CTRL_IP_LEARNING", "none"),), False),
            ((("IP", "10.0.0.10"),), False),
            ((("IPV6", "2001:db8::10"),), True),
        ],
    )
    def test_an_address_that_is_not_given_is_learned(
        self, parameters: tuple[tuple[str, str], ...], learns: bool
    ) -> None:
        filters = {"learning": LEARNING, "outer": NwFilter("outer", entries=(FilterRef("learning"),))}
        for name in filters:
            assert learns_addresses(filters.get, FilterRef(name, parameters)) is learns
        given = NwFilter("given", entries=(FilterRef("learning", (("IP", "10.0.0.10"),)),))
        assert not learns_addresses({**filters, "given": given}.get, FilterRef("given"))
        assert not learns_addresses(filters.get, None)
        assert (Flag.ADDRESS_LEARNING in covered(DUAL, learns=learns).flags) is learns


def status(desired: Desired, host: MemoryHost) -> dict[str, InterfaceStatus]:
    found = app.status_of(Settings(var=Path("/nonexistent")), app.survey(desired, host, "kvm01"), whole_battery=True)
    return {each.mac: each for each in found}


class TestStatus:
    def test_a_running_guest_behind_its_filter_is_enforced(self) -> None:
        desired = site(GUESTS)
        found = status(desired, host_as_wanted(desired))
        assert {each.state for each in found.values()} == {Proof.ENFORCED}
        assert [(found[mac(n)].guest, found[mac(n)].filter) for n in (1, 2)] == [
            ("web01", "guest-dual-stack"),
            ("db01", "guest-ipv4"),
        ]
        foretold = {each.mac: each.coverage for each in status_of_site(desired, desired.guests, whole_battery=True)}
        assert {each.mac: each.coverage for each in found.values()} == foretold

    def test_it_says_of_each_what_verify_says(self) -> None:
        desired = site(GUESTS)
        for host in (host_as_wanted(desired), host_with(desired), host_with(desired, running=False)):
            seen = app.survey(desired, host, "kvm01")
            proofs = {proof.mac: proof.proof for proof in app.proofs_of(seen, whole_battery=True)}
            assert {mac: each.state for mac, each in status(desired, host).items()} == proofs

    def test_a_port_without_rules_is_unfiltered(self) -> None:
        desired = site(GUESTS)
        host = host_as_wanted(desired)
        host.set_live_filterref("web01", mac(1), None)
        found = status(desired, host)[mac(1)]
        assert (found.state, found.filter) == (Proof.ABSENT, None)
        assert found.coverage and found.coverage.flags[0] is Flag.UNFILTERED

    def test_a_guest_that_does_not_run_is_told_by_its_filter(self) -> None:
        desired = site(GUESTS)
        found = status(desired, host_with(desired, running=False))[mac(1)]
        assert (found.state, found.port, found.filter) == (Proof.NOT_RUNNING, None, "guest-dual-stack")
        assert found.coverage and set(found.coverage.leaks) == INEXPRESSIBLE

    def test_a_port_behind_another_filter_shows_that_one_and_whether_it_learns(self) -> None:
        desired = site(GUESTS)
        host = host_as_wanted(desired)
        host.define_filter("<filter name='learning'><rule action='drop' direction='out'><arp/></rule></filter>")
        host.set_live_filterref("db01", mac(2), FilterRef("learning"))
        held = host.filters["learning"]
        host.filters["learning"] = replace(held, definition=LEARNING)
        found = status(desired, host)[mac(2)]
        assert found.filter == "learning"
        assert found.coverage and Flag.ADDRESS_LEARNING in found.coverage.flags

    def test_an_interface_that_no_file_mentions_is_not_left_out(self) -> None:
        desired = site(GUESTS)
        host = host_as_wanted(desired)
        fewer = replace(
            desired, guests=tuple(replace(g, interfaces=()) if g.name == "db01" else g for g in desired.guests)
        )
        found = status(fewer, host)[mac(2)]
        assert (found.guest, found.state, found.coverage) == ("db01", Proof.UNGUARDED, None)

    def test_libvirts_own_filters_are_not_foretold(self) -> None:
        desired = site({"db01": GUESTS["db01"] + b"    filter: clean-traffic\n"})
        [found] = status_of_site(desired, desired.guests, whole_battery=True)
        assert (found.filter, found.state, found.coverage) == ("clean-traffic", None, None)

    def test_without_scapy_the_core_cases_are_counted(self) -> None:
        desired = site(GUESTS)
        found = status_of_site(desired, desired.guests, whole_battery=False)
        assert all(each.coverage and each.coverage.score == 1 for each in found)


def command(*arguments: str, folder: Path = EXAMPLE) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "reconciler", "--site", str(folder), *arguments]
    return subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)


class TestCommand:
    def test_the_example_leaks_nothing(self) -> None:
        ended = command("status", "--desired")
        lines = {line.split()[0]: line for line in ended.stdout.splitlines()}
        assert "100 %" in lines["web01"] and "100 %" in lines["db01"] and "leaks" not in lines

    def test_the_site_alone_needs_no_host(self, tmp_path: Path) -> None:
        ended = command("status", "--desired", folder=example_without_supplement(tmp_path))
        assert ended.returncode == 0, ended.stderr
        lines = {line.split()[0]: line for line in ended.stdout.splitlines()}
        assert lines["web01"].split()[1:5] == ["52:54:00:30:fc:2d", "guest-dual-stack", "not", "asked"]
        assert lines["web01"].endswith(" %   no-nd-guard") and "100 %" in lines["db01"]
        assert "nd-na-foreign-target" in lines["leaks"]

    def test_only_what_is_right_in_every_case_says_all(self, capsys: pytest.CaptureFixture[str]) -> None:
        almost = InterfaceStatus("web01", mac(1), "f" * 200, coverage=Coverage((), (), 999, 1000))
        show_status(Console(soft_wrap=True), [almost])
        _, line = capsys.readouterr().out.splitlines()
        assert line.endswith("99 %"), "one line, however long"

    def test_as_json(self, tmp_path: Path) -> None:
        folder = example_without_supplement(tmp_path)
        found = json.loads(command("--output", "json", "status", "--desired", folder=folder).stdout)
        assert (found["schema"], found["verb"], found["host"]) == (1, "status", None)
        of_guest = {each["guest"]: each for each in found["interfaces"]}
        assert of_guest["db01"] == {
            "guest": "db01", "mac": "52:54:00:7a:10:01", "port": None, "filter": "guest-ipv4", "state": None,
            "flags": ["ipv4-only"], "unsafe_migration": None, "leaks": [], "score": 1.0,
        }  # fmt: skip
        assert set(of_guest["web01"]["leaks"]) == INEXPRESSIBLE
        assert 0.9 < of_guest["web01"]["score"] < 1

    def test_a_host_that_is_named_leaves_out_the_others_guests(self) -> None:
        found = json.loads(command("--host", "kvm02", "--output", "json", "status", "--desired").stdout)
        assert "seg01" not in {each["guest"] for each in found["interfaces"]}

    def test_what_only_a_host_knows_is_said_to_be_unknown(self) -> None:
        ended = command("status", "--desired", folder=EXAMPLE / "examples/one-address")
        assert ended.returncode == 0
        assert "unknown: by a filter that only a host knows" in ended.stdout

    def test_without_a_host_it_says_so(self, tmp_path: Path) -> None:
        ended = command("--host", "kvm01", "--connect", f"qemu+unix:///system?socket={tmp_path}/sock", "status")
        assert ended.returncode == 1
        assert ended.stderr.startswith("error: ") and "hint: " in ended.stderr


def test_an_interface_whose_guest_is_trusted_about_its_macs_is_flagged() -> None:
    """No filter looks at what the guest tells libvirt."""
    desired = site({"web01": guest_yaml("web01", 1, "[10.0.0.10]")})
    host = host_as_wanted(desired)
    live = host.inspect()
    trusting = tuple(replace(nic, trusts_guest=True) for nic in live.domains[0].live)
    for nics, flagged in ((live.domains[0].live, False), (trusting, True)):
        seen = replace(live, domains=(replace(live.domains[0], live=nics),))
        [found] = status_of_host(desired, seen, "kvm01", whole_battery=True)
        assert (Flag.TRUSTS_GUEST in found.flags) is flagged
