"""`check --fix` corrects what has one correction, leaves every other byte, and changes no packet's fate unsaid."""

from __future__ import annotations

import json
import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from samples.odd_filters import rule
from sites import SITE, guest_yaml, mac
from sizes import examples
from strategies import filter_texts
from test_load_bad_input import CASES as BAD_INPUT
from test_load_bad_input import read_case

from reconciler.load import examine, load
from reconciler.load.checks_mended import MENDED, SPELLINGS
from reconciler.load.mending import mend_site
from reconciler.model.filter import FilterRef, canonical_parameters
from reconciler.model.guest import Interface
from reconciler.model.site import Desired
from reconciler.nwfilter.expand import expand
from reconciler.nwfilter.instances import CannotInstantiate
from reconciler.nwfilter.lint import lint
from reconciler.nwfilter.mend import mend_filter
from reconciler.nwfilter.parse import parse_filter
from reconciler.nwfilter.syntax import FilterSyntax
from reconciler.nwfilter.verdicts import verdict_changes
from reconciler.report.text import unified_diff


def in_chain(chain: str, body: str) -> str:
    return rule(body).replace("chain='root'", f"chain='{chain}'")


SAME_TO_LIBVIRT = (
    ("filter-number-ambiguous", rule("<tcp dstportstart='080'/>"), rule("<tcp dstportstart='80'/>")),
    ("filter-number-ambiguous", rule("<tcp dstportstart='ff'/>"), rule("<tcp dstportstart='255'/>")),
    ("filter-number-ambiguous", rule('<stp root-cost=" -1"/>'), rule('<stp root-cost="4294967295"/>')),
    ("filter-address-ambiguous", rule("<ip srcipaddr='010.1.2.3'/>"), rule("<ip srcipaddr='8.1.2.3'/>")),
    ("filter-address-ambiguous", rule("<ip srcipaddr='10.1'/>"), rule("<ip srcipaddr='10.0.0.1'/>")),
    (
        "filter-address-ambiguous",
        rule("<arp arpsrcipaddr='::ffff:10.0.0.1'/>"),
        rule("<arp arpsrcipaddr='10.0.0.1'/>"),
    ),
    ("filter-rule-priority", rule("", " priority='–7'"), rule("", " priority='-7'")),
)
REFUSED_BY_LIBVIRT = (
    ("xml-typographic-quotes", '<filter name=‘f’ chain="root"/>', "<filter name='f' chain=\"root\"/>"),
    ("xml-typographic-quotes", "<filter name='f’><!-- ‘x’ --></filter>", "<filter name='f'><!-- ‘x’ --></filter>"),
    ("xml-typographic-dashes", "<!– a\n b —>\n<filter name='f'/>", "<!-- a\n b -->\n<filter name='f'/>"),
    ("xml-typographic-dashes", "<!-- a — b –><filter name='f'/>", "<!-- a — b --><filter name='f'/>"),
    (
        "filter-address-cidr",
        rule("<ip srcipaddr='10.0.0.0/8'  protocol='tcp'/>"),
        rule("<ip srcipaddr='10.0.0.0' srcipmask='8'  protocol='tcp'/>"),
    ),
    (
        "filter-address-cidr",
        rule('<ipv6 match="no" dstipaddr="2001:DB8::/32"/>'),
        rule('<ipv6 match="no" dstipaddr="2001:db8::" dstipmask="32"/>'),
    ),
    (
        "filter-attribute-value",
        rule("<mac srcmacaddr='52-54-00-30-fc-2d'/>"),
        rule("<mac srcmacaddr='52:54:00:30:fc:2d'/>"),
    ),
    ("filter-attribute-value", rule("<ip srcipaddr='10.0.0.1 '/>"), rule("<ip srcipaddr='10.0.0.1'/>")),
    ("filter-rule-action", rule("").replace("drop", "Drop"), rule("")),
    ("filter-rule-direction", rule("").replace("out", "OUT"), rule("")),
    ("filter-priority", in_chain("mac", "").replace("'mac'", "'mac' priority='−5'"), "priority='-5'"),
)
OF_NO_PORT = (
    (
        "filter-chain-protocol",
        in_chain("ipv6", "<ip srcipaddr='$IPV6'/>"),
        in_chain("ipv6", "<ipv6 srcipaddr='$IPV6'/>"),
    ),
    (
        "filter-family",
        rule("<ip srcipaddr='$IPV6' srcipmask='$IPV6MASK'/>"),
        rule("<ipv6 srcipaddr='$IPV6' srcipmask='$IPV6MASK'/>"),
    ),
    ("filter-family", rule("<ipv6 srcipaddr='$IP[@1]'/>"), rule("<ip srcipaddr='$IP[@1]'/>")),
)
"""libvirt takes the filter, and no port could use the rule: it needs an address of the other family."""

