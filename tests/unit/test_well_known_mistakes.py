"""What goes wrong in filters that people copy from manuals and posts: each is named where it is, with what to do."""

from __future__ import annotations

import pytest
from sites import guest_yaml

from reconciler.load import examine
from reconciler.load.checks_mended import MENDED
from reconciler.load.mending import mend_site

SITE = b"filters: {guest: f}\ndefaults: {filter: guest}\nsegments: {lan: {ipv4: [10.0.0.0/24]}}\n"


def _filter(*entries: str, head: str = "name='f'") -> str:
    return f"<filter {head}>{''.join(entries)}</filter>"


def _rule(match: str, action: str = "accept", more: str = "") -> str:
    return f"<rule action='{action}' direction='out'{more}>{match}</rule>"


OWN = _rule("<ip srcipaddr='$IP'/>")
OF_IPV6 = _rule("<ip srcipaddr='$IPV6'/>")
PREFIX_AS_PARAMETER = "<filterref filter='allow-arp'><parameter name='IP' value='10.0.0.0/8'/></filterref>"

MISTAKES = (
    ("xml-typographic-quotes", _filter(OWN, head="name=‘f’"), "straight quotes"),
    ("xml-typographic-quotes", _filter(OWN, head="name='f’ chain='root'"), "straight quotes"),
    ("xml-typographic-dashes", "<!– guests –>" + _filter(OWN), "<!-- … -->"),
    ("xml-typographic-dashes", _filter("<!— guests —>", OWN), "<!-- … -->"),
    ("filter-rule-priority", _filter(OWN, _rule("<mac/>", more=" priority='–5'")), "libvirt takes 500"),
    ("filter-chain-protocol", _filter(OF_IPV6, head="name='f' chain='ipv6'"), "write <ipv6>"),
    ("filter-family", _filter(OF_IPV6), "use <ipv6> for $IPV6"),
    ("filter-file-name", _filter(OWN, head="name='no-ip-spoofing' chain='ipv4'"), "rename the filter to f"),
    (
        "negated-list",
        _filter(_rule("<ip match='no' srcipaddr='$IP'/>", "drop"), head="name='f' chain='ipv4'"),
        "match the values in one rule without match='no', and all the rest in the next",
    ),
    ("unknown-reference", _filter("<filterref filter='allow-incomming-ipv4'/>", OWN), "allow-incoming-ipv4"),
    ("unknown-reference", _filter("<filterref filter='our-base'/>", OWN), "add the missing filter"),
    ("missing-variable", _filter(OWN, _rule("<ip dstipaddr='$SERVER'/>")), "add SERVER under parameters"),
    ("filter-unknown-element", _filter(OWN, _rule("<ip6 srcipaddr='$IPV6'/>")), "did you mean ipv6?"),
    ("filter-unknown-attribute", _filter(OWN, _rule("<ip dstaddr='10.0.0.1'/>")), "did you mean dstipaddr?"),
    (
        "filter-attribute-overridden",
        _filter(OWN, _rule("<ip dstipaddr='10.0.0.1'/><ip dstipaddr='10.0.0.2'/>")),
        "write a rule for each value",
    ),
    ("filter-address-cidr", _filter(OWN, _rule("<ip srcipaddr='10.0.0.0/8'/>")), "srcipmask='8'"),
    ("filter-parameter-invalid", _filter(PREFIX_AS_PARAMETER, OWN), "a prefix needs two variables"),
)


def site(text: str) -> dict[str, bytes]:
    guest = guest_yaml("web01", 1, "[10.0.0.10, 10.0.0.11]")
    return {"site.yaml": SITE, "filters/f.xml": text.encode(), "guests/web01.yaml": guest}


@pytest.mark.parametrize(("id", "text", "hint"), MISTAKES)
def test_a_mistake_is_named_with_what_to_do(id: str, text: str, hint: str) -> None:
    problems = [problem for problem in examine(site(text))[1] if problem.id == id]
    assert problems, examine(site(text))[1]
    assert hint in problems[0].hint
    assert problems[0].origin.path == ("guests/web01.yaml" if id == "missing-variable" else "filters/f.xml")


@pytest.mark.parametrize(("id", "text", "hint"), [case for case in MISTAKES if case[0] in MENDED])
def test_what_is_mechanical_is_mended(id: str, text: str, hint: str) -> None:
    mended = site(text) | dict(mend_site(site(text)).files)
    assert id not in {problem.id for problem in examine(mended)[1]}


def test_a_filter_under_a_name_of_libvirts_own_is_said_to_replace_it() -> None:
    text = _filter(OWN, head="name='no-ip-spoofing' chain='ipv4'")
    [renamed] = [problem for problem in examine(site(text))[1] if problem.id == "filter-file-name"]
    assert "would replace libvirt's own no-ip-spoofing" in renamed.message
    same = {"site.yaml": b"{}", "filters/no-ip-spoofing.xml": text.encode()}
    assert [problem.id for problem in examine(same)[1]] == ["shadows-builtin"]
