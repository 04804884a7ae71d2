"""Frames walk through chains as ebtables and iptables have them do, and fast."""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from interfaces import MAC, filterref, interface, shared_filters

from reconciler.model.kernel import Family, Ruleset, RuleSource
from reconciler.nwfilter.battery import battery
from reconciler.nwfilter.ebtables import parse_ebtables
from reconciler.nwfilter.evaluate import OUTSIDE, Evaluator
from reconciler.nwfilter.expand import expand
from reconciler.nwfilter.frame import Arp, Flow, Frame, Packet, State, Transport, Vlan
from reconciler.nwfilter.iptables import parse_iptables
from reconciler.nwfilter.walk import UnknownMatch, Walker, verdict

DNS = Packet(IPv4Address("10.0.0.1"), IPv4Address("10.0.0.53"), Transport(17, 40000, 53), tos=0x10)
FRAME = Frame(MAC, "ff:ff:ff:ff:ff:ff", 0x0800, DNS)
ARP = Frame(MAC, "ff:ff:ff:ff:ff:ff", 0x0806, Arp(1, MAC, IPv4Address("10.0.0.1"), None, IPv4Address("10.0.0.1")))
LEAST_VERDICTS_A_SECOND = 20_000


def rules(*lines: str, policies: str = "") -> Ruleset:
    names = {line.split()[1] for line in lines} | {"PREROUTING"}
    chains = "".join(f":{name} ACCEPT\n" for name in sorted(names))
    return parse_ebtables(f"*nat\n{chains}{policies}" + "".join(f"{line}\n" for line in lines))


def passes(*lines: str, frame: Frame = FRAME, policies: str = "") -> bool:
    return verdict(rules(*lines, policies=policies), frame, "p0").passes


def packets(*lines: str, family: Family = Family.IPV4) -> Ruleset:
    names = {line.split()[1] for line in lines} - {"FORWARD", "INPUT"}
    chains = ":FORWARD ACCEPT [0:0]\n" + "".join(f":{name} - [0:0]\n" for name in sorted(names))
    return parse_iptables(f"*filter\n{chains}" + "".join(f"{line}\n" for line in lines), family)


class TestChains:
    def test_the_first_rule_that_holds_decides(self) -> None:
        found = verdict(rules("-A PREROUTING -p ARP -j ACCEPT", "-A PREROUTING -i p0 -j DROP"), FRAME, "p0")
        assert not found.passes
        assert str(found) == "-A PREROUTING -i p0 -j DROP"

    def test_policies(self) -> None:
        assert passes()
        assert not passes(policies=":PREROUTING DROP\n")
        assert str(verdict(rules(policies=":PREROUTING DROP\n"), FRAME, "p0")) == "policy of PREROUTING"
        assert not passes("-A PREROUTING -j RETURN", policies=":PREROUTING DROP\n")

    def test_a_chain_of_ebtables_ends_by_its_policy(self) -> None:
        jump, after = "-A PREROUTING -j mine", "-A PREROUTING -j DROP"
        assert passes(jump, after, "-A mine -p ARP -j DROP")
        assert not passes(jump, after, "-A mine -p ARP -j DROP", policies=":mine RETURN\n")
        assert not passes(jump, after, "-A mine -j RETURN", "-A mine -j ACCEPT")

    def test_continue_goes_on(self) -> None:
        assert not passes("-A PREROUTING -j CONTINUE", "-A PREROUTING -j DROP")

    def test_a_chain_that_is_not_there_and_one_without_end(self) -> None:
        with pytest.raises(UnknownMatch, match="does not exist"):
            passes("-A PREROUTING -j nowhere")
        with pytest.raises(UnknownMatch, match="nested"):
            passes("-A PREROUTING -j round", "-A round -j round")

    def test_goto_comes_back_to_the_caller(self) -> None:
        lines = ("-A FORWARD -j a", "-A a -g b", "-A a -j DROP", "-A b -p tcp -j DROP")
        assert Walker(packets(*lines)).verdict(FRAME, "p0", "FORWARD").passes
        assert not Walker(packets(*lines, "-A FORWARD -j DROP")).verdict(FRAME, "p0", "FORWARD").passes

    def test_without_rules_everything_passes(self) -> None:
        assert Walker(Ruleset()).verdict(FRAME, "p0", "PREROUTING").passes

    def test_predicted_rules_name_their_filter(self) -> None:
        subject = interface(["10.0.0.1"])
        expected = expand(shared_filters().get, filterref(subject), MAC, "p0")
        foreign = replace(FRAME, source="02:00:00:00:00:09")
        found = Evaluator.of(expected).forwarded(foreign, "p0", OUTSIDE)
        assert found.source == RuleSource("guest-mac", 1, "guest-mac.xml")
        assert str(found).startswith("guest-mac.xml, rule 1: -A libvirt-I-p0 ")