FILTERS = (*SAME_TO_LIBVIRT, *REFUSED_BY_LIBVIRT, *OF_NO_PORT)


@pytest.mark.parametrize(("id", "before", "after"), FILTERS)
def test_a_filter_is_mended_and_nothing_else_of_it_changes(id: str, before: str, after: str) -> None:
    assert id in {problem.id for problem in lint(before)}
    mended, mends = mend_filter(before.encode(), "filters/f.xml")
    assert after in mended.decode() if not after.startswith("<") else mended.decode() == after
    assert {mend.id for mend in mends} == {id}
    assert id not in {problem.id for problem in lint(mended)}
    assert mend_filter(mended, "filters/f.xml") == (mended, ())


@pytest.mark.parametrize(("id", "before", "after"), SAME_TO_LIBVIRT)
def test_where_libvirt_takes_a_text_its_mend_is_the_same_to_it(id: str, before: str, after: str) -> None:
    assert parse_filter(mend_filter(before.encode(), "")[0]) == (
        parse_filter(before) if id != "filter-rule-priority" else parse_filter(after)
    )


@pytest.mark.parametrize(("id", "before", "after"), REFUSED_BY_LIBVIRT)
def test_what_libvirt_refuses_never_did_anything_to_a_packet(id: str, before: str, after: str) -> None:
    with pytest.raises(FilterSyntax):
        parse_filter(before)
    parse_filter(mend_filter(before.encode(), "")[0])


@pytest.mark.fuzz
@settings(max_examples=examples(80, 20000))
@given(filter_texts(wrong=True))
def test_mends_of_any_filter_leave_its_meaning(text: str) -> None:
    before = text.encode()
    after, mends = mend_filter(before, "filters/scratch.xml")
    assert (after == before) == (not mends)
    mended = {mend.id for mend in mends}
    left = {(problem.id, problem.origin) for problem in lint(after)}
    assert mend_filter(after, "filters/scratch.xml") == (after, ())
    assert not {place for id, place in left if id in {"filter-number-ambiguous"}}
    try:
        meant = parse_filter(before)
    except FilterSyntax:
        return
    if not mended & {id for id, _, _ in OF_NO_PORT}:
        assert parse_filter(after) == meant


@pytest.mark.parametrize(
    "text",
    [
        rule("<ip srcipaddr='10.0.0.0/8' srcipmask='16'/>"),
        rule("<ip srcipaddr='10.0.0.0/0'/>"),
        rule("<udp srcipfrom='10.0.0.0/8'/>"),
        rule("<ip match='No' srcipaddr='10.0.0.1'/>"),
        rule("<ipv6 srcipaddr='fe80::1%1'/>"),
        rule("<ip srcipaddr='$IPV6' dstipaddr='10.0.0.1'/>"),
        rule("<arp arpsrcipaddr='$IPV6'/>"),
        rule("<ip srcipmask='$IPV6MASK'/>"),
        rule("<ip srcipaddr='$IP' srcipmask='$IPV6MASK'/>"),
        rule("<tcp match='no' dstportstart='22'/>"),
        "<filter name='f'>“a” – ‘b’</filter>",
        "<filter name='f' chain=‘root><rule/></filter>",
    ],
)
def test_what_could_be_meant_in_two_ways_is_left(text: str) -> None:
    assert mend_filter(text.encode(), "") == (text.encode(), ())


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbf" + rule("<tcp dstportstart='080'/>").encode(), b"<filter name='\xff'/>"]
)
def test_another_encoding_is_left(content: bytes) -> None:
    assert mend_filter(content, "") == (content, ())


