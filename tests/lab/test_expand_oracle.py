"""libvirt and the kernel judge what is foretold: rules are read back from a port, frames are sent through it."""

from __future__ import annotations

import json
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random

import libvirt
import pytest
import sizes
from extension_headers import is_extended
from hypothesis import assume, given, reject, settings
from interfaces import MAC, SPECIAL, filterref, random_interface, shared_filters
from random_packets import ethernet_element, frame, packet_element, rule
from sizes import examples
from strategies import CHAINS, rules

from reconciler.domain.binding import binding_xml
from reconciler.host import processes
from reconciler.host.address import namespaces_of, parse_uri
from reconciler.host.backend import said_backend
from reconciler.host.kernel import Kernel
from reconciler.host.processes import Namespaces
from reconciler.lab import burst, labs
from reconciler.lab.handle import Lab
from reconciler.lab.ports import Port, add_port
from reconciler.model.filter import FilterRef, NwFilter, Rule, canonical_parameters
from reconciler.model.guest import Interface
from reconciler.model.kernel import Backend, KernelRules
from reconciler.model.live import Binding
from reconciler.nwfilter.battery import BatteryCase, Direction, battery
from reconciler.nwfilter.compare_rules import rule_differences
from reconciler.nwfilter.decode import decode
from reconciler.nwfilter.evaluate import OUTSIDE, Evaluator
from reconciler.nwfilter.expand import Expected, expand
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.instances import CannotInstantiate
from reconciler.nwfilter.matches import UnknownMatch
from reconciler.nwfilter.nftables import TABLES
from reconciler.nwfilter.parse import parse_filter
from reconciler.nwfilter.stock import STOCK_FILTERS
from reconciler.nwfilter.syntax import FilterSyntax

pytestmark = pytest.mark.lab

SHARED = shared_filters()

VALUES = {
    "IP": ("10.0.0.1", "10.0.0.2", "10.0.0.1"),
    "IPMASK": ("32", "24", "32"),
    "IPV6": ("2001:db8::1", "fe80::1"),
    "IPV6MASK": ("128", "64"),
    "GATEWAY_MAC": ("52:54:00:aa:bb:cc",),
    "DHCPSERVER": ("10.0.0.254",),
    "CTRL_IP_LEARNING": ("none",),
    "A": ("1", "2"),
    "B": ("5", "6", "7"),
    "X": ("9", "10"),
}


Lookup = Callable[[str], NwFilter | None]


def reference(name: str, **changes: tuple[str, ...]) -> FilterRef:
    values = {**VALUES, **changes}
    return FilterRef(name, canonical_parameters((n, value) for n in values for value in values[n]))


