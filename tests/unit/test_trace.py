"""A frame in words, its way through the rules, and the commands that tell it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interfaces import filterref, interface, shared_filters
from sites import EXAMPLE, example_without_supplement, guest_yaml, host_as_wanted, host_with, mac, site, without_sources

from reconciler import app
from reconciler.errors import UsageError
from reconciler.model.coverage import Flag
from reconciler.model.guest import Interface
from reconciler.model.kernel import KernelRules, Ruleset
from reconciler.nwfilter.battery import BatteryCase, Direction, battery
from reconciler.nwfilter.decode import decode
from reconciler.nwfilter.ebtables import parse_ebtables
from reconciler.nwfilter.evaluate import Evaluator
from reconciler.nwfilter.expand import Expected, expand
from reconciler.nwfilter.explain import Described, Wish, check_wish, trace_on_host, trace_on_site
from reconciler.nwfilter.frame import Arp, Packet
from reconciler.nwfilter.frame_words import words_of
from reconciler.nwfilter.path import rules_of, way, with_sources
from reconciler.nwfilter.trace import GRAMMAR, parse_frame
from reconciler.nwfilter.trace_frames import frame_of
from reconciler.report import document

SHARED = shared_filters()
DUAL = interface(["10.0.0.10", "10.0.1.16/29"], ["2001:db8::10", "2001:db8:5::/64"])
FORMS = {"dual": DUAL, "ipv4": interface(["10.0.0.10"]), "ipv6": interface(ipv6=["2001:db8::10"]), "none": interface()}
EXAMPLES = [line[2:58].strip() for line in GRAMMAR.partition("examples:\n")[2].splitlines()]
VOCABULARY = sorted({*GRAMMAR.replace("[", " ").replace("]", " ").split(), "0", "44", "255", "4096", ""})
WITHOUT_WORDS = {"nd-ns-cut", "nd-na-cut", "ext-hidden-message", "ext-hidden-datagram"}
"""Frames that end within a header."""
SAID = [words_of(case.data) for case in battery(DUAL)]
GUESTS = {
    "web01": guest_yaml("web01", 1, "[10.0.0.10]", '["2001:db8::10"]'),
    "db01": guest_yaml("db01", 2, "[10.0.0.20]"),
}


def built(words: str, subject: Interface = DUAL, direction: Direction = Direction.OUT) -> bytes:
    return frame_of(parse_frame(words), subject, direction)


class TestWords:
    @pytest.mark.parametrize("form", FORMS)
    def test_every_frame_of_the_battery_can_be_said_and_built_again(self, form: str) -> None:
        for case in battery(FORMS[form]):
            words = words_of(case.data)
            again = built(words, FORMS[form], case.direction)
            if case.id in WITHOUT_WORDS:
                continue
            assert (words_of(again), decode(again)) == (words, case.frame), case.id

    @pytest.mark.parametrize("words", EXAMPLES)
    def test_the_examples_of_the_grammar_are_frames(self, words: str) -> None:
        assert decode(built(words))

    def test_there_are_examples(self) -> None:
        assert len(EXAMPLES) == 10 and "vlan 5 ip" in EXAMPLES

    def test_what_is_not_said_is_the_guests_own(self) -> None:
        frame = decode(built("ip"))
        assert (frame.source, frame.destination) == (DUAL.mac, "02:00:00:00:00:01")
        assert isinstance(frame.payload, Packet) and str(frame.payload.source) == "10.0.0.10"
        asked = decode(built("arp")).payload
        assert isinstance(asked, Arp)
        assert (asked.operation, asked.sender_mac, str(asked.sender_ip)) == (1, DUAL.mac, "10.0.0.10")

    def test_to_the_guest_its_own_is_the_destination(self) -> None:
        frame = decode(built("ipv6 icmpv6 ra", direction=Direction.IN))
        assert (frame.source, frame.destination) == ("02:00:00:00:00:01", DUAL.mac)
        assert isinstance(frame.payload, Packet)
        assert (str(frame.payload.source), str(frame.payload.destination)) == ("2001:db8:fffe::1", "2001:db8::10")

    @pytest.mark.parametrize(
        ("words", "mac"),
        [
            ("ip dst 224.0.0.251", "01:00:5e:00:00:fb"),
            ("ip dst 239.255.0.1", "01:00:5e:7f:00:01"),
            ("ip dst 255.255.255.255", "ff:ff:ff:ff:ff:ff"),
            ("ipv6 dst ff02::fb", "33:33:00:00:00:fb"),
            ("arp", "ff:ff:ff:ff:ff:ff"),
            ("arp reply", "02:00:00:00:00:01"),
        ],
    )
    def test_the_mac_of_a_group_follows_its_address(self, words: str, mac: str) -> None:
        assert decode(built(words)).destination == mac

    @pytest.mark.parametrize(
        ("words", "named", "hint"),
        [
            ("", "no words", "ip"),
            ("ipx src 10.0.0.1", "'ipx'", "did you mean ip"),
            ("ip srcc 10.0.0.1", "'srcc'", "did you mean src?"),
            ("ip src 10.0.0.300", "'10.0.0.300'", "in full"),
            ("ip src 10.0.0.0/24", "'10.0.0.0/24'", "without a prefix"),
            ("ip src 2001:db8::1", "'2001:db8::1'", "'ipv6'"),
            ("ipv6 src 10.0.0.1", "'10.0.0.1'", "'ip'"),
            ("ip src", "'src'", "an IPv4 address"),
            ("ip src 10.0.0.1 src 10.0.0.2", "'src' is said twice", "one of them"),
            ("ip udp 70000", "'70000' is not a port", "--help"),
            ("ip udp dprt 5", "'dprt'", "did you mean dport?"),
            ("udp 5", "'udp' cannot stand at the start", "follows ip"),
            ("arp udp", "'udp' cannot stand after 'arp'", "follows ip"),
            ("ip icmpv6 134", "'icmpv6' belongs to ipv6", "write ipv6"),
            ("ipv6 icmpv6 neighbor-advertisment", "'neighbor-advertisment'", "neighbor-advertisement"),
            ("ipv6 icmpv6 134 target 2001:db8::1", "'target'", "leave"),
            ("ip fragment later udp 67 68", "'udp'", "alone"),
            ("arp requst", "'requst'", "did you mean request"),
            ("mac src 52:54:00:00:00", "'52:54:00:00:00'", "--help"),
            ("mac src 52:54:00:00:00:01", "'mac'", "ip"),
            ("mac ethertype lldb", "'lldb'", "did you mean lldp?"),
            ("vlan", "'vlan' needs", "--help"),
            ("vlan 5000 ip", "'5000'", "--help"),
            ("mac ethertype 5 stp", "'stp'", "ethertype"),
        ],
    )
    def test_what_cannot_be_used_is_named(self, words: str, named: str, hint: str) -> None:
        with pytest.raises(UsageError) as raised:
            built(words)
        assert named in raised.value.message
        assert hint in raised.value.hint

    @given(st.sampled_from(SAID), st.integers(0, 30), st.sampled_from(VOCABULARY), st.integers(0, 2))
    def test_any_words_are_a_frame_or_one_sentence_with_a_hint(self, said: str, at: int, word: str, over: int) -> None:
        words = said.split()
        words[at : at + over] = [word]
        try:
            data = built(" ".join(words))
        except UsageError as refused:
            assert refused.message and refused.hint
        else:
            assert decode(built(words_of(data))) == decode(data)

    def test_an_interface_without_the_family_needs_an_address(self) -> None:
        with pytest.raises(UsageError, match="no IPv6 address of its own") as raised:
            built("ipv6 icmpv6 134", FORMS["ipv4"])
        assert raised.value.hint == "write `ipv6 src ADDRESS`"
        assert built("ipv6 src 2001:db8::1 icmpv6 136", FORMS["ipv4"])


def foretold(subject: Interface = DUAL, port: str = "p0") -> Expected:
    return expand(SHARED.get, filterref(subject), subject.mac, port)


class TestPath:
    @pytest.mark.parametrize("form", FORMS)
    def test_it_ends_where_the_verdict_came_from(self, form: str) -> None:
        expected = foretold(FORMS[form])
        evaluator = Evaluator.of(expected)
        for case in battery(FORMS[form]):
            found, plain = way(rules_of(expected), case.frame, case.direction, "p0"), evaluator.case(case, "p0")
            assert (found.got, found.why) == ("pass" if plain.passes else "drop", str(plain)), case.id
            if plain.rule:
                assert [step.source for step in found.path if step.rule == plain.rule.text] == [plain.source]
            assert found.path[-1].target == ("ACCEPT" if plain.passes else "DROP")

    def test_each_chain_leads_to_the_next(self) -> None:
        case = case_of("arp-request-foreign")
        path = way(rules_of(foretold()), case.frame, case.direction, "p0").path
        assert [(step.chain, step.target) for step in path] == [
            ("PREROUTING", "libvirt-I-p0"),
            ("libvirt-I-p0", "I-p0-arp"),
            ("I-p0-arp", "DROP"),
        ]
        assert path[-1].source and path[-1].source.filter == "guest-arp"

    def test_a_policy_is_a_step_without_a_rule(self) -> None:
        rules = parse_ebtables("*nat\n:PREROUTING ACCEPT\n:mine DROP\n-A PREROUTING -i p0 -j mine\n")
        path = way(KernelRules(rules), case_of("nd-ra").frame, Direction.OUT, "p0").path
        assert [(step.chain, step.target, step.rule) for step in path][1:] == [("mine", "DROP", None)]

    def test_a_return_and_what_follows_it(self) -> None:
        lines = "-A PREROUTING -i p0 -j mine\n-A mine -p IPv6 -j RETURN\n-A mine -j DROP\n"
        rules = parse_ebtables(f"*nat\n:PREROUTING ACCEPT\n:mine ACCEPT\n{lines}")
        path = way(KernelRules(rules), case_of("nd-ra").frame, Direction.OUT, "p0").path
        assert [(step.chain, step.target) for step in path] == [
            ("PREROUTING", "mine"),
            ("mine", "RETURN"),
            ("PREROUTING", "ACCEPT"),
        ]

    def test_what_cannot_be_judged_has_the_path_up_to_it(self) -> None:
        lines = "-A PREROUTING -i p0 -j mine\n-A mine --mark-set 7 -j DROP\n"
        rules = parse_ebtables(f"*nat\n:PREROUTING ACCEPT\n:mine ACCEPT\n{lines}")
        found = way(KernelRules(rules), case_of("nd-ra").frame, Direction.OUT, "p0")
        assert (found.got, [step.target for step in found.path]) == ("unknown", ["mine"])
        assert "mark-set" in found.why

    def test_rules_that_were_read_back_get_their_source(self) -> None:
        expected = foretold()
        bare = KernelRules(without_sources(expected.ethernet))
        for case in battery(DUAL):
            told = way(rules_of(expected), case.frame, case.direction, "p0").path
            assert way(with_sources(bare, expected), case.frame, case.direction, "p0").path == told, case.id

    def test_a_rule_that_no_filter_asks_for_has_none(self) -> None:
        expected = foretold()
        foreign = parse_ebtables("*nat\n:I-p0-arp ACCEPT\n-A I-p0-arp -p ARP --arp-op Request -j ACCEPT\n").chains[0]
        chains = {chain.name: chain for chain in without_sources(expected.ethernet).chains}
        tampered = Ruleset(tuple((chains | {"I-p0-arp": foreign}).values()))
        case = case_of("arp-request-foreign")
        path = way(with_sources(KernelRules(tampered), expected), case.frame, case.direction, "p0").path
        assert (path[-1].target, path[-1].source) == ("ACCEPT", None)


def case_of(id: str) -> BatteryCase:
    return next(case for case in battery(DUAL) if case.id == id)


class TestTrace:
    def test_on_the_sites_filters(self) -> None:
        found = trace_on_site(site(GUESTS), Described("web01", "ipv6 src 2001:db8::99 icmpv6 136 target 2001:db8::1"))
        assert (found.guest, found.mac, found.layer, found.way.got) == ("web01", mac(1), "site", "drop")
        source = found.way.path[-1].source
        assert source and source.path == "filters/guest-ipv6-source.xml"

    def test_libvirts_own_filters_are_known_to_a_host_alone(self) -> None:
        guest = GUESTS["db01"] + b"    filter: clean-traffic\n"
        with pytest.raises(UsageError, match="filter clean-traffic is libvirt's own; only a host") as told:
            trace_on_site(site({"db01": guest}), Described("db01", "ip"))
        assert "--live" in told.value.hint

    def test_a_guest_with_several_interfaces_needs_a_mac(self) -> None:
        second = b'  - {mac: "52:54:00:00:00:09", segment: lan, ipv4: [10.0.0.9], ipv6: none}\n'
        desired = site({"web01": GUESTS["web01"] + second})
        with pytest.raises(UsageError, match="2 interfaces") as told:
            trace_on_site(desired, Described("web01", "ip"))
        assert mac(9) in told.value.hint
        found = trace_on_site(desired, Described("web01", "ip", mac=mac(9).upper()))
        assert (found.mac, found.way.got) == (mac(9), "pass")
        with pytest.raises(UsageError, match="no interface 52:54:00:00:00:08"):
            trace_on_site(desired, Described("web01", "ip", mac=mac(8)))

    def test_an_unknown_guest(self) -> None:
        with pytest.raises(UsageError, match="no guest 'web1'") as told:
            trace_on_site(site(GUESTS), Described("web1", "ip"))
        assert told.value.hint == "did you mean web01?"

    def test_on_a_hosts_rules(self) -> None:
        desired = site(GUESTS)
        live = host_as_wanted(desired).inspect()
        found = trace_on_host(desired, live, "kvm01", Described("db01", "arp sender 10.0.0.66"))
        assert (found.layer, found.way.got) == ("kernel", "drop")
        assert found.way.path[-1].chain == f"I-{live.bindings[0].port}-arp"
        assert found.way.path[-1].source and found.way.path[-1].source.path == "filters/guest-arp.xml"

    def test_a_guest_that_does_not_run_has_no_rules_of_the_kernels(self) -> None:
        desired = site(GUESTS)
        with pytest.raises(UsageError, match="does not run on this host") as told:
            trace_on_host(
                desired, host_with(desired, running=False).inspect(), "kvm01", Described("db01", "ip")
            )  # fmt: skip
        assert "without --live" in told.value.hint


class TestExplain:
    def test_the_wanted_cases_alone_have_a_path_and_their_frame(self) -> None:
        desired = site(GUESTS)
        seen = app.survey(desired, host_as_wanted(desired), "kvm01")
        proofs = app.proofs_of(seen, whole_battery=True)
        told = app.explain(proofs, desired, "kvm01", Wish(frozenset({"nd-ra", "rules-installed"})), seen.live)
        cases = {(proof.guest, case.case): case for proof in told for case in proof.cases if case.path is not None}
        assert set(cases) == {("web01", "nd-ra"), ("web01", "rules-installed"), ("db01", "rules-installed")}
        advertisement = cases["web01", "nd-ra"]
        assert advertisement.frame.endswith("icmpv6 134") and advertisement.path
        assert advertisement.path[-1].source and advertisement.path[-1].source.filter == "guest-ipv6-source"
        assert (cases["db01", "rules-installed"].frame, cases["db01", "rules-installed"].path) == ("", ())
        documents = [each for each in document.cases(told) if "path" in each]
        assert {(each["guest"], each["case"]) for each in documents} == set(cases)
        assert [replace(case, frame="", path=None) for proof in told for case in proof.cases] == [
            case for proof in proofs for case in proof.cases
        ]

    def test_of_one_guest(self) -> None:
        desired = site(GUESTS)
        seen = app.survey(desired, host_as_wanted(desired), "kvm01")
        wish = Wish(frozenset({"l2-vlan"}), "db01")
        told = app.explain(app.proofs_of(seen, whole_battery=True), desired, "kvm01", wish, seen.live)
        assert [proof.guest for proof in told for case in proof.cases if case.path is not None] == ["db01"]

    def test_an_unknown_case_gets_the_closest(self) -> None:
        guests = site(GUESTS).guests
        with pytest.raises(UsageError, match="no interface here has a case 'nd-rra'") as told:
            check_wish(Wish(frozenset({"nd-ra", "nd-rra"})), guests, with_structure=True)
        assert told.value.hint.startswith("did you mean nd-ra, ")
        with pytest.raises(UsageError, match="no interface of db01 has a case 'nd-ra'"):
            check_wish(Wish(frozenset({"nd-ra"}), "db01"), guests, with_structure=True)
        with pytest.raises(UsageError, match="no guest 'db1'"):
            check_wish(Wish(frozenset({"nd-ra"}), "db1"), guests, with_structure=True)

    def test_what_no_frame_can_show_is_no_case_of_frames(self) -> None:
        wish, guests = Wish(frozenset({"address-10.0.0.10/32", "rules-installed"})), site(GUESTS).guests
        check_wish(wish, guests, with_structure=True)
        with pytest.raises(UsageError):
            check_wish(wish, guests, with_structure=False)

    def test_a_limit_on_floods_is_a_case_where_the_site_has_one(self) -> None:
        guests, wish = site(GUESTS).guests, Wish(frozenset({"flood"}))
        check_wish(wish, guests, with_structure=True, with_limit=True)
        with pytest.raises(UsageError, match="has a case 'flood'"):
            check_wish(wish, guests, with_structure=True)


def command(*arguments: str, folder: Path = EXAMPLE) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "reconciler", "--site", str(folder), "--host", "kvm01", *arguments]
    return subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)


class TestCommand:
    def test_a_path_is_told_with_file_and_rule(self) -> None:
        ended = command("trace", "db01", "arp", "request", "sender", "192.168.0.9", "target", "192.168.0.1")
        assert ended.returncode == 0, ended.stderr
        lines = ended.stdout.splitlines()
        assert lines[0].startswith("DROP  from db01 52:54:00:7a:10:01")
        assert "arp request sender 192.168.0.9" in lines[1]
        assert "I-port-arp: DROP by filters/guest-arp.xml, rule " in ended.stdout
        assert "-A I-port-arp -j DROP" in lines[-1]

    def test_where_nothing_decided_the_policy_is_named(self) -> None:
        ended = command("trace", "db01", "--to-guest", "ip")
        assert ended.stdout.startswith("PASS  to db01")
        assert "PREROUTING: ACCEPT by its policy" in ended.stdout

    def test_what_the_supplement_drops_never_reaches_libvirts_rules(self) -> None:
        [case] = json.loads(command("--output", "json", "trace", "web01", "ipv6 hop-by-hop icmpv6 134").stdout)["cases"]
        assert {(step["family"], step["file"]) for step in case["path"]} == {("supplement", None)}
        assert case["got"] == "drop" and case["path"][-1]["target"] == "DROP"

    def test_as_json(self, tmp_path: Path) -> None:
        folder = example_without_supplement(tmp_path)
        ended = command("--output", "json", "trace", "web01", "ipv6 hop-by-hop icmpv6 134", folder=folder)
        found = json.loads(ended.stdout)
        [case] = found["cases"]
        assert (found["schema"], found["verb"], found["source"], found["host"]) == (1, "trace", str(folder), None)
        assert {key: case[key] for key in ("guest", "case", "expected", "got", "layer", "direction")} == {
            "guest": "web01", "case": "trace", "expected": None, "got": "drop", "layer": "site",
            "direction": "from-guest",
        }  # fmt: skip
        assert case["path"][0] | {"rule": ""} == {
            "family": "ethernet", "chain": "PREROUTING", "target": "libvirt-I-port", "rule": "", "filter": None,
            "file": None, "number": None,
        }  # fmt: skip
        last = case["path"][-1]
        assert (last["target"], last["file"]) == ("DROP", "filters/guest-ipv6-source.xml")
        assert f"{last['file']}, rule {last['number']}: {last['rule']}" == case["rule"]

    def test_the_grammar_is_in_the_help(self) -> None:
        assert GRAMMAR.strip() in command("trace", "--help").stdout

    def test_the_grammar_and_every_flag_are_documented(self) -> None:
        page = (EXAMPLE.parent / "docs/trace.md").read_text()
        assert GRAMMAR in page
        assert [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")] == list(Flag)

    def test_an_error_is_one_sentence_and_a_hint(self) -> None:
        ended = command("trace", "web01", "ip udp dprt 67")
        assert (ended.returncode, ended.stdout) == (2, "")
        first, second = ended.stderr.splitlines()
        assert first == "error: 'dprt' is not understood after 'udp'"
        assert second.startswith("hint: did you mean dport?")

    def test_an_example_of_libvirts_own(self) -> None:
        ended = command("trace", "vm01", "ip", folder=EXAMPLE / "examples/one-address")
        assert ended.returncode == 2
        assert "clean-traffic is libvirt's own" in ended.stderr and "--live" in ended.stderr

    def test_a_guest_is_named_only_with_a_case(self) -> None:
        ended = command("verify", "--guest", "web01")
        assert ended.returncode == 2
        assert "--explain" in ended.stderr