@pytest.mark.parametrize(("id", "before", "after"), OF_NO_PORT)
def test_a_rule_for_the_other_family_never_was_a_rule_of_any_port(id: str, before: str, after: str) -> None:
    values = {"IP": "10.0.0.1", "IPMASK": "32", "IPV6": "2001:db8::1", "IPV6MASK": "128"}
    reference = FilterRef("scratch", canonical_parameters(values.items()))
    with pytest.raises(CannotInstantiate):
        expand({"scratch": parse_filter(before)}.get, reference, mac(1), "p0")
    assert expand({"scratch": parse_filter(after)}.get, reference, mac(1), "p0").ethernet.chains


EARLY = """<!-- first form -->
<filter name='early' chain='ipv4'>
  <rule action='drop' direction='out'>  <!-- not ours -->
    <ip match='no' srcipaddr='$IP'/>
  </rule>
</filter>
"""
LATER = """<!-- first form -->
<filter name='early' chain='ipv4-own' priority='-710'>
  <rule action='return' direction='out'>  <!-- not ours -->
    <ip srcipaddr='$IP'/>
  </rule>
  <rule action='drop' direction='out' priority='1000'/>
</filter>
"""


def files(*addresses: str, early: str = EARLY, more: str = "") -> dict[str, bytes]:
    """A site whose guests' filter holds them to their addresses by the early form."""
    top = "<filter name='top' chain='root'><filterref filter='early'/>" + more
    accept = "<rule action='accept' direction='inout' priority='900'><mac protocolid='ipv4'/></rule>"
    return {
        "site.yaml": SITE.replace(b"ipv4: guest-ipv4", b"ipv4: top")
        .replace(b"dual: guest-dual-stack, ", b"")
        .replace(b", ipv6: guest-ipv6, none: guest-locked", b""),
        "guests/web01.yaml": guest_yaml("web01", 1, f"[{', '.join(addresses)}]"),
        "filters/early.xml": early.encode(),
        "filters/top.xml": f"{top}{accept}<rule action='drop' direction='inout' priority='1000'/></filter>".encode(),
    }


def test_the_early_form_becomes_the_later_one() -> None:
    mending = mend_site(files("10.0.0.10", "10.0.0.20"))
    assert mending.files == {"filters/early.xml": LATER.encode()}
    assert [(mend.id, str(mend.origin)) for mend in mending.mends] == [
        ("filter-negated-list", "filters/early.xml:4:31")
    ]
    after = files("10.0.0.10", "10.0.0.20") | dict(mending.files)
    assert {"negated-list", "filter-negated-list"}.isdisjoint(problem.id for problem in examine(after)[1])
    assert mend_site(after).mends == ()


def test_with_one_address_it_does_the_same_to_every_frame() -> None:
    before = files("10.0.0.10")
    after = before | dict(mend_site(before).files)
    assert load(before).filters != load(after).filters
    assert verdict_changes(load(before), load(after)) == ()


def test_with_two_addresses_it_no_longer_drops_what_is_the_guests_own() -> None:
    """The point of the mend: all that opens is from an own address."""
    before = files("10.0.0.10", "10.0.0.20")
    after = load(before | dict(mend_site(before).files))
    changes = verdict_changes(_as_it_was(before), after)
    assert {change.sender for change in changes if change.opens} == {"10.0.0.10", "10.0.0.20"}
    assert not [change for change in changes if not change.opens]


def _as_it_was(site: dict[str, bytes]) -> Desired:
    """`check` refuses it, so the two addresses are given to the site that has one."""
    one = load(site | {"guests/web01.yaml": guest_yaml("web01", 1, "[10.0.0.10]")})
    addresses = (IPv4Network("10.0.0.10"), IPv4Network("10.0.0.20"))
    parameters = (("IP", "10.0.0.10"), ("IP", "10.0.0.20"))
    [guest] = one.guests
    from dataclasses import replace

    interface: Interface = replace(guest.interfaces[0], ipv4=addresses, parameters=parameters)
    return replace(one, guests=(replace(guest, interfaces=(interface,)),))


@pytest.mark.parametrize(
    ("early", "more"),
    [
        (EARLY.replace("</filter>", "<rule action='accept' direction='out'/></filter>"), ""),
        (EARLY.replace("chain='ipv4'", "chain='root'"), ""),
        (EARLY.replace("srcipaddr", "protocol='udp' srcipaddr"), ""),
        (EARLY.replace("'out'", "'inout'"), ""),
        (EARLY.replace("drop", "reject"), ""),
        (EARLY, "</filter><!-- "),
    ],
    ids=["another rule", "root", "another attribute", "both directions", "another action", "unreadable neighbour"],
)
def test_the_early_form_is_left_where_more_depends_on_it(early: str, more: str) -> None:
    site = files("10.0.0.10", early=early, more=more)
    assert "filters/early.xml" not in mend_site(site).files