@dataclass
class Bench:
    """A port with a listener beside it, and libvirt to build rules for it."""

    lab: Lab
    connection: libvirt.virConnect
    port: Port
    peer: Port

    @property
    def backend(self) -> Backend:
        return self.lab.system.backend

    @property
    def tools(self) -> Namespaces | None:
        """Where the programs that make and read rules run: with the daemon's own files."""
        pid = self.lab.daemon_pid
        assert pid
        return namespaces_of(pid, parse_uri(self.lab.uri))

    def held(self, name: str) -> NwFilter | None:
        """A filter as libvirt has it: each release ships its own."""
        try:
            return parse_filter(self.connection.nwfilterLookupByName(name).XMLDesc())
        except libvirt.libvirtError:
            return None

    def read_back(self) -> KernelRules:
        pid = self.lab.daemon_pid
        rules = Kernel(self.tools, said_backend(Path(f"/proc/{pid}/root"))).rules(packets=True)
        assert rules.backend is self.backend
        return rules

    def foretold(self, lookup: Lookup, ref: FilterRef) -> Expected | None:
        try:
            return expand(lookup, ref, MAC, "p0", self.backend)
        except CannotInstantiate:
            return None

    @contextmanager
    def defined(self, filters: Sequence[NwFilter]) -> Iterator[None]:
        """Filters while a block runs; those they refer to come first."""
        for definition in filters:
            self.connection.nwfilterDefineXML(format_filter(definition))
        try:
            yield
        finally:
            for definition in reversed(filters):
                self.connection.nwfilterLookupByName(definition.name).undefine()

    @contextmanager
    def bound(self, ref: FilterRef) -> Iterator[None]:
        """A filter on the port while a block runs. Raises libvirtError where libvirt refuses."""
        binding = Binding(self.port.name, "guest", MAC, ref)
        try:
            bound = self.connection.nwfilterBindingCreateXML(binding_xml(binding, str(uuid.uuid4())))
        except libvirt.libvirtError:
            self._sweep()
            raise
        try:
            yield
        finally:
            bound.delete()

    @cached_property
    def tracks_connections(self) -> bool:
        """Whether rules may ask for a connection's state: those of nft need the kernel's nf_conntrack_bridge."""
        if self.backend is not Backend.NFTABLES:
            return True
        probe = "add table bridge probe; add chain bridge probe c; add rule bridge probe c ct state new"
        found = processes.run(["nft", probe], within=self.tools, check=False).ok
        processes.run(["nft", "delete", "table", "bridge", "probe"], within=self.tools, check=False)
        return found

    def _sweep(self) -> None:
        """libvirt leaves temporary chains of nft behind when it fails, and builds the next rules into them."""
        if self.backend is Backend.NFTABLES:
            for table in TABLES.values():
                processes.run(["nft", "delete", "table", "bridge", table], within=self.tools, check=False)

    def send(self, source: Port, target: Port, frames: Sequence[bytes]) -> list[bool]:
        """Whether each frame, sent at the guest's end of a port, is heard at that of another.

        The host is no witness: its bridge device hears a packet before iptables' INPUT has judged it.
        """
        wanted = {"listen": [target.guest_end], "send": {source.guest_end: [data.hex() for data in frames]}}
        ended = self.lab.run([sys.executable, "-I", "-S", burst.__file__], stdin=json.dumps(wanted))
        heard = set(json.loads(ended.stdout)[source.guest_end][target.guest_end])
        return [index in heard for index in range(len(frames))]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with labs.lab() as lab:
        connection = libvirt.open(lab.uri)
        for definition in SHARED.values():
            connection.nwfilterDefineXML(format_filter(definition))
        yield Bench(lab, connection, add_port(lab, "p0", mac=MAC), add_port(lab, "peer"))
        connection.close()


def agree(bench: Bench, lookup: Lookup, ref: FilterRef) -> str:
    """Asserts that the foretold rules are those of libvirt; "same", or who refused."""
    expected = bench.foretold(lookup, ref)
    try:
        with bench.bound(ref):
            actual = bench.read_back()
    except libvirt.libvirtError:
        return _refusal(bench, expected)
    if expected is None:
        return "not foretold"
    differences = [difference for ruleset in actual.rulesets for difference in rule_differences(expected, ruleset)]
    assert not differences, differences
    return "same"


def _refusal(bench: Bench, expected: Expected | None) -> str:
    if expected is None:
        return "refused"
    return "refused unforeseen" if bench.tracks_connections or not _asks_for_connections(expected) else "untracked"


def _asks_for_connections(expected: Expected) -> bool:
    rules = (rule for ruleset in expected.rules.rulesets for chain in ruleset.chains for rule in chain.rules)
    return any(condition.option.startswith("ct ") for rule in rules for condition in rule.conditions)


@pytest.mark.parametrize("name", sorted(STOCK_FILTERS))
def test_stock_filters(bench: Bench, name: str) -> None:
    server = ("2001:db8::254",) if name == "allow-dhcpv6-server" else VALUES["DHCPSERVER"]
    assert agree(bench, bench.held, reference(name, DHCPSERVER=server)) == "same"


