"""What libvirt prints is read although it escapes no name of a filter (promise P2): one odd name blinds nobody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.domain.parse import parse_nics
from reconciler.host.filter_folder import definition_names
from reconciler.host.reading import GuestState, GuestTexts
from reconciler.host.saved import SavedText
from reconciler.host.understanding import domain_of
from reconciler.host.well_formed import well_formed
from reconciler.nwfilter.parse import parse_dump

NAMES = ("a&b", "a<b", "a'b", "a&amp;b", "plain")


@pytest.mark.parametrize("name", NAMES)
def test_a_filter_is_read_by_its_name_and_by_those_it_refers_to(name: str) -> None:
    printed = (
        f"<filter name='{name}' chain='mac' priority='-800'>\n  <uuid>00000000-0000-4000-8000-000000000001</uuid>\n"
        f"  <filterref filter='{name}'/>\n  <filterref filter='{name}'>\n    <parameter name='X' value='1'/>\n"
        "  </filterref>\n</filter>\n"
    )
    found = parse_dump(well_formed(printed))
    assert {found.name, *found.references} == {"a&b" if name == "a&amp;b" else name}
    assert (found.chain, found.priority) == ("mac", -800)


@pytest.mark.parametrize("name", NAMES)
def test_a_guest_is_read_although_its_filter_has_such_a_name(name: str) -> None:
    printed = (
        "<domain type='qemu'>\n  <name>x &amp; y</name>\n  <devices>\n    <interface type='bridge'>\n"
        f"      <mac address='52:54:00:00:00:01'/>\n      <filterref filter='{name}'/>\n    </interface>\n"
        "  </devices>\n</domain>\n"
    )
    (nic,) = parse_nics(well_formed(printed))
    assert nic.filterref is not None
    assert nic.filterref.filter == ("a&b" if name == "a&amp;b" else name)


def test_a_guest_is_understood_wherever_it_has_such_a_name() -> None:
    printed = (
        "<domain type='qemu'>\n  <devices>\n    <interface type='bridge'>\n"
        "      <mac address='52:54:00:00:00:01'/>\n      <filterref filter='a&b'/>\n    </interface>\n"
        "  </devices>\n</domain>\n"
    )
    state = GuestState(active=True, persistent=True, autostart=False, saved=True, snapshots=False)
    image = SavedText("managed-save", printed)
    domain = domain_of(GuestTexts("web01", "uuid", state, printed, printed, (image,), False))
    found = (*domain.persistent, *domain.live, *domain.saved[0].nics)
    assert [nic.filterref.filter for nic in found if nic.filterref] == ["a&b"] * 3


def test_what_is_xml_stays_as_it_is() -> None:
    printed = "<filter name='a&amp;b' chain='root'>\n  <filterref filter='c&apos;d'/>\n</filter>\n"
    assert well_formed(printed) is printed


def test_a_file_whose_name_is_no_text_is_no_filter(tmp_path: Path) -> None:
    for name in (b"web.xml", b"\xff\xfe.xml", "\u00fcber.xml".encode(), b"notes.txt"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    assert definition_names(tmp_path) == ("web", "\u00fcber")