@pytest.mark.parametrize(
    "other",
    [
        "<filter name='other' chain='ipv4-own'/>",
        "<filter name='other' chain='ipv4'><rule action='accept' direction='out' priority='100'/></filter>",
    ],
)
def test_a_chain_of_others_is_not_left_by_a_return(other: str) -> None:
    site = files("10.0.0.10") | {"filters/other.xml": other.encode()}
    assert "filters/early.xml" not in mend_site(site).files


YAML = (
    ("byte-order-mark", "\ufeffname: a\n", "name: a\n"),
    ("typographic-character", "# “x”\nname: “a” # – y\n", '# “x”\nname: "a" # – y\n'),
    ("typographic-character", "interfaces:\n  – mac: x\n  – mac: y\n", "interfaces:\n  - mac: x\n  - mac: y\n"),
    ("typographic-character", "name: ‘é’\nx: b–c\n", "name: 'é'\nx: b-c\n"),
    ("mac-unquoted", "interfaces: [{mac: 52:54:00:30:11:22 }]\n", 'interfaces: [{mac: "52:54:00:30:11:22" }]\n'),
    ("mac-spelling", "interfaces: [{mac: 52-54-00-30-FC-2D}]\n", 'interfaces: [{mac: "52:54:00:30:fc:2d"}]\n'),
    ("mac-spelling", "interfaces:\n- mac: '52:54:0:30:FC:2d' # é\n", "interfaces:\n- mac: '52:54:00:30:fc:2d' # é\n"),
    ("mac-invalid", "interfaces: [{mac: 5254.0030.fc2d}]\n", 'interfaces: [{mac: "52:54:00:30:fc:2d"}]\n'),
    ("mac-invalid", "interfaces: [{mac: 52:54-00:30:fc:2d}]\n", 'interfaces: [{mac: "52:54:00:30:fc:2d"}]\n'),
    (
        "address-spelling",
        "interfaces: [{ipv6: [2001:DB8::0, 'FE80::1']}]\n",
        "interfaces: [{ipv6: [\"2001:db8::\", 'fe80::1']}]\n",
    ),
    ("address-spelling", "interfaces: [{link_local: FE80::1}]\n", 'interfaces: [{link_local: "fe80::1"}]\n'),
    ("address-invalid", "interfaces: [{ipv4: [10.0.0.8/255.255.255.248]}]\n", "interfaces: [{ipv4: [10.0.0.8/29]}]\n"),
    ("address-invalid", "interfaces: [{ipv4: [' 10.0.0.8']}]\n", "interfaces: [{ipv4: ['10.0.0.8']}]\n"),
)


@pytest.mark.parametrize(("id", "before", "after"), YAML)
def test_yaml_is_mended_in_its_place(id: str, before: str, after: str) -> None:
    mending = mend_site({"guests/a.yaml": before.encode()})
    assert mending.files["guests/a.yaml"].decode() == after
    assert {mend.id for mend in mending.mends} == {id}
    problems = {problem.id for problem in examine({"site.yaml": SITE, "guests/a.yaml": after.encode()})[1]}
    assert id not in problems
    assert mend_site({"guests/a.yaml": after.encode()}).files == {}


def test_segments_are_mended_as_well() -> None:
    before = b"segments:\n  lan: {ipv6: [2001:DB8::/48], gateways: [2001:DB8:0::1, 10.0.0.1]} # two\n"
    after = b'segments:\n  lan: {ipv6: ["2001:db8::/48"], gateways: ["2001:db8::1", 10.0.0.1]} # two\n'
    assert mend_site({"site.yaml": before}).files == {"site.yaml": after}


@pytest.mark.parametrize(
    "text",
    [
        "name: a\ninterfaces:\n- {mac: 52:54:00:30:fc:2d, ipv4: [10.0.0.20, 10.0.0.10], ipv6: [2001:db8::1]}\n",
        "name: “a\nx: 1\n",
        "interfaces: [{ipv4: [010.0.0.1, 10.0.0.9/29, 10.0.0.0/255.0.255.0, 10.0.0.0/0.0.0.255]}]\n",
        "interfaces: [{mac: 52:54:00:30:fc}]\n",
        "name: a\n\tx: 1\n",
        "other: [2001:DB8::1]\nx: 52-54-00-30-FC-2D\n",
        "interfaces: [{mac: {a: 1}, ipv4: [[FE80::1]]}]\n",
    ],
)
def test_yaml_that_is_right_or_unclear_stays_byte_for_byte(text: str) -> None:
    assert mend_site({"guests/a.yaml": text.encode()}).files == {}


