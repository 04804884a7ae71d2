"""`verify --frames`: the site's filters tried with real frames, in a lab that is gone afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from extension_headers import UNSEEN_BY_NFT
from interfaces import INEXPRESSIBLE
from sites import EXAMPLE, example_without_supplement

from reconciler.lab.releases import choose

pytestmark = pytest.mark.lab


def verify_frames(site: Path, exit_code: int) -> list[dict[str, Any]]:
    argv = [sys.executable, "-m", "reconciler", "--site", str(site), "--host", "kvm01", "--output", "json"]
    ended = subprocess.run([*argv, "verify", "--frames"], check=False, capture_output=True, text=True)
    assert ended.returncode == exit_code, ended.stderr
    cases: list[dict[str, Any]] = json.loads(ended.stdout)["cases"]
    return cases


def test_the_example_site_leaks_nothing() -> None:
    unseen = UNSEEN_BY_NFT if choose().of_nft else frozenset()
    cases = verify_frames(EXAMPLE, int(bool(unseen)))
    assert {case["case"] for case in cases if case["got"] != case["expected"]} <= unseen
    assert {case["layer"] for case in cases} == {"frames"}
    assert not [case for case in cases if "foretold otherwise" in case["rule"]]
    assert {case["guest"] for case in cases} == {"web01", "db01", "seg01"}
    assert {case["expected"] for case in cases} == {"pass", "drop"}


def test_without_the_supplement_it_leaks_what_nwfilter_cannot_express_and_nothing_else(tmp_path: Path) -> None:
    unseen = UNSEEN_BY_NFT if choose().of_nft else frozenset()
    cases = verify_frames(example_without_supplement(tmp_path), int(bool(unseen)))
    assert {case["case"] for case in cases if case["got"] != case["expected"]} == INEXPRESSIBLE | unseen
    assert not [case for case in cases if "foretold otherwise" in case["rule"]]


def test_a_filter_that_leaks_is_found_by_its_frames(tmp_path: Path) -> None:
    site = example_without_supplement(tmp_path)
    filter_file = site / "filters/guest-ipv6-source.xml"
    text = filter_file.read_text()
    assert "type='134'" in text
    filter_file.write_text(text.replace("type='134'", "type='200'"))
    leaking = {case["case"] for case in verify_frames(site, 1) if case["got"] != case["expected"]}
    assert leaking - INEXPRESSIBLE >= {"nd-ra", "ext-ra-hop-by-hop", "ext-ra-fragment"}


@pytest.mark.parametrize("name", sorted(path.name for path in (EXAMPLE / "examples").iterdir() if path.is_dir()))
def test_the_older_ways_do_in_frames_what_is_foretold(name: str) -> None:
    argv = [sys.executable, "-m", "reconciler", "--site", str(EXAMPLE / "examples" / name), "--output", "json"]
    ended = subprocess.run([*argv, "verify", "--frames"], check=False, capture_output=True, text=True)
    cases = json.loads(ended.stdout)["cases"]
    assert len(cases) > 60
    assert all(case["rule"] for case in cases), "each is foretold, with libvirt's own filters as the lab has them"
    assert not [case for case in cases if "foretold otherwise" in case["rule"]]
    own = [case for case in cases if case["case"].startswith(("ipv4-own-1", "ipv6-own-2", "arp-request-1"))]
    assert own and all(case["got"] == "pass" for case in own)
