"""What libvirt makes of filters, foretold: the rules of its driver, quirks included."""

from __future__ import annotations

import pytest
from interfaces import MAC, filterref, interface, shared_filters

from reconciler.model.filter import FilterRef, NwFilter, canonical_parameters
from reconciler.model.kernel import Family, KernelRule, Ruleset
from reconciler.nwfilter.compare_rules import rule_differences
from reconciler.nwfilter.ebtables import parse_ebtables
from reconciler.nwfilter.expand import Expected, expand
from reconciler.nwfilter.instances import CannotInstantiate
from reconciler.nwfilter.iptables import parse_iptables
from reconciler.nwfilter.parse import parse_filter

READ_BACK = """
*nat
:PREROUTING ACCEPT
:POSTROUTING ACCEPT
:I-p0-arp-mac ACCEPT
:I-p0-ipv4-ip ACCEPT
:libvirt-I-p0 ACCEPT
:libvirt-O-p0 ACCEPT
:libvirt-I-p9 ACCEPT
-A PREROUTING -i p0 -j libvirt-I-p0
-A PREROUTING -i p9 -j libvirt-I-p9
-A POSTROUTING -o p0 -j libvirt-O-p0
-A I-p0-arp-mac -p ARP --arp-mac-src 52:54:00:00:00:01 -j RETURN
-A I-p0-arp-mac -j DROP
-A I-p0-ipv4-ip -p IPv4 --ip-src 0.0.0.0 --ip-proto udp -j RETURN
-A I-p0-ipv4-ip -p IPv4 --ip-src 10.0.0.1 -j RETURN
-A I-p0-ipv4-ip -p IPv4 --ip-src 10.0.0.2 -j RETURN
-A I-p0-ipv4-ip -j DROP
-A libvirt-I-p0 -p IPv4 -j I-p0-ipv4-ip
-A libvirt-I-p0 -p ARP -j I-p0-arp-mac
-A libvirt-I-p0 -d Broadcast -j DROP
-A libvirt-O-p0 -p IPv6 -j ACCEPT
-A libvirt-I-p9 -j ACCEPT
"""
"""As ebtables-save 1.8.9 prints them; port p9 is another's."""

FILTERS = (
    """<filter name='sources' chain='ipv4-ip' priority='-710'>
      <rule action='return' direction='out' priority='100'><ip srcipaddr='0.0.0.0' protocol='udp'/></rule>
      <rule action='return' direction='out' priority='500'><ip srcipaddr='$IP'/></rule>
      <rule action='drop' direction='out' priority='1000'/>
    </filter>""",
    """<filter name='arp' chain='arp-mac'>
      <rule action='return' direction='out' priority='350'><arp arpsrcmacaddr='$MAC'/></rule>
      <rule action='drop' direction='out' priority='1000'/>
    </filter>""",
    """<filter name='top'>
      <rule action='drop' direction='out'><mac dstmacaddr='ff:ff:ff:ff:ff:ff'/></rule>
      <rule action='accept' direction='in'><mac protocolid='ipv6'/></rule>
      <filterref filter='sources'><parameter name='IP' value='192.0.2.1'/></filterref>
      <filterref filter='arp'/>
    </filter>""",
)


def define(*texts: str) -> dict[str, NwFilter]:
    return {definition.name: definition for definition in map(parse_filter, texts)}


def scratch(rules: str, chain: str = "root", **values: str) -> Expected:
    """What becomes of rules in one filter; each value is a list separated by blanks."""
    parameters = ((name, value) for name, values_ in values.items() for value in values_.split())
    filters = define(f"<filter name='scratch' chain='{chain}'>{rules}</filter>")
    return expand(filters.get, FilterRef("scratch", canonical_parameters(parameters)), MAC, "p0")


def rules_of(ruleset: Ruleset, chain: str) -> list[str]:
    found = ruleset.chain(chain)
    return [shown(rule) for rule in found.rules] if found else []


def shown(rule: KernelRule) -> str:
    words = (f"{'!' if c.negated else ''}{c.option}={c.value}" for c in rule.conditions)
    return " ".join((*words, ("go " if rule.goto else "") + rule.target))


def rule(element: str = "", action: str = "accept", direction: str = "out", more: str = "") -> str:
    return f"<rule action='{action}' direction='{direction}' {more}>{element}</rule>"