def test_all_that_the_page_says_is_mended_here() -> None:
    tried = {id for id, _, _ in (*FILTERS, *YAML)} | {"filter-negated-list", "negated-list"}
    assert tried == MENDED.keys() | SPELLINGS.keys()


@pytest.mark.parametrize("case", sorted(path.name for path in BAD_INPUT.iterdir()))
def test_a_bad_site_has_no_more_problems_of_what_was_mended(case: str) -> None:
    site = read_case(BAD_INPUT / case)
    mending = mend_site(site)
    assert mend_site(site | dict(mending.files)).files == {}
    if not any(mend.id.startswith(("xml-", "typographic-")) for mend in mending.mends):
        found, left = (examine(each)[1] for each in (site, site | dict(mending.files)))
        assert len(left) <= len(found)


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "reconciler", "--site", str(folder), *words]
    return subprocess.run(argv, check=False, capture_output=True, text=True)


def written(folder: Path) -> Path:
    for path, content in files("10.0.0.10", "10.0.0.20").items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def test_fix_writes_and_says_what(tmp_path: Path) -> None:
    ended = command(written(tmp_path), "check", "--fix")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("fixed filters/early.xml:4:31: ")
    assert (tmp_path / "filters/early.xml").read_text() == LATER
    assert "fixed" not in command(tmp_path, "check", "--fix").stdout


def test_a_dry_run_shows_a_diff_and_writes_nothing(tmp_path: Path) -> None:
    ended = command(written(tmp_path), "check", "--fix", "--dry-run")
    assert ended.returncode == 1
    assert ended.stdout.startswith("--- a/filters/early.xml\n+++ b/filters/early.xml\n")
    assert "+  <rule action='return' direction='out'>  <!-- not ours -->" in ended.stdout
    assert (tmp_path / "filters/early.xml").read_text() == EARLY


def test_json_lists_the_mends(tmp_path: Path) -> None:
    [mend] = json.loads(command(written(tmp_path), "--output", "json", "check", "--fix").stdout)["mends"]
    assert (mend["id"], mend["path"], mend["line"]) == ("filter-negated-list", "filters/early.xml", 4)


def test_a_dry_run_as_json_lists_them_too_and_writes_nothing(tmp_path: Path) -> None:
    ended = command(written(tmp_path), "--output", "json", "check", "--fix", "--dry-run")
    assert ended.returncode == 1
    assert [mend["id"] for mend in json.loads(ended.stdout)["mends"]] == ["filter-negated-list"]
    assert (tmp_path / "filters/early.xml").read_text() == EARLY


def test_a_diff_does_not_act_on_a_terminal() -> None:
    shown = unified_diff("x", b"a \x1b[2J\tb\r\n", b"c \xc2\x9b\r\n")
    assert "-a \\x1b[2J\tb\r\n" in shown and "+c \\x9b\r\n" in shown


@pytest.mark.parametrize("words", [["check", "--dry-run"], ["--output", "junit", "diff"]])
def test_what_does_not_go_together_is_said(tmp_path: Path, words: list[str]) -> None:
    ended = command(written(tmp_path), *words)
    assert ended.returncode == 2
    assert "nothing was done" in ended.stderr
    assert "hint: " in ended.stderr


def test_junit_has_a_case_a_file_and_a_failure_a_problem(tmp_path: Path) -> None:
    ended = command(written(tmp_path), "--output", "junit", "check")
    assert ended.returncode == 1
    root = ElementTree.fromstring(ended.stdout)
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert cases.keys() == files("10.0.0.10").keys()
    [failure] = cases["filters/early.xml"].findall("failure")
    assert failure.get("type") == "negated-list"
    assert "filters/early.xml:4:31" in str(failure.text)
    assert "filter-negated-list" in str(cases["filters/early.xml"].findtext("system-out"))
    assert root.get("failures") == "1"
    assert mac(1) in str(failure.get("message"))