class TestMatches:
    @pytest.mark.parametrize(
        "match",
        [
            "-i p0", "-i p+", "-p IPv4", "-p 0x800", f"-s {MAC}", "-s 52:54:00:00:00:00/ff:ff:ff:00:00:00",
            "-d Broadcast", "-d Multicast", "-s Unicast", "-p IPv4 --ip-src 10.0.0.0/24", "-p IPv4 --ip-dst 10.0.0.53",
            "--ip-tos 0x10",
            "--ip-proto udp", "--ip-proto 17", "--ip-sport 40000", "--ip-dport 50:60", "--ip-dport :53",
        ],
    )  # fmt: skip
    def test_a_field_that_fits(self, match: str) -> None:
        assert not passes(f"-A PREROUTING {match} -j DROP")
        option, _, value = match.rpartition(" ")
        assert passes(f"-A PREROUTING {option} ! {value} -j DROP")

    @pytest.mark.parametrize(
        "match", ["--ip-icmp-type 8", "--ip6-src 2001:db8::1", "--arp-op Request", "--vlan-id 1", "--stp-type config"]
    )
    def test_a_field_that_is_not_there_fits_neither_way(self, match: str) -> None:
        option, _, value = match.partition(" ")
        assert passes(f"-A PREROUTING {match} -j DROP")
        assert passes(f"-A PREROUTING {option} ! {value} -j DROP")

    @pytest.mark.parametrize(
        "match",
        ["--arp-op Request", "--arp-htype 1", "--arp-ptype 0x800", "--arp-ip-src 10.0.0.1", f"--arp-mac-src {MAC}",
         "--arp-gratuitous", "--arp-ip-dst 10.0.0.0/31"],
    )  # fmt: skip
    def test_arp(self, match: str) -> None:
        assert not passes(f"-A PREROUTING -p ARP {match} -j DROP", frame=ARP)

    def test_an_unreadable_target_mac_fits_neither_way(self) -> None:
        for match in (f"--arp-mac-dst {MAC}", f"--arp-mac-dst ! {MAC}"):
            assert passes(f"-A PREROUTING -p ARP {match} -j DROP", frame=ARP)

    def test_a_later_fragment_has_no_ports(self) -> None:
        fragment = replace(FRAME, payload=replace(DNS, transport=Transport(17)))
        assert not passes("-A PREROUTING -p IPv4 --ip-proto udp -j DROP", frame=fragment)
        for match in ("--ip-dport 53", "--ip-dport ! 53"):
            assert passes(f"-A PREROUTING -p IPv4 --ip-proto udp {match} -j DROP", frame=fragment)

    def test_vlan_and_types_of_icmpv6(self) -> None:
        tagged = Frame(MAC, "02:00:00:00:00:01", 0x8100, Vlan(7, 3, 0x0800))
        for match in ("--vlan-id 7", "--vlan-prio 3", "--vlan-encap 0800", "--vlan-id ! 8"):
            assert not passes(f"-A PREROUTING -p 802_1Q {match} -j DROP", frame=tagged)
        assert passes("-A PREROUTING -p IPv4 -j DROP", frame=tagged)
        router = Packet(IPv6Address("fe80::1"), IPv6Address("ff02::1"), Transport(58, icmp_type=134, icmp_code=0))
        advertisement = Frame(MAC, "33:33:00:00:00:01", 0x86DD, router)
        for match in ("router-advertisement", "134/0:255", "133:137/0", "! redirect"):
            line = f"-A PREROUTING -p IPv6 --ip6-proto ipv6-icmp --ip6-icmp-type {match} -j DROP"
            assert not passes(line, frame=advertisement), match

    def test_an_unknown_match_is_no_guess(self) -> None:
        unknown = "-A PREROUTING -p IPv4 --mark-set 7 -j DROP"
        with pytest.raises(UnknownMatch, match="mark-set"):
            passes(unknown)

    def test_an_unknown_match_counts_only_where_all_else_holds(self) -> None:
        assert passes("-A PREROUTING --mark-set 7 -p ARP -j DROP")
        assert passes("-A PREROUTING -j ACCEPT", "-A PREROUTING --mark-set 7 -j DROP")