def sent(element: str, **values: str) -> list[str]:
    return rules_of(scratch(rule(element), **values).ethernet, "libvirt-I-p0")


class TestComparison:
    expected = expand(define(*FILTERS).get, FilterRef("top", (("IP", "10.0.0.1"), ("IP", "10.0.0.2"))), MAC, "p0")

    def differences(self, text: str) -> list[str]:
        return [difference.chain for difference in rule_differences(self.expected, parse_ebtables(text))]

    def test_the_same_rules_as_the_tool_prints_them(self) -> None:
        assert self.differences(READ_BACK) == []

    def test_a_missing_jump(self) -> None:
        without = READ_BACK.replace("-A PREROUTING -i p0 -j libvirt-I-p0\n", "")
        assert self.differences(without) == ["I-p0-arp-mac", "I-p0-ipv4-ip", "PREROUTING", "libvirt-I-p0"]

    @pytest.mark.parametrize(
        "line",
        [
            "-A I-p0-arp-mac -j DROP\n",
            "-A I-p0-ipv4-ip -p IPv4 --ip-src 10.0.0.2 -j RETURN\n",
            "-A I-p0-ipv4-ip -p IPv4 --ip-src 0.0.0.0 --ip-proto udp -j RETURN\n",
        ],
    )
    def test_a_missing_rule(self, line: str) -> None:
        assert self.differences(READ_BACK.replace(line, "")) == [line.split()[1]]

    def test_an_extra_rule_a_changed_one_and_another_order(self) -> None:
        last = "-A I-p0-ipv4-ip -j DROP\n"
        for changed in (
            READ_BACK.replace(last, f"-A I-p0-ipv4-ip -p IPv4 --ip-src 10.0.0.3 -j RETURN\n{last}"),
            READ_BACK.replace("--ip-src 10.0.0.2", "--ip-src 10.0.0.0/30"),
            READ_BACK.replace("--ip-src 10.0.0.2", "--ip-src ! 10.0.0.2"),
            READ_BACK.replace(last, "").replace(":I-p0-ipv4-ip ACCEPT", ":I-p0-ipv4-ip DROP"),
        ):
            assert self.differences(changed) == ["I-p0-ipv4-ip"]

    def test_what_it_shows(self) -> None:
        text = READ_BACK.replace("-A I-p0-arp-mac -j DROP\n", "")
        (difference,) = rule_differences(self.expected, parse_ebtables(text))
        assert difference.expected and difference.expected[-1] == "-A I-p0-arp-mac -j DROP"
        assert difference.actual == (
            ":I-p0-arp-mac ACCEPT",
            "-A I-p0-arp-mac -p ARP --arp-mac-src 52:54:00:00:00:01 -j RETURN",
        )

    def test_rules_name_the_filter_that_they_come_from(self) -> None:
        chain = self.expected.ethernet.chain("I-p0-ipv4-ip")
        assert chain
        assert [str(rule.source) for rule in chain.rules] == [f"sources, rule {n}" for n in (1, 2, 2, 3)]


class TestOrder:
    def test_jumps_stand_between_root_rules_by_priority(self) -> None:
        filters = define(
            "<filter name='a' chain='arp'><rule action='drop' direction='out'/></filter>",
            "<filter name='b' chain='ipv4-x' priority='700'><rule action='drop' direction='out'/></filter>",
            "<filter name='top'><rule action='drop' direction='out' priority='-500'/><filterref filter='b'/>"
            "<rule action='accept' direction='out' priority='-501'/><filterref filter='a'/></filter>",
        )
        found = rules_of(expand(filters.get, FilterRef("top"), MAC, "p0").ethernet, "libvirt-I-p0")
        assert found == ["ACCEPT", "protocol=0x0806 I-p0-arp", "DROP", "protocol=0x0800 I-p0-ipv4-x"]

    def test_chains_of_one_priority_come_in_any_order(self) -> None:
        filters = define(
            *(f"<filter name='{n}' chain='ipv4-{n}'><rule action='drop' direction='out'/></filter>" for n in "ab"),
            "<filter name='top'><filterref filter='a'/><filterref filter='b'/></filter>",
        )
        expected = expand(filters.get, FilterRef("top"), MAC, "p0")
        text = (
            "*nat\n:libvirt-I-p0 ACCEPT\n:I-p0-ipv4-a ACCEPT\n:I-p0-ipv4-b ACCEPT\n"
            "-A PREROUTING -i p0 -j libvirt-I-p0\n"
            "-A I-p0-ipv4-a -j DROP\n-A I-p0-ipv4-b -j DROP\n"
            "-A libvirt-I-p0 -p IPv4 -j I-p0-ipv4-b\n-A libvirt-I-p0 -p IPv4 -j I-p0-ipv4-a\n"
        )
        assert expected.ties == {frozenset({"I-p0-ipv4-a", "I-p0-ipv4-b"})}
        assert rule_differences(expected, parse_ebtables(text)) == ()

    def test_one_chain_with_two_priorities_fails_when_its_rules_come_first(self) -> None:
        filters = define(
            "<filter name='a' chain='ipv6' priority='-800'>"
            "<rule action='drop' direction='out' priority='-900'/></filter>",
            "<filter name='top' chain='ipv6' priority='950'><filterref filter='a'/>"
            "<rule action='drop' direction='out' priority='1000'/></filter>",
        )
        with pytest.raises(CannotInstantiate, match="several priorities"):
            expand(filters.get, FilterRef("top"), MAC, "p0")


