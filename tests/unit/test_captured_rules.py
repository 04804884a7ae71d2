"""Rules that libvirt 11.3 and 12.8 really made, on both backends: read, foretold and judged alike without a lab."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from extension_headers import is_extended
from interfaces import MAC
from random_packets import frame
from samples.captures import FOLDER, NOT_TRACKED, PORTS, SUBJECTS, SYSTEMS, Capture, captures
from sizes import examples

from reconciler.model.filter import FilterRef
from reconciler.model.kernel import Backend, Family, KernelRules
from reconciler.nwfilter.battery import battery
from reconciler.nwfilter.decode import decode
from reconciler.nwfilter.evaluate import OUTSIDE, Evaluator
from reconciler.nwfilter.expand import Expected, expand
from reconciler.nwfilter.frame import Frame
from reconciler.nwfilter.installed import Installed
from reconciler.nwfilter.leftovers import leftover_ports
from reconciler.nwfilter.nft_leftovers import clearing, deletions
from reconciler.nwfilter.path import with_sources
from reconciler.nwfilter.prove import prove_all
from reconciler.nwfilter.walk import UnknownMatch

CAPTURES = captures()
PLACES = [
    pytest.param(capture, port, reference, id=f"{capture.folder.name}-{port}")
    for capture in CAPTURES
    for port, reference in capture.ports()
]
every_port = pytest.mark.parametrize(("capture", "port", "reference"), PLACES)
every_capture = pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.folder.name)


def foretold(capture: Capture, port: str, reference: FilterRef) -> Expected:
    return expand(capture.filters().get, reference, MAC, port, capture.backend)


def test_every_release_and_backend_is_captured_with_every_port() -> None:
    assert {capture.folder for capture in CAPTURES} == {FOLDER / f"{release}-{backend}" for release, backend in SYSTEMS}
    for capture in CAPTURES:
        untracked = {NOT_TRACKED} if capture.backend is Backend.NFTABLES else set()
        assert dict(capture.ports()).keys() >= PORTS.keys() - untracked


@every_capture
def test_the_backend_is_seen_in_the_rules(capture: Capture) -> None:
    assert capture.rules().backend is capture.backend


@every_port
def test_the_foretold_rules_are_those_that_libvirt_made(capture: Capture, port: str, reference: FilterRef) -> None:
    differences = Installed(capture.rules()).differences(capture.filters().get, reference, MAC, port)
    assert not differences, differences


@every_port
def test_the_rules_of_another_filter_differ(capture: Capture, port: str, reference: FilterRef) -> None:
    other = next(each for name, each in capture.ports() if each.filter != reference.filter)
    assert Installed(capture.rules()).differences(capture.filters().get, other, MAC, port)


@every_port
def test_frames_fare_on_the_captured_rules_as_foretold(capture: Capture, port: str, reference: FilterRef) -> None:
    predicted, captured = Evaluator.of(foretold(capture, port, reference)), Evaluator.on(capture.rules())
    random, verdicts = Random(port), Counter[bool | None]()
    for number in range(examples(120, 2000)):
        sent = decode(frame(random, f"{number}"))
        for ends in ((port, OUTSIDE), (OUTSIDE, port)):
            told = verdict(predicted, sent, ends)
            assert told == verdict(captured, sent, ends), sent
            verdicts[told] += 1
    assert verdicts[None] < examples(10, 100)
    assert min(verdicts[True], verdicts[False]) > examples(8, 150) or reference.filter == "sample-states"


def verdict(rules: Evaluator, sent: Frame, ends: tuple[str, str]) -> bool | None:
    """None where it depends on the kernel: whether a later fragment has ports."""
    try:
        return rules.forwarded(sent, *ends).passes
    except UnknownMatch:
        return None


@every_capture
@pytest.mark.parametrize("port", SUBJECTS)
def test_a_battery_proves_the_captured_rules(capture: Capture, port: str) -> None:
    """What nft's rules do not see behind extension headers is the only thing that its backend lets through."""
    cases = {case.id: case for case in battery(SUBJECTS[port])}
    proven = prove_all(capture.rules(), port, SUBJECTS[port])
    assert {case.got for case in proven} == {"present", "pass", "drop"}
    wrong = [cases[case.case].frame for case in proven if not case.holds and not case.inexpressible]
    assert bool(wrong) is (capture.backend is Backend.NFTABLES)
    assert all(map(is_extended, wrong))


