"""Ignored drift on a real libvirtd with running guests: told, left, judged by `verify`, and gone with its rule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from settled import start_guests
from sites import SITE, mac
from test_main_job import FIRST, Desk, committed

from reconciler.lab.handle import Lab
from reconciler.lab.labs import lab as new_lab
from reconciler.model.kernel import Backend

pytestmark = pytest.mark.lab

GUARD = "guard-web01-000001"
WEB = mac(1)


@pytest.fixture(scope="module")
def running_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with new_lab() as lab:
        start_guests(lab, tmp_path_factory.mktemp("xml"), FIRST)
        yield lab


@pytest.fixture
def desk(running_lab: Lab, tmp_path: Path) -> Desk:
    return committed(running_lab, tmp_path)


def ignore(desk: Desk, *rules: str) -> None:
    lines = "".join(f"  - {{{rule}, reason: moves on Monday}}\n" for rule in rules)
    (desk.repository / "site.yaml").write_bytes(SITE + (f"ignore:\n{lines}".encode() if rules else b""))
    desk.commit()


def drift(desk: Desk, exit_code: int) -> set[tuple[str, bool]]:
    found = desk.document("diff", exit_code)["drift"]
    return {(each["field"], each["ignored"]) for each in found}  # type: ignore[attr-defined]


def flush_a_chain(desk: Desk) -> None:
    """The first that all frames of the guest come to: they may now be of anybody."""
    port = desk.port("web01")
    if desk.lab.system.backend is Backend.NFTABLES:
        desk.lab.run(["nft", "flush", "chain", "bridge", "libvirt_nwfilter_ethernet", f"{port}-out"])
    else:
        desk.lab.run(["ebtables", "-t", "nat", "-F", f"libvirt-I-{port}"])


def test_a_hole_in_the_kernels_rules_is_told_and_left_and_verify_still_finds_it(desk: Desk) -> None:
    ignore(desk, f'object: guest/web01, field: "{WEB}.rules"')
    desk.apply()
    flush_a_chain(desk)
    assert {ignored for _, ignored in drift(desk, 0)} == {True}
    told = desk.command("diff")
    assert "ignored" in told.stdout and "moves on Monday" in told.stdout
    assert "ignored: kernel guest/web01" in told.stderr
    assert desk.write_calls(desk.apply) == []
    assert desk.document("verify", 1)["drift"]
    ignore(desk)
    desk.apply()
    assert drift(desk, 0) == set()


def test_an_address_that_is_ignored_stays_while_the_rest_is_mended(desk: Desk) -> None:
    ignore(desk, f"object: filter/{GUARD}, field: parameters.IP")
    desk.apply()
    held = desk.virsh("nwfilter-dumpxml", GUARD)
    edited = re.sub("10[.]0[.]0[.]10", "10.0.0.99", held).replace("2001:db8::10", "2001:db8::99")
    file = desk.lab.folder / "guard.xml"
    file.write_text(edited)
    desk.virsh("nwfilter-define", str(file))
    found = drift(desk, 1)
    assert {("parameters.IP", True), ("parameters.IPV6", False)} <= found
    assert {field for field, _ in found if ".rules." in field and "ipv6" not in field} == set()
    desk.apply()
    assert drift(desk, 0) == {("parameters.IP", True)}
    assert "10.0.0.99" in desk.virsh("nwfilter-dumpxml", GUARD)
    assert desk.write_calls(desk.apply) == []
    failing = [case for case in desk.document("verify", 1)["cases"] if case["expected"] != case["got"]]  # type: ignore[attr-defined]
    assert failing, "the guest may no longer use the address that the site gives it"
    ignore(desk)
    desk.apply()
    assert drift(desk, 0) == set()