class TestVariables:
    def test_lists_walk_in_parallel_and_repeated_pairs_count_once(self) -> None:
        found = sent("<ip srcipaddr='$A' srcipmask='$M'/>", A="10.0.0.1 10.1.0.0 10.0.0.1", M="32 16 32")
        assert found == [f"ip-src={n} protocol=0x0800 ACCEPT" for n in ("10.0.0.1/32", "10.1.0.0/16")]

    def test_two_iterators_make_all_pairs(self) -> None:
        found = sent("<ip srcipaddr='$A[@1]' dstipaddr='$A[@2]'/>", A="10.0.0.1 10.0.0.2")
        pairs = [(1, 1), (2, 1), (1, 2), (2, 2)]
        assert found == [f"ip-dst=10.0.0.{d}/32 ip-src=10.0.0.{s}/32 protocol=0x0800 ACCEPT" for s, d in pairs]

    def test_one_element_of_a_list(self) -> None:
        assert sent("<ip srcipaddr='$A[1]'/>", A="10.0.0.1 10.0.0.2") == ["ip-src=10.0.0.2/32 protocol=0x0800 ACCEPT"]

    def test_outer_values_win(self) -> None:
        filters = define(
            "<filter name='in'><rule action='drop' direction='out'><ip srcipaddr='$A' dstipaddr='$B'/></rule></filter>",
            "<filter name='top'><filterref filter='in'><parameter name='A' value='10.0.0.1'/>"
            "<parameter name='B' value='10.0.0.2'/></filterref></filter>",
        )
        expected = expand(filters.get, FilterRef("top", (("A", "10.9.9.9"),)), MAC, "p0")
        found = rules_of(expected.ethernet, "libvirt-I-p0")
        assert found == ["ip-dst=10.0.0.2/32 ip-src=10.9.9.9/32 protocol=0x0800 DROP"]

    @pytest.mark.parametrize(
        ("element", "values", "message"),
        [
            ("<ip srcipaddr='$A' srcipmask='$M'/>", {"A": "10.0.0.1 10.0.0.2", "M": "32"}, "differ in length"),
            ("<ip srcipaddr='$A'/>", {}, r"\$A has no value"),
            ("<ip srcipaddr='$A[2]'/>", {"A": "10.0.0.1 10.0.0.2"}, r"\$A has no value"),
            ("<ip srcipaddr='$A'/>", {"A": "2001:db8::1"}, "ebtables would refuse it"),
            ("<ipv6 srcipaddr='$A'/>", {"A": "10.0.0.1"}, "ebtables would refuse it"),
            ("<tcp srcipaddr='$A'/>", {"A": "nonsense"}, "iptables would refuse it"),
        ],
    )
    def test_what_libvirt_refuses(self, element: str, values: dict[str, str], message: str) -> None:
        with pytest.raises(CannotInstantiate, match=message):
            sent(element, **values)

    def test_filters_that_are_missing_or_run_in_circles(self) -> None:
        filters = define(
            "<filter name='a'><filterref filter='b'/></filter>",
            "<filter name='b'><filterref filter='a'/></filter>",
            "<filter name='c'><filterref filter='nobody'/></filter>",
        )
        with pytest.raises(CannotInstantiate, match="circle"):
            expand(filters.get, FilterRef("a"), MAC, "p0")
        with pytest.raises(CannotInstantiate, match="nobody"):
            expand(filters.get, FilterRef("c"), MAC, "p0")