@every_capture
def test_the_way_of_a_frame_names_the_filters_rule(capture: Capture) -> None:
    reference = dict(capture.ports())["p1"]
    rules = with_sources(capture.rules(), foretold(capture, "p1", reference))
    sent = decode(frame(Random(1), "forged", fragments=False))
    decided = Evaluator.on(rules).forwarded(replace(sent, source="02:00:00:00:00:66"), "p1", OUTSIDE)
    assert not decided.passes
    assert str(decided).startswith("guest-mac.xml, rule")


NFT = next(capture for capture in CAPTURES if capture.backend is Backend.NFTABLES)


def changed(*edits: tuple[str, str]) -> KernelRules:
    """The captured rules of nft with other words in place of those that stand there."""
    text = NFT.text("nft.json")
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return NFT.rules(nft=text)


def differing(rules: KernelRules) -> Iterator[tuple[str, str]]:
    """Ports and chains that are not as they should be."""
    installed, lookup = Installed(rules), NFT.filters().get
    for port, reference in NFT.ports():
        yield from ((port, each.chain) for each in installed.differences(lookup, reference, MAC, port))


def test_a_flushed_table_is_drift_of_every_port() -> None:
    objects = json.loads(NFT.text("nft.json"))["nftables"]
    kept = [each for each in objects if each.get("rule", {}).get("table") != "libvirt_nwfilter_ethernet"]
    found = set(differing(NFT.rules(nft=json.dumps({"nftables": kept}))))
    assert {port for port, _ in found} == {port for port, _ in NFT.ports()}


JUMP = '["p3", {"jump": {"target": "p3-out"}}]'
RANGE = '"right": {"range": [22, 53]}}}, '
EDITS = {
    "no jump to the port's chain": (JUMP, '["p3", {"return": null}]', {"p3-out", "PREROUTING"}),
    "another port": ('"right": {"range": [22, 68]}', '"right": {"range": [22, 69]}', {"p3-out"}),
    "libvirt's set changed": ('{"concat": ["0.0.0.7", "0.0.0.7"]}', '{"concat": ["0.0.0.7", "0.0.0.8"]}', {"p3-out"}),
    "another verdict": (f'{RANGE}{{"drop": null}}', f'{RANGE}{{"accept": null}}', {"p4-out"}),
    "a counter": (f'{RANGE}{{"drop": null}}', f'{RANGE}{{"counter": null}}, {{"drop": null}}', set[str]()),
    "a limit": (f'{RANGE}{{"drop": null}}', f'{RANGE}{{"limit": {{"rate": 5}}}}, {{"drop": null}}', {"p4-out"}),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_drift_where_it_changes_a_verdict(edit: str) -> None:
    old, new, chains = EDITS[edit]
    assert {chain for _, chain in differing(changed((old, new)))} == chains


def test_rules_of_connections_are_read_as_nft_lists_them() -> None:
    """As nft 1.1.7 lists them in a table of inet: the kernel that captured cannot track connections of bridges."""

    def match(operator: str, key: str, right: object) -> dict[str, object]:
        return {"match": {"op": operator, "left": {"ct": {"key": key}}, "right": right}}

    listed: list[list[object]] = [
        [match("==", "direction", "original"), match("in", "state", ["established", "new"])],
        [match("==", "direction", "reply"), match("in", "state", "established")],
        [{"ct count": {"val": 3, "inv": True}}, match("in", "state", ["established", "new"])],
    ]
    place = {"family": "bridge", "table": "libvirt_nwfilter_inet", "chain": "p9-out"}
    rules = [{"rule": {**place, "expr": [*each, {"accept": None}]}} for each in listed]
    inet = NFT.rules(nft=json.dumps({"nftables": rules})).inet
    assert inet and inet.family is Family.NFT_INET
    chain = inet.chain("p9-out")
    assert chain
    assert [[f"{c.option} {c.value}" for c in rule.conditions] for rule in chain.rules] == [
        ["ct direction original", "ct state established,new"],
        ["ct direction reply", "ct state established"],
        ["ct count over 3", "ct state established,new"],
    ]


def test_what_a_failed_build_leaves_is_cleared_of_one_port_alone() -> None:
    """As if libvirt had built the rules of p3 and died before it gave the chains their names."""
    text = NFT.text("nft.json").replace('"p3-', '"n-p3-')
    commands = clearing(text, "p3")
    assert not clearing(NFT.text("nft.json"), "p3")
    assert all("n-p3-" in each or '{ "p3" }' in each for each in commands)
    for table in ("libvirt_nwfilter_ethernet", "libvirt_nwfilter_inet"):
        chains = ("n-p3-in", "n-p3-out")
        assert [each for each in commands if table in each] == [
            *(f'delete element bridge {table} {each} {{ "p3" }}' for each in ("vmap-oif", "vmap-iif")),
            *(f"flush chain bridge {table} {each}" for each in chains),
            *(f"delete chain bridge {table} {each}" for each in chains),
        ]


def with_rule(text: str, chain: str, *statements: dict[str, object]) -> str:
    """A listing with one more rule, before all others."""
    listed = json.loads(text)
    place = {"family": "bridge", "table": "libvirt_nwfilter_ethernet", "chain": chain, "handle": 4711}
    first = next(number for number, each in enumerate(listed["nftables"]) if "rule" in each)
    listed["nftables"].insert(first, {"rule": {**place, "expr": list(statements)}})
    return json.dumps(listed)


FROM_P3 = {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "p3"}}
OF_LLDP = {"match": {"op": "==", "left": {"payload": {"protocol": "ether", "field": "type"}}, "right": 0x88CC}}