@pytest.mark.parametrize("name", sorted(SHARED))
def test_shared_filters(bench: Bench, name: str) -> None:
    lists = {"IP": ("10.0.0.1", "10.0.1.0"), "IPMASK": ("32", "24"), "SEGMENT": ("10.0.0.0",), "SEGMENTMASK": ("8",)}
    segment = {"SEGMENT6": ("2001:db8::", "2001:db8:1::"), "SEGMENT6MASK": ("48", "48")}
    assert agree(bench, SHARED.get, reference(name, **lists, **segment)) == "same"


LEAST_PART = {Backend.IPTABLES: 2, Backend.NFTABLES: 5}
"""nft refuses more: inverted addresses of packets, masks of several TCP flags, most masks of rarp."""


@pytest.mark.fuzz
def test_any_rule(bench: Bench) -> None:
    """A refusal that we did not foresee is the tools' own affair; rules that differ are ours."""
    outcomes = Counter[str]()

    @settings(max_examples=examples(40, 3000))
    @given(chain=CHAINS, text=rules())
    def check(chain: str, text: str) -> None:
        # Without ipset(8) in the lab no set exists, so libvirt would refuse the rule.
        assume("ipset=" not in text)
        definition = parsed(f"<filter name='scratch' chain='{chain}'>{text}</filter>")
        with bench.defined([definition]):
            outcomes[agree(bench, {"scratch": definition}.get, reference("scratch"))] += 1

    check()
    assert outcomes["same"] > outcomes.total() / LEAST_PART[bench.backend], outcomes


def parsed(text: str) -> NwFilter:
    try:
        return parse_filter(text)
    except FilterSyntax:
        reject()


TREE_ELEMENTS = (
    "<ip srcipaddr='$A' srcipmask='$M'/>", "<ip srcipaddr='$A[@1]' dstipaddr='$A[@2]'/>", "<mac srcmacaddr='$MAC'/>",
    "<ip srcipaddr='$A[@2]' dstipaddr='$B' srcipmask='$M[@1]'/>", "<arp arpsrcipaddr='$B[1]' arpdstipaddr='$A'/>",
    "", "<ip match='no' srcipaddr='$A'/>", "<arp arpsrcipaddr='10.0.0.0' arpsrcipmask='8' arpdstipaddr='$A'/>",
    "<ipv6 srcipaddr='$S'/>", "<ip dscp='12' protocol='tcp' dstportstart='$P'/>", "<tcp dstportstart='$P'/>",
    "<all srcipaddr='$A' state='NEW,RELATED'/>", "<udp-ipv6 srcipaddr='$S' connlimit-above='3'/>",
)  # fmt: skip
TREE_CHAINS = (
    "root",
    "root",
    "mac",
    "mac-x",
    "ipv4",
    "ipv4-a",
    "ipv4-b",
    "arp",
    "arp-x",
    "ipv6",
    "vlan",
    "stp",
    "rarp",
)


def random_tree(random: Random) -> list[NwFilter]:
    """Four filters, later ones refer to earlier ones and set their variables."""
    return [_random_node(random, number) for number in range(4)]


def _random_node(random: Random, number: int) -> NwFilter:
    chain = random.choice(TREE_CHAINS)
    priority = random.choice(("", "", "-800", "-700", "-500", "100", "950"))
    head = f"name='s{number}' chain='{chain}'" + (f" priority='{priority}'" if priority and chain != "root" else "")
    parameters = "".join(
        f"<parameter name='{name}' value='{value}'/>"
        for name, value in (("B", f"10.9.9.{number}"), ("B", f"10.9.8.{number}"), ("P", str(number + 1)))
    )
    body = [
        f"<filterref filter='s{earlier}'>{parameters}</filterref>" for earlier in range(number) if random.random() < 0.5
    ]
    actions = ("accept", "drop", "return", "reject")
    body += [rule(random, random.choice(TREE_ELEMENTS), actions) for _ in range(random.randint(0, 3))]
    random.shuffle(body)
    return parse_filter(f"<filter {head}>{''.join(body)}</filter>")