class TestPackets:
    def passes(self, match: str, frame: Frame = FRAME, flow: Flow | None = None) -> bool:
        family = Family.IPV6 if frame.ethertype == 0x86DD else Family.IPV4
        walker = Walker(packets(f"-A FORWARD {match} -j DROP", family=family))
        return walker.verdict(frame, "p0", "FORWARD", out_port="p1", flow=flow).passes

    @pytest.mark.parametrize(
        "match",
        [
            "-s 10.0.0.1/32", "! -s 10.0.0.2/32", "-d 10.0.0.0/24", "-p udp", "-p udp -m udp --sport 40000 --dport 53",
            "-m physdev --physdev-in p0", "-m physdev --physdev-out p1 --physdev-is-bridged",
            f"-m mac --mac-source {MAC}", "-m iprange --src-range 10.0.0.0-10.0.0.9", "-m dscp --dscp 0x04",
            "-m conntrack --ctstate NEW,ESTABLISHED",
            "-m conntrack --ctdir ORIGINAL", '-m comment --comment "! a -j b"', "-m connlimit --connlimit-above 0",
        ],
    )  # fmt: skip
    def test_a_field_that_fits(self, match: str) -> None:
        assert not self.passes(match)

    def test_states(self) -> None:
        answer = Flow(State.ESTABLISHED, answer=True, connections=3)
        assert self.passes("-m conntrack --ctstate NEW", flow=answer)
        assert not self.passes("-m conntrack --ctstate ESTABLISHED --ctdir REPLY", flow=answer)
        assert not self.passes("-m connlimit --connlimit-above 2 --connlimit-mask 32 --connlimit-saddr", flow=answer)
        assert self.passes("-m connlimit --connlimit-upto 2 --connlimit-mask 32 --connlimit-saddr", flow=answer)

    def test_tcp(self) -> None:
        opening = Transport(6, 1, 2, tcp_flags=0x02, tcp_options=frozenset({2}))
        frame = replace(FRAME, payload=replace(DNS, transport=opening))
        for match in ("--tcp-flags FIN,SYN,RST,ACK SYN", "--tcp-option 2", "! --tcp-option 3"):
            assert not self.passes(f"-p tcp -m tcp {match}", frame)
        assert self.passes("-p tcp -m tcp --tcp-flags ACK ACK", frame)

    def test_a_later_fragment_keeps_its_protocol(self) -> None:
        packet = Packet(IPv6Address("fe80::1"), IPv6Address("ff02::1"), Transport(44), fragment_of=17)
        assert not self.passes("-p udp", Frame(MAC, "33:33:00:00:00:01", 0x86DD, packet))

    @pytest.mark.parametrize(("ports", "passes"), [((53, 68), True), ((1, 2), False), ((53, 2), None), ((1, 68), None)])
    def test_two_negated_ports_are_judged_only_where_all_iptables_agree(
        self, ports: tuple[int, int], passes: bool | None
    ) -> None:
        frame = replace(FRAME, payload=replace(DNS, transport=Transport(17, *ports)))
        match = "-p udp -m udp ! --sport 53 ! --dport 68"
        if passes is None:
            with pytest.raises(UnknownMatch, match="not both"):
                self.passes(match, frame)
        else:
            assert self.passes(match, frame) is passes

    def test_what_a_set_holds_is_not_known(self) -> None:
        with pytest.raises(UnknownMatch):
            self.passes("-m set --match-set bad src")

    def test_tagged_frames_and_arp_are_not_shown_to_iptables(self) -> None:
        evaluator = Evaluator(Ruleset(), packets("-A FORWARD -j DROP"))
        assert not evaluator.forwarded(FRAME, "p0", "p1").passes
        assert evaluator.received(FRAME, "p0").passes
        assert evaluator.forwarded(ARP, "p0", "p1").passes
        assert evaluator.forwarded(Frame(MAC, MAC, 0x8100, Vlan(7, 0, 0x0800)), "p0", "p1").passes


def test_twenty_thousand_verdicts_a_second() -> None:
    subject = interface(["10.0.0.10", "10.0.1.16/29"], ["2001:db8::10", "2001:db8:5::/64"])
    evaluator = Evaluator.of(expand(shared_filters().get, filterref(subject), MAC, "p0"))
    frames = [case.frame for case in battery(subject)]
    rounds = LEAST_VERDICTS_A_SECOND // len(frames) + 1
    started = time.process_time()
    for _ in range(rounds):
        for frame in frames:
            evaluator.forwarded(frame, "p0", OUTSIDE)
    assert time.process_time() - started < 1
