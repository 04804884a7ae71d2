"""What libvirt has becomes a site that gives back exactly that, in files as a person would write them."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from adopting import (
    FILTERS,
    HOST,
    IP,
    IP_MASK,
    adopted,
    assert_given_back,
    brownfield,
    chain,
    guest_xml,
    host_of,
    reasons,
    ref,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from sites import mac, site
from sizes import examples

from reconciler.adopt.text import word
from reconciler.host.memory import MemoryHost
from reconciler.load import examine
from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.guest import Attach, Guest, Interface
from reconciler.model.problem import Severity
from reconciler.model.site import Desired
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.guard import guard_filter, interface_filterref, mark_uuid
from reconciler.nwfilter.parse import parse_filter

WIDE = b"""
segments:
  wide: {bridge: br0, ipv4: [10.0.0.0/16], ipv6: ["2001:db8::/32"]}
filters:
  guest: {dual: guest-dual-stack, ipv4: guest-ipv4, ipv6: guest-ipv6, none: guest-locked}
  router: {dual: guest-router, ipv4: guest-router-ipv4, ipv6: guest-router-ipv6, roles: [router]}
hosts: {kvm01: {}, kvm02: {}}
"""
FAMILIES = ((True, True), (True, False), (False, True), (False, False))


@st.composite
def interfaces(draw: st.DrawFn, number: int) -> str:
    """One interface as a site writes it; `number` makes it and its addresses its own."""
    has_ipv4, has_ipv6 = draw(st.sampled_from(FAMILIES))
    four = [f"10.0.0.{number}", *(f"10.0.{number}.{16 * n}/28" for n in range(1, draw(st.integers(1, 3))))]
    six = [f"2001:db8::{number:x}", *(f"2001:db8:{number:x}:{n}::/64" for n in range(1, draw(st.integers(1, 12))))]
    filter = draw(st.sampled_from(("guest", "router"))) if has_ipv4 or has_ipv6 else "guest"
    where = "segment: wide" if filter == "router" else draw(st.sampled_from(("segment: wide", "bridge: br0", "")))
    local = draw(st.sampled_from(("", "none", f'"fe80::{number:x}"'))) if has_ipv6 else ""
    lines = (
        f'  - mac: "{mac(number)}"',
        where and f"    {where}",
        f"    filter: {filter}",
        f"    ipv4: {json.dumps(draw(st.permutations(four))) if has_ipv4 else 'none'}",
        f"    ipv6: {json.dumps(draw(st.permutations(six))) if has_ipv6 else 'none'}",
        local and f"    link_local: {local}",
        f"    attach: {draw(st.sampled_from(('guard', 'direct')))}",
    )
    return "\n".join(line for line in lines if line)


@st.composite
def sites(draw: st.DrawFn) -> tuple[Desired, frozenset[str]]:
    """A site, and the MACs of interfaces whose filterref somebody else wrote, without our ban on learning."""
    names = draw(st.lists(st.sampled_from(("web01", "DB-2", "7up", "no", "1e3", "a.b_c")), min_size=1, unique=True))
    files: dict[str, bytes] = {}
    number = 0
    for name in names:
        cards = [draw(interfaces(number := number + 1)) for _ in range(draw(st.integers(1, 3)))]
        files[name] = "\n".join((f"name: {json.dumps(name)}", "interfaces:", *cards, "")).encode()
    desired = site(files, WIDE)
    direct = [i.mac for guest in desired.guests for i in guest.interfaces if i.attach is Attach.DIRECT]
    return desired, frozenset(mac for mac in direct if draw(st.booleans()))


@given(sites(), st.booleans())
@settings(max_examples=examples(10, 4000))
def test_any_site_comes_back_from_the_host_that_it_was_applied_to(
    drawn: tuple[Desired, frozenset[str]], running: bool
) -> None:
    desired, foreign = drawn
    host = host_of(desired, foreign, running=running)
    done = adopted(host)
    assert done.omissions == ()
    again = assert_given_back(host, done)
    assert [identity(guest) for guest in again.guests] == [identity(guest) for guest in desired.guests]
    assert not any(path.startswith("filters/guard-") for path in done.files)


def identity(guest: Guest) -> tuple[object, ...]:
    fields = ("mac", "filter", "ipv4", "ipv6", "parameters", "attach")
    return guest.name, [[getattr(interface, name) for name in fields] for interface in guest.interfaces]


@pytest.mark.parametrize("running", [True, False])
def test_a_host_that_never_met_the_reconciler(running: bool) -> None:
    host = brownfield(
        {
            "one": ref("clean-traffic", IP="10.0.0.1"),
            "several": ref("clean-traffic", IP=["10.0.0.2", "10.0.0.3"]),
            "both": ref("own", IP="10.0.0.4", IPV6=["2001:db8::4", "fe80::5054:ff:fe00:3"]),
            "nets": ref("masked", IP=["10.1.0.0", "10.2.0.1"], IPMASK=["16", "32"], IPV6="2001:db8::5"),
            "six": ref("six", IPV6=["2001:db8::6", "fe80::6"]),
            "kept": ref("segmented", IP="10.0.0.7", SEGMENT="10.0.0.0", SEGMENTMASK="24"),
            "dhcp": ref("dhcp", IP="10.0.0.8", DHCPSERVER=["10.0.0.250", "10.0.0.251"]),
            "banned": ref("clean-traffic", IP="10.0.0.9", CTRL_IP_LEARNING="none"),
            "cards": [ref("clean-traffic", IP="10.0.0.10"), None, ref("leaf")],
        },
        running=running,
    )
    done = adopted(host)
    assert reasons(done) == {f"guest/cards/{mac(10)}": "it has no filter, so whatever it sends passes"}
    desired = assert_given_back(host, done)
    assert [definition.name for definition in desired.filters] == ["dhcp", "leaf", "masked", "own", "segmented", "six"]
    assert {segment.name: segment.ipv4 for segment in desired.segments}.keys() == {"br0", "br0-2"}
    assert desired.hosts == (HOST,)
    assert all(guest.hosts == (HOST,) for guest in desired.guests)


def test_the_files_read_as_a_person_would_write_them() -> None:
    host = brownfield(
        {
            "web01": [
                ref("own", IP=["10.0.0.4", "10.0.0.5"], IPV6=["2001:db8::4", "fe80::5054:ff:fe00:1"]),
                ref("dhcp", IP="10.0.0.6", DHCPSERVER="10.0.0.250"),
                ref("six", IPV6=[*(f"2001:db8::{n}" for n in range(10, 17)), "fe80::2"]),
                ref("six", IPV6="2001:db8::7"),
                ref("leaf"),
            ]
        }
    )
    done = adopted(host)
    assert done.files["site.yaml"].decode() == (
        "# yaml-language-server: $schema=schema/site.schema.json\n#\n"
        "# Made by `reconciler adopt` of what libvirt had on kvm01.\n"
        "segments:\n  br0: {bridge: br0}\nhosts:\n  kvm01: {}\n"
        "# Rules of nft beside libvirt's stop what no nwfilter rule can look at; they come with the next apply.\n"
        "# policy: {supplement: nftables}\n"
    )
    assert (
        done.files["guests/web01.yaml"].decode()
        == """\