def test_any_tree(bench: Bench) -> None:
    random, outcomes = Random(7), Counter[str]()
    for _ in range(examples(15, 1000)):
        tree = random_tree(random)
        values: dict[str, tuple[str, ...]] = {"A": ("10.0.0.1", "10.0.0.2", "10.0.0.1"), "M": ("32", "24", "32")}
        values |= {"S": ("2001:db8::1", "fe80::1")}
        values |= {"B": ("10.1.0.1", "10.1.0.2")} if random.random() < 0.6 else {"B": ()}
        values |= {"P": ("22", "80")} if random.random() < 0.5 else {}
        with bench.defined(tree):
            outcomes[agree(bench, {f.name: f for f in tree}.get, reference("s3", **values))] += 1
    assert set(outcomes) <= {"same", "refused", "untracked"}
    assert outcomes["same"] > outcomes.total() / LEAST_PART[bench.backend], outcomes


def heard(bench: Bench, cases: Sequence[BatteryCase]) -> Mapping[str, bool]:
    outgoing = [case for case in cases if case.direction is Direction.OUT]
    incoming = [case for case in cases if case.direction is Direction.IN]
    sent = bench.send(bench.port, bench.peer, [case.data for case in outgoing])
    got = bench.send(bench.peer, bench.port, [case.data for case in incoming])
    return {case.id: passed for case, passed in zip((*outgoing, *incoming), (*sent, *got), strict=True)}


FORMS = {
    "guest-dual-stack": (True, True),
    "guest-ipv4": (True, False),
    "guest-ipv6": (False, True),
    "guest-locked": (False, False),
}


@pytest.mark.parametrize("form", FORMS)
def test_battery(bench: Bench, form: str) -> None:
    has_ipv4, has_ipv6 = FORMS[form]
    random = Random(form)
    for _ in range(examples(5, 50) if has_ipv4 or has_ipv6 else 1):
        subject = random_interface(random, has_ipv4=has_ipv4, has_ipv6=has_ipv6)
        assert subject.filter == form
        assert_battery(bench, subject)


@pytest.mark.parametrize("subject", SPECIAL, ids=lambda subject: subject.filter)
def test_battery_of_guests_with_a_role(bench: Bench, subject: Interface) -> None:
    assert_battery(bench, subject)


def assert_battery(bench: Bench, subject: Interface) -> None:
    """What is foretold, what is read back and what frames do agree; only what no rule can tell is wrong."""
    cases = battery(subject)
    wrong = wrong_cases(bench, cases, SHARED.get, filterref(subject))
    unseen = {case.id for case in cases if bench.backend is Backend.NFTABLES and is_extended(case.frame)}
    assert wrong - unseen == {case.id for case in cases if case.inexpressible} - unseen


def wrong_cases(bench: Bench, cases: Sequence[BatteryCase], lookup: Lookup, ref: FilterRef) -> set[str]:
    """The cases that come out wrong. Asserts that rules foretold, rules read back and frames agree on each."""
    expected = bench.foretold(lookup, ref)
    assert expected
    predicted = Evaluator.of(expected)
    with bench.bound(ref):
        read_back = Evaluator.on(bench.read_back())
        frames = heard(bench, cases)
    told = {case.id: predicted.case(case, "p0").passes for case in cases}
    assert told == {case.id: read_back.case(case, "p0").passes for case in cases}
    assert told == frames
    return {case.id for case in cases if frames[case.id] != (case.expected == "pass")}


OF_NFT = parse_filter((Path(__file__).parent.parent / "samples/of_nft/guest-ipv6-source.xml").read_bytes())