@pytest.mark.parametrize(
    ("statements", "ports", "removable"),
    [
        ((FROM_P3, {"accept": None}), {"p3"}, True),
        ((OF_LLDP, {"accept": None}), set(PORTS) - {NOT_TRACKED}, True),
        ((OF_LLDP, {"drop": None}), set(PORTS) - {NOT_TRACKED}, False),
        ((OF_LLDP, {"counter": None}), set(), False),
    ],
    ids=["names a port", "accepts of all", "drops of all", "counts"],
)
def test_rules_of_others_before_the_ports_chains_are_foreign(
    statements: tuple[dict[str, object], ...], ports: set[str], removable: bool
) -> None:
    text = with_rule(NFT.text("nft.json"), "prerouting", *statements)
    installed = Installed(NFT.rules(nft=text))
    found = {port: installed.foreign(port) for port, _ in NFT.ports()}
    assert {port for port, rules in found.items() if rules} == ports
    for rules in found.values():
        assert all(rule.removable is removable for rule in rules)
        command = "delete rule bridge libvirt_nwfilter_ethernet prerouting handle 4711"
        assert deletions(text, rules) == ((command,) if rules else ())
    assert not any(Installed(NFT.rules()).foreign(port) for port, _ in NFT.ports())


def test_chains_of_a_port_that_is_gone_are_found_and_cleared_whole() -> None:
    """Of p6, whose rules could not be built, libvirt left its temporary chains."""
    assert leftover_ports(NFT.rules(), frozenset(PORTS)) == ()
    assert leftover_ports(NFT.rules(), frozenset(PORTS) - {"p5", "p6"}) == ("p5", "p6")
    commands = clearing(NFT.text("nft.json"), "p5", whole=True)
    chains = {
        chain.name for ruleset in NFT.rules().rulesets for chain in ruleset.chains if chain.name.startswith("p5-")
    }
    assert len(chains) > 4
    assert {each.split()[-1] for each in commands if each.startswith("delete chain")} == chains
    assert not any(re.search(r"\bp[^5]", each) for each in commands)
    assert clearing(NFT.text("nft.json").replace('"p5-', '"p5-x-'), "p5", whole=True) == ()