# yaml-language-server: $schema=../schema/guest.schema.json
name: web01
hosts: [kvm01]
interfaces:
  - mac: "52:54:00:00:00:01"
    segment: br0
    filter: own
    ipv4: [10.0.0.4, 10.0.0.5]
    ipv6: ["2001:db8::4"]
    attach: direct
  - mac: "52:54:00:00:00:02"
    segment: br0
    filter: dhcp
    ipv4: [10.0.0.6]
    ipv6: none
    parameters:
      DHCPSERVER: [10.0.0.250]
    attach: direct
  - mac: "52:54:00:00:00:03"
    segment: br0
    filter: six
    ipv4: none
    ipv6:
      - "2001:db8::10"
      - "2001:db8::11"
      - "2001:db8::12"
      - "2001:db8::13"
      - "2001:db8::14"
      - "2001:db8::15"
      - "2001:db8::16"
    link_local: "fe80::2"
    attach: direct
  - mac: "52:54:00:00:00:04"
    segment: br0
    filter: six
    ipv4: none
    ipv6: ["2001:db8::7"]
    link_local: none
    attach: direct
  - mac: "52:54:00:00:00:05"
    segment: br0
    filter: leaf
    # Its filter is given no address: `reconciler status` tells what it lets through.
    ipv4: none
    ipv6: none
    attach: direct