@pytest.mark.parametrize("form", ["guest-dual-stack", "guest-ipv6"])
def test_a_filter_for_nft_sees_behind_extension_headers_and_ebtables_refuses_it(bench: Bench, form: str) -> None:
    entries = SHARED[form].entries
    changed = (
        replace(each, filter=OF_NFT.name) if each == FilterRef("guest-ipv6-source") else each for each in entries
    )
    whole = replace(SHARED[form], name="scratch", entries=tuple(changed))
    lookup = {**SHARED, OF_NFT.name: OF_NFT, whole.name: whole}.get
    subject = replace(
        random_interface(Random(form), has_ipv4=form == "guest-dual-stack", has_ipv6=True), filter="scratch"
    )
    cases = battery(subject)
    with bench.defined([OF_NFT, whole]):
        if bench.backend is Backend.NFTABLES:
            wrong = wrong_cases(bench, cases, lookup, filterref(subject))
            assert wrong == {case.id for case in cases if case.inexpressible}
        else:
            assert agree(bench, lookup, filterref(subject)) == "refused"


def decided(bench: Bench, definition: NwFilter, frames: Sequence[bytes]) -> Counter[str]:
    """Asserts that frames fare as foretold; counts what decided, and how often frames passed and not."""
    expected = bench.foretold({"scratch": definition}.get, reference("scratch"))
    counts = Counter[str]()
    if expected is None:
        return counts
    predicted = Evaluator.of(expected)
    with bench.defined([definition]), bench.bound(reference("scratch")):
        read_back = Evaluator.on(bench.read_back())
        passed = bench.send(bench.port, bench.peer, frames)
    for data, arrived in zip(frames, passed, strict=True):
        try:
            verdict = predicted.forwarded(decode(data), "p0", OUTSIDE)
        except UnknownMatch:
            counts["not judged"] += 1
            continue
        shown = f"{data.hex()}\n{decode(data)}\n{verdict}\n{format_filter(definition)}"
        assert read_back.forwarded(decode(data), "p0", OUTSIDE).passes == verdict.passes, shown
        assert verdict.passes == arrived, shown
        counts["pass" if arrived else "drop"] += 1
        counts[_kind(definition, verdict.source.rule) if verdict.source else "policy"] += 1
    return counts


def _kind(definition: NwFilter, number: int) -> str:
    decider = [entry for entry in definition.entries if isinstance(entry, Rule)][number - 1]
    return decider.matches[0].protocol if decider.matches else "none"


KINDS = {
    "ethernet": ("mac", "vlan", "stp", "arp", "rarp", "ip", "ipv6", "none"),
    "packets": ("tcp", "udp", "icmp", "all", "tcp-ipv6", "udp-ipv6", "icmpv6", "all-ipv6"),
}


@pytest.mark.parametrize("level", ["ethernet", "packets"])
def test_random_filters_and_frames(bench: Bench, level: str) -> None:
    random, counts = Random(level), Counter[str]()
    for number in range(examples(10, 200)):
        definition = random_filter(random, level, bench)
        frames = [frame(random, f"{level}-{number}-{n}", fragments=level == "ethernet") for n in range(60)]
        counts += decided(bench, definition, list(dict.fromkeys(frames)))
    total = counts["pass"] + counts["drop"]
    assert total >= examples(400, 8000), counts
    assert min(counts["pass"], counts["drop"]) >= 0.3 * total, counts
    if sizes.FULL:
        assert min(counts[kind] for kind in KINDS[level]) >= 20, counts


def random_filter(random: Random, level: str, bench: Bench) -> NwFilter:
    """Of rules each of which can be built; without connection tracking none asks for a state."""
    texts: list[str] = []
    while len(texts) < 8:
        if level == "ethernet":
            text = rule(random, ethernet_element(random), ("accept", "drop", "drop", "reject"))
        else:
            text = rule(random, packet_element(random), ("accept", "drop", "drop", "reject", "return"))
            text = text if bench.tracks_connections else _without_states(text)
        alone = parse_filter(f"<filter name='scratch'>{text}</filter>")
        if bench.backend is Backend.IPTABLES or bench.foretold({"scratch": alone}.get, reference("scratch")):
            texts.append(text)
    return parse_filter(f"<filter name='scratch'>{''.join(texts)}</filter>")


def _without_states(text: str) -> str:
    return text if "statematch" in text else text.replace("<rule ", "<rule statematch='false' ", 1)