class TestEthernet:
    def test_inout_swaps_what_the_guest_sends(self) -> None:
        element = "<ip srcipaddr='10.0.0.1' dstipaddr='10.0.0.2' protocol='tcp' dstportstart='22'/>"
        expected = scratch(rule(element, direction="inout"))
        assert rules_of(expected.ethernet, "libvirt-I-p0") == [
            "ip-dst=10.0.0.1/32 ip-proto=6 ip-sport=22:22 ip-src=10.0.0.2/32 protocol=0x0800 ACCEPT"
        ]
        assert rules_of(expected.ethernet, "libvirt-O-p0") == [
            "ip-dport=22:22 ip-dst=10.0.0.2/32 ip-proto=6 ip-src=10.0.0.1/32 protocol=0x0800 ACCEPT"
        ]

    @pytest.mark.parametrize(
        ("element", "found"),
        [
            ("<mac match='no' srcmacaddr='$MAC'/>", f"!source={MAC}"),
            (
                "<mac srcmacaddr='52:54:00:11:22:33' srcmacmask='ff:ff:ff:00:00:00'/>",
                "source=52:54:00:00:00:00/ff:ff:ff:00:00:00",
            ),
            ("<mac protocolid='ipv6'/>", "protocol=0x86dd"),
            ("<ip srcipmask='24'/>", "protocol=0x0800"),
            ("<ip srcipaddr='10.0.0.1' srcipmask='0'/>", "protocol=0x0800"),
            ("<ip dscp='16'/>", "ip-tos=0x10 protocol=0x0800"),
            ("<arp opcode='Request' gratuitous='true'/>", "arp-gratuitous= arp-op=1 protocol=0x0806"),
            ("<arp gratuitous='false'/>", "protocol=0x0806"),
            ("<rarp hwtype='1' protocoltype='0x800'/>", "arp-htype=1 arp-ptype=0x0800 protocol=0x8035"),
            (
                "<arp arpsrcipaddr='10.0.0.0' arpsrcipmask='8' arpdstipaddr='10.1.2.3'/>",
                "arp-ip-dst=10.0.0.0/8 arp-ip-src=10.0.0.0/8 protocol=0x0806",
            ),
            ("<vlan vlanid='7' encap-protocol='arp'/>", "protocol=0x8100 vlan-encap=0x2054 vlan-id=7"),
            (
                "<stp type='0' root-priority='1' root-priority-hi='9'/>",
                "destination=01:80:c2:00:00:00 stp-root-prio=1:9 stp-type=0",
            ),
            (
                "<ipv6 protocol='icmpv6' type='131' typeend='132'/>",
                "ip6-icmp-type=131:132/0:255 ip6-proto=58 protocol=0x86dd",
            ),
            ("<ipv6 protocol='icmpv6' code='3'/>", "ip6-icmp-type=0:255/3:3 ip6-proto=58 protocol=0x86dd"),
        ],
    )
    def test_elements(self, element: str, found: str) -> None:
        assert sent(element) == [f"{found} ACCEPT"]

    def test_actions(self) -> None:
        targets = {"accept": "ACCEPT", "drop": "DROP", "reject": "DROP", "return": "RETURN", "continue": "CONTINUE"}
        for action, target in targets.items():
            assert rules_of(scratch(rule(action=action)).ethernet, "libvirt-I-p0") == [target]

    @pytest.mark.parametrize(
        "element",
        [
            "<ipv6 type='134'/>",
            "<ip match='no' protocol='tcp' srcportstart='1' dstportstart='2'/>",
            "<vlan vlanid='4095'/>",
        ],
    )
    def test_what_the_tools_refuse(self, element: str) -> None:
        with pytest.raises(CannotInstantiate):
            sent(element)

    def test_stp_with_a_source_mac_has_no_inout(self) -> None:
        with pytest.raises(CannotInstantiate, match="stp"):
            scratch(rule("<stp srcmacaddr='$MAC'/>", direction="inout"))