"""
    )
    assert json.loads(done.files["schema/guest.schema.json"])["properties"]["interfaces"]


def test_segments_have_names_of_their_own() -> None:
    networks = {"SEGMENT": "10.0.0.0", "SEGMENTMASK": "24"}
    host = brownfield({})
    bridges = (("br0", {}), ("br0", networks), ("br0-2", {}), ("BR9", {}), ("BR9", networks), ("odd:0", {}))
    for number, (bridge, segment) in enumerate(bridges, 1):
        address = ref("segmented" if segment else "clean-traffic", IP=f"10.0.0.{number}", **segment)
        host.define_domain(guest_xml(f"g{number}", address, first=number, bridge=bridge))
    host.writes.clear()
    done = adopted(host)
    assert {s.name: (s.bridge, len(s.ipv4)) for s in assert_given_back(host, done).segments} == {
        "br0": ("br0", 0),
        "br0-2": ("br0-2", 0),
        "br0-3": ("br0", 1),
        "segment": ("BR9", 1),
    }
    assert b"    bridge: BR9\n" in done.files["guests/g4.yaml"]
    assert b"bridge" not in done.files["guests/g6.yaml"]


@pytest.mark.parametrize("text", ["no", "NULL", "1e3", "0777", "7up", "_x", "on", "None", "12:30:45", "a.b"])
def test_a_word_that_yaml_takes_for_something_else_is_quoted(text: str) -> None:
    import yaml

    assert yaml.safe_load(word(text)) == text


class TestGuards:
    GUARDED = Interface(mac(1), "clean-traffic", parameters=(("IP", "10.0.0.1"),))

    def host(self, guard: NwFilter, reference: FilterRef, *, marked: bool = True) -> MemoryHost:
        host = brownfield({})
        host.define_filter(format_filter(guard, mark_uuid(guard.name) if marked else None))
        host.define_domain(guest_xml("web01", reference, first=1))
        host.writes.clear()
        return host

    def test_a_guard_of_ours_is_made_again_not_written(self) -> None:
        guard = guard_filter("web01", self.GUARDED)
        host = self.host(guard, interface_filterref("web01", self.GUARDED))
        done = adopted(host)
        assert b"attach: guard" in done.files["guests/web01.yaml"]
        assert not [path for path in done.files if path.startswith("filters/")]
        assert_given_back(host, done)

    def test_a_guard_with_another_address_on_the_guest_itself(self) -> None:
        host = self.host(
            guard_filter("web01", self.GUARDED), ref("guard-web01-000001", IP="10.0.0.9", CTRL_IP_LEARNING="none")
        )
        assert "is not as it was made" in reasons(adopted(host))[f"guest/web01/{mac(1)}"]

    def test_a_guard_that_somebody_changed(self) -> None:
        guard = guard_filter("web01", self.GUARDED)
        more = replace(guard, entries=(*guard.entries, FilterRef("leaf")))
        host = self.host(more, interface_filterref("web01", self.GUARDED))
        assert reasons(adopted(host)) == {f"guest/web01/{mac(1)}": "its guard guard-web01-000001 is not as it was made"}

    def test_a_filter_that_only_looks_like_one(self) -> None:
        guard = guard_filter("web01", self.GUARDED)
        host = self.host(guard, interface_filterref("web01", self.GUARDED), marked=False)
        assert "a name that is kept for guards" in reasons(adopted(host))[f"guest/web01/{mac(1)}"]

    def test_the_guard_of_another_guest(self) -> None:
        guard = guard_filter("web02", self.GUARDED)
        host = self.host(guard, FilterRef(guard.name, (("CTRL_IP_LEARNING", "none"),)))
        assert "not this interface's own" in reasons(adopted(host))[f"guest/web01/{mac(1)}"]


class TestFilters:
    def test_a_changed_filter_of_libvirt_is_taken_along(self) -> None:
        host = brownfield({"a": ref("clean-traffic", IP="10.0.0.1")})
        assert "filters/clean-traffic.xml" not in adopted(host).files
        host.packaged = (parse_filter(chain("clean-traffic", IP_MASK)),)
        done = adopted(host)
        assert b"<uuid>" not in done.files["filters/clean-traffic.xml"]
        assert parse_filter(done.files["filters/clean-traffic.xml"]) == host.filters["clean-traffic"].definition
        assert_given_back(host, done)

    def test_without_the_package_all_are_taken_along(self) -> None:
        host = brownfield({"a": ref("clean-traffic", IP="10.0.0.1")})
        host.packaged = ()
        assert "filters/clean-traffic.xml" in adopted(host).files

    def test_the_site_is_valid_after_each_file(self) -> None:
        host = brownfield({"a": ref("own", IP="10.0.0.1", IPV6="2001:db8::1"), "b": ref("six", IPV6="2001:db8::2")})
        files = adopted(host).files
        paths = list(files)
        for count in range(1, len(paths) + 1):
            _, problems = examine({path: files[path] for path in paths[:count]})
            assert [problem for problem in problems if problem.severity is Severity.ERROR] == []


SITE_BEFORE = {
    "site.yaml": b"segments: {lan: {bridge: br0}, office: {bridge: br0, ipv4: [10.0.0.0/24]}}\n"
    b"hosts: {kvm01: {}, kvm02: {}}\n",
    "guests/a.yaml": b'name: a\nhosts: [kvm01]\ninterfaces:\n  - mac: "52:54:00:00:00:01"\n    filter: clean-traffic\n'
    b"    ipv4: [10.0.0.77]\n    ipv6: none\n    attach: direct\n",
}


class TestIntoASite:
    def host(self) -> MemoryHost:
        return brownfield(
            {
                "a": ref("clean-traffic", IP="10.0.0.1"),
                "b": ref("segmented", IP="10.0.0.2", SEGMENT="10.0.0.0", SEGMENTMASK="24"),
                "c": ref("segmented", IP="10.0.0.3", SEGMENT="10.0.0.0", SEGMENTMASK="16"),
            }
        )

    def test_what_is_there_is_kept(self) -> None:
        done = adopted(self.host(), SITE_BEFORE)
        assert list(done.files) == ["filters/segmented.xml", "guests/b.yaml"]
        assert b"segment: office" in done.files["guests/b.yaml"] and b"$schema" not in done.files["guests/b.yaml"]
        assert reasons(done) == {
            "guest/a": "the site has guests/a.yaml",
            f"guest/c/{mac(3)}": "its filterref gives the filter the segment 10.0.0.0/16, which site.yaml has not",
        }
        assert [omission.missing for omission in done.omissions] == [False, True]

    def test_force_replaces_a_guests_file(self) -> None:
        host = self.host()
        done = adopted(host, SITE_BEFORE, "a", force=True)
        assert list(done.files) == ["guests/a.yaml"]
        assert b"segment: lan" in done.files["guests/a.yaml"]
        assert_given_back(host, done, SITE_BEFORE)

    def test_a_filter_that_the_site_says_otherwise(self) -> None:
        before = {
            "site.yaml": SITE_BEFORE["site.yaml"],
            "filters/segmented.xml": FILTERS[0].replace("clean-traffic", "segmented").encode(),
        }
        assert reasons(adopted(self.host(), before, "b")) == {
            f"guest/b/{mac(2)}": "it reaches filter/segmented, which the site says otherwise (entries)"
        }
        host = self.host()
        done = adopted(host, before, "b", force=True)
        assert list(done.files) == ["filters/segmented.xml", "guests/b.yaml"]
        assert_given_back(host, done, before)

    def test_a_filter_of_libvirt_that_would_break_a_guest_of_the_site(self) -> None:
        """It is changed on this host, so it would have to come along; the site's own guest has no value for it."""
        host = MemoryHost()
        host.define_filter(chain("clean-traffic", IP, "<ip dstipaddr='$FOO'/>"))
        host.define_domain(guest_xml("b", ref("clean-traffic", IP="10.0.0.2", FOO="10.0.0.9"), first=2))
        host.writes.clear()
        done = adopted(host, SITE_BEFORE, "b")
        [reason] = reasons(done).values()
        assert reason.startswith("check would refuse it: the filter clean-traffic uses the variable FOO")
        assert "guests/a.yaml:" in reason
        assert done.files == {}

    def test_nothing_is_written_twice(self) -> None:
        host = self.host()
        first = adopted(host, SITE_BEFORE)
        again = adopted(host, {**SITE_BEFORE, **first.files}, force=True)
        assert list(again.files) == ["guests/a.yaml"]


def test_no_machine_and_no_secret_is_in_the_files() -> None:
    """Only what the fields say: a guest's XML may hold a console's password."""
    host = brownfield({"web01": ref("clean-traffic", IP="10.0.0.1")})
    host.domains["web01"] = replace(host.domains["web01"], persistent_xml="<graphics passwd='s3cret'/>")
    text = b"".join(adopted(host).files.values()).decode()
    assert "s3cret" not in text and not re.search("uuid", text)