class TestPackets:
    def chains(self, text: str, family: Family = Family.IPV4) -> dict[str, list[str]]:
        expected = scratch(text)
        ruleset = expected.ipv4 if family is Family.IPV4 else expected.ipv6
        return {prefix: rules_of(ruleset, f"{prefix}-p0") for prefix in ("FI", "FO", "HI")}

    def test_answers_pass_the_other_way(self) -> None:
        assert self.chains(rule("<tcp dstportstart='22'/>")) == {
            "FI": ["ctdir=ORIGINAL ctstate=ESTABLISHED,NEW dport=22:22 protocol=6 RETURN"],
            "FO": ["ctdir=REPLY ctstate=ESTABLISHED protocol=6 sport=22:22 ACCEPT"],
            "HI": ["ctdir=ORIGINAL ctstate=ESTABLISHED,NEW dport=22:22 protocol=6 RETURN"],
        }

    def test_incoming_and_both(self) -> None:
        assert self.chains(rule("<udp srcportstart='53'/>", direction="in")) == {
            "FI": ["ctdir=REPLY ctstate=ESTABLISHED dport=53:53 protocol=17 RETURN"],
            "FO": ["ctdir=ORIGINAL ctstate=ESTABLISHED,NEW protocol=17 sport=53:53 ACCEPT"],
            "HI": ["ctdir=REPLY ctstate=ESTABLISHED dport=53:53 protocol=17 RETURN"],
        }
        assert self.chains(rule("<udp srcportstart='53'/>", direction="inout")) == {
            "FI": ["dport=53:53 protocol=17 RETURN"],
            "FO": ["protocol=17 sport=53:53 ACCEPT"],
            "HI": ["dport=53:53 protocol=17 RETURN"],
        }

    def test_others_than_accept_ask_for_no_state(self) -> None:
        assert self.chains(rule("<all/>", action="reject")) == {"FI": ["REJECT"], "FO": ["REJECT"], "HI": ["REJECT"]}
        assert self.chains(rule("<all/>", action="drop", more="statematch='0'"))["FO"] == ["DROP"]

    def test_the_filters_own_states(self) -> None:
        element = "<all state='NEW,RELATED'/>"
        for action, kept, passed in (("drop", "DROP", "DROP"), ("accept", "RETURN", "ACCEPT")):
            assert self.chains(rule(element, action)) == {
                "FI": [f"ctstate=NEW,RELATED {kept}"], "FO": [], "HI": [f"ctstate=NEW,RELATED {kept}"]
            }  # fmt: skip
            assert self.chains(rule(element, action, "in")) == {
                "FI": [],
                "FO": [f"ctstate=NEW,RELATED {passed}"],
                "HI": [],
            }
        assert self.chains(rule("<all state='NONE'/>"))["FI"] == ["RETURN"]
        assert self.chains(rule(element, more="statematch='0'"))["FO"] == ["ACCEPT"]

    def test_limits_are_for_what_is_sent(self) -> None:
        assert self.chains(rule("<tcp connlimit-above='3'/>", action="drop")) == {
            "FI": ["connlimit-above=3 protocol=6 DROP"], "FO": [], "HI": ["connlimit-above=3 protocol=6 DROP"]
        }  # fmt: skip

    def test_icmp_types_pass_one_way(self) -> None:
        assert self.chains(rule("<icmp type='8' code='0'/>")) == {
            "FI": ["ctstate=ESTABLISHED,NEW icmp-type=8:8/0:0 protocol=1 RETURN"],
            "FO": [],
            "HI": ["ctstate=ESTABLISHED,NEW icmp-type=8:8/0:0 protocol=1 RETURN"],
        }
        found = self.chains(rule("<icmpv6 type='128'/>", direction="in"), Family.IPV6)
        assert found == {
            "FI": [],
            "FO": ["ctstate=ESTABLISHED,NEW icmpv6-type=128:128/0:255 protocol=58 ACCEPT"],
            "HI": [],
        }

    def test_a_source_mac_is_asked_only_of_the_guest(self) -> None:
        found = self.chains(rule("<all srcmacaddr='$MAC'/>", more="statematch='0'"))
        assert found == {"FI": [f"mac-source={MAC} RETURN"], "FO": [], "HI": [f"mac-source={MAC} RETURN"]}

    def test_sets_ranges_and_comments(self) -> None:
        element = "<all srcipfrom='10.0.0.1' srcipto='10.0.0.9' ipset='bad' ipsetflags='src,dst' comment='a b'/>"
        found = self.chains(rule(element, action="drop"))
        assert found["FI"] == ["comment=a b match-set=bad src,dst src-range=10.0.0.1-10.0.0.9 DROP"]
        assert found["FO"] == ["comment=a b dst-range=10.0.0.1-10.0.0.9 match-set=bad dst,src DROP"]

    def test_links_to_the_chains(self) -> None:
        ipv4 = scratch(rule("<tcp/>")).ipv4
        assert rules_of(ipv4, "libvirt-in") == ["physdev-in=p0 go FI-p0"]
        assert rules_of(ipv4, "libvirt-out") == ["physdev-is-bridged= physdev-out=p0 go FO-p0"]
        assert rules_of(ipv4, "libvirt-host-in") == ["physdev-in=p0 go HI-p0"]
        assert rules_of(ipv4, "libvirt-in-post") == ["physdev-in=p0 ACCEPT"]
        assert rules_of(ipv4, "FORWARD") == ["libvirt-in", "libvirt-out", "libvirt-in-post"]

    def test_iptables_has_no_continue(self) -> None:
        with pytest.raises(CannotInstantiate, match="continue"):
            scratch(rule("<tcp/>", action="continue"))

    def test_read_back(self) -> None:
        text = """
*filter
:FORWARD DROP [0:0]
:INPUT ACCEPT [0:0]
:FI-p0 - [0:0]
:FO-p0 - [0:0]
:HI-p0 - [0:0]
:libvirt-in - [0:0]
:libvirt-out - [0:0]
:libvirt-in-post - [0:0]
:libvirt-host-in - [0:0]
-A FORWARD -j libvirt-in
-A FORWARD -j libvirt-out
-A FORWARD -j libvirt-in-post
-A FORWARD -s 10.0.0.0/8 -j ACCEPT
-A INPUT -j libvirt-host-in
-A FI-p0 -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW,ESTABLISHED --ctdir ORIGINAL -m comment --comment "-j \\"x\\"" -j RETURN
-A FO-p0 -p tcp -m tcp --sport 22 -m conntrack --ctstate ESTABLISHED --ctdir REPLY -m comment --comment "-j \\"x\\"" -j ACCEPT
-A HI-p0 -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW,ESTABLISHED --ctdir ORIGINAL -m comment --comment "-j \\"x\\"" -j RETURN
-A libvirt-in -m physdev --physdev-in p0 -g FI-p0
-A libvirt-out -m physdev --physdev-out p0 --physdev-is-bridged -g FO-p0
-A libvirt-in-post -m physdev --physdev-in p0 -j ACCEPT
-A libvirt-host-in -m physdev --physdev-in p0 -g HI-p0
"""  # noqa: E501
        expected = scratch(rule("<tcp dstportstart='22' comment='-j \"x\"'/>"))
        assert rule_differences(expected, parse_iptables(text, Family.IPV4)) == ()
        changed = text.replace("--dport 22", "--dport 22:23", 1)
        assert [d.chain for d in rule_differences(expected, parse_iptables(changed, Family.IPV4))] == ["FI-p0"]

    def test_flags_by_a_variable_match_everything_once_for_each_value(self) -> None:
        """libvirt fills in no variable there; iptables then prints no flags at all."""
        found = rules_of(scratch(rule("<tcp flags='$A'/>", "drop"), A="1 2").ipv4, "HI-p0")
        assert found == ["protocol=6 DROP", "protocol=6 DROP"]

    def test_what_libvirt_leaves_behind_is_no_difference(self) -> None:
        text = "*filter\n:libvirt-in-post - [0:0]\n-A FORWARD -j libvirt-in-post\n"
        text += "-A libvirt-in-post -m physdev --physdev-in p0 -j ACCEPT\n"
        assert rule_differences(scratch(rule("<ip/>")), parse_iptables(text, Family.IPV4)) == ()


def test_shared_filters_need_no_iptables() -> None:
    subject = interface(["10.0.0.1"], ["2001:db8::1"])
    expected = expand(shared_filters().get, filterref(subject), subject.mac, "p0")
    assert expected.ipv4.chains == expected.ipv6.chains == ()
    assert expected.ties == frozenset()
