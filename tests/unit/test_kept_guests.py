"""With remembered guests every check says what it says without them, to the last byte, whatever has changed since."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from site_edits import (
    EDITS,
    MACS,
    REFERENCES,
    RULES,
    SITES,
    Edit,
    Files,
    edited,
    filter_text,
    guest_text,
    start_files,
)
from sites import EXAMPLE, guest_yaml
from sizes import examples

from reconciler import app
from reconciler.cli import main
from reconciler.load import examination, examine, load
from reconciler.model.problem import Problem
from reconciler.model.site import Desired
from reconciler.records import guests as guests_module
from reconciler.records.guests import KeptGuests
from reconciler.settings import Settings
from reconciler.source.folder import read_folder


@given(st.lists(EDITS, min_size=1, max_size=8))
@settings(max_examples=examples(12, 10000))
def test_whatever_changes_the_answer_is_that_of_a_check_without_memory(edits: list[Edit]) -> None:
    with tempfile.TemporaryDirectory() as var, patch.object(guests_module, "key_of", _any_key):
        files = start_files()
        for edit in [("site.yaml", files["site.yaml"]), *edits]:
            files = edited(files, edit)
            for _ in range(2):
                assert repr(examine(files, "s", (), KeptGuests(Path(var), "s"))) == repr(examine(files, "s")), edit


def _any_key(*_: object) -> str:
    return "0" * 64


def _all_kinds() -> Files:
    """A guest for each way to depend on a site and on a filter; which of them are valid depends on both."""
    files = start_files()
    addresses = (("[10.0.0.{}]", "none"), ("[10.0.0.{}]", "['2001:db8::{}']"), ("none", "none"))
    words: tuple[dict[str, str], ...] = ({}, {"hosts": "[kvm01]"}, {"health": "[{agent: true}]"})
    kinds = itertools.product(("", "lan", "dmz"), ("", "guest", "plain"), addresses, words)
    for number, (segment, filter, (ipv4, ipv6), whole) in enumerate(kinds, start=10):
        own = {"mac": f"'52:54:00:00:01:{number:02x}'", "ipv4": ipv4.format(number), "ipv6": ipv6.format(number)}
        nic = own | ({"segment": segment} if segment else {}) | ({"filter": filter} if filter else {})
        files[f"guests/g{number}.yaml"] = guest_text(f"g{number}", whole, [nic], "")
    return files


GROUNDS: list[Edit] = [
    *(("site.yaml", text.encode()) for text in SITES),
    *(("filters/plain.xml", filter_text("plain", [rule], "")) for rule in RULES),
    *(("filters/plain.xml", filter_text("plain", [RULES[0], rule], "")) for rule in RULES),
    *(("filters/plain.xml", filter_text("plain", [RULES[0]], reference)) for reference in REFERENCES),
    ("filters/plain.xml", None),
    ("guests/a.yaml", guest_text("a", {}, [{"mac": "'52:54:00:00:01:0a'", "ipv4": "[10.0.0.11]", "ipv6": "none"}], "")),
    (
        "guests/z.yaml",
        guest_text("z", {}, [{"mac": "'52:54:00:00:02:0a'", "ipv4": "[10.0.0.8/29]", "ipv6": "none"}], ""),
    ),
]


KNOWN = random.Random(20261125).sample(range(len(GROUNDS)), examples(1, len(GROUNDS)))


@pytest.mark.parametrize("known", KNOWN)
def test_from_every_ground_to_every_other(known: int, var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests_module, "key_of", _any_key)
    examine(edited(_all_kinds(), GROUNDS[known]), "s", (), KeptGuests(var, "s"))
    for edit in GROUNDS:
        files = edited(_all_kinds(), edit)
        faulty = {problem.origin.path for problem in _without_memory(files)[1]}
        valid = {path: content for path, content in files.items() if path not in faulty or "guests" not in path}
        for each in (files, valid):  # nothing is built of a site with a fault
            found = examine(each, "s", (), KeptGuests(var, "s", writes=False))
            assert repr(found) == repr(_without_memory(each)), edit


@cache
def _examined(files: tuple[tuple[str, bytes], ...]) -> tuple[Desired | None, tuple[Problem, ...]]:
    return examine(dict(files), "s")


def _without_memory(files: Files) -> tuple[Desired | None, tuple[Problem, ...]]:
    return _examined(tuple(files.items()))


def _written(folder: Path, files: Files) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _said(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(words)
    return code, *capsys.readouterr()


FAULTS: dict[str, Edit] = {
    "none": ("guests/c.yaml", None),
    "a word": ("guests/a.yaml", b"name: a\npower: sideways\ninterfaces: []\n"),
    "a MAC twice": (
        "guests/d.yaml",
        guest_text("d", {}, [{"mac": f"'{MACS[0]}'", "ipv4": "none", "ipv6": "none"}], ""),
    ),
    "overlaps": (
        "guests/d.yaml",
        guest_text("d", {}, [{"mac": "'52:54:00:00:00:0d'", "ipv4": "[10.0.0.0/29]", "ipv6": "none"}], ""),
    ),
    "a filter's warning": ("filters/plain.xml", filter_text("plain", [RULES[0], RULES[3]], "")),
    "a filter's need": ("filters/plain.xml", filter_text("plain", [RULES[4]], "")),
    "another gateway": ("site.yaml", SITES[1].encode()),
    "no default": ("site.yaml", SITES[15].encode()),
}


@pytest.mark.parametrize("output", ["text", "json", "junit"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_command_says_the_same(fault: str, output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site, var = tmp_path / "site", tmp_path / "var"
    var.mkdir()
    warm = ["--site", str(site), "--var", str(var), "--output", output, "check"]
    cold = ["--site", str(site), "--var", str(tmp_path / "none"), "--output", output, "check"]
    for files in (start_files(), edited(start_files(), FAULTS[fault])):
        _written(site, files)
        assert _said(warm, capsys) == _said(cold, capsys)
        assert _said(warm, capsys) == _said(cold, capsys)
    assert not (tmp_path / "none").exists()


@pytest.fixture
def var(tmp_path: Path) -> Path:
    (tmp_path / "var").mkdir()
    return tmp_path / "var"


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The guests' files that are read."""
    paths: list[str] = []
    real = examination._faultless_guest
    monkeypatch.setattr(
        examination, "_faultless_guest", lambda path, content: (paths.append(path), real(path, content))[1]
    )
    return paths


def _entry(var: Path) -> Path:
    (entry,) = (var / "guests").iterdir()
    return entry


def test_only_what_changed_is_read(var: Path, parsed: list[str]) -> None:
    files = start_files()
    examine(files, "s", (), KeptGuests(var, "s"))
    assert len(parsed) == 3
    parsed.clear()
    twin = {"mac": f"'{MACS[1]}'", "ipv4": "none", "ipv6": "none"}
    changes: list[tuple[Edit, list[str]]] = [
        (("guests/README.md", b"nothing"), []),
        (("guests/b.yaml", files["guests/b.yaml"] + b"\n"), ["guests/b.yaml"]),
        (("guests/0.yaml", guest_text("0", {}, [twin], "")), ["guests/0.yaml"]),
        (("filters/plain.xml", filter_text("plain", [RULES[0], RULES[0]], "")), []),
        (("site.yaml", files["site.yaml"] + b"policy: {max_down: 2}\n"), []),
        (("site.yaml", SITES[1].encode()), ["guests/a.yaml", "guests/b.yaml", "guests/c.yaml"]),
    ]
    for edit, expected in changes:
        changed = edited(files, edit)
        examine(changed, "s", (), KeptGuests(var, "s"))
        assert sorted(parsed) == sorted(expected), edit
        parsed.clear()
        examine(files, "s", (), KeptGuests(var, "s"))
        parsed.clear()


def test_a_commit_that_is_loaded_reads_only_what_changed(var: Path, tmp_path: Path, parsed: list[str]) -> None:
    site = tmp_path / "site"
    files = start_files()
    for number in range(2):
        _written(site, edited(files, ("guests/b.yaml", files["guests/b.yaml"] + b"\n" * number)))
        found = app.load_site(Settings(site=site, var=var))
        assert repr(found) == repr(load(read_folder(site), str(site)))
    assert parsed[6:7] == ["guests/b.yaml"]
    assert len(parsed) == 3 + 3 + 1 + 3


def _foreign(entry: Path) -> None:
    name, _, part = entry.read_bytes().partition(b"\n")[2].partition(b" ")
    body = name + b' ["Popen"]' + part[:0]
    entry.write_bytes(sha256(entry.name.encode() + body).hexdigest().encode() + b"\n" + body)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda entry: entry.write_bytes(entry.read_bytes()[:-100]),
    "empty": lambda entry: entry.write_bytes(b""),
    "tampered": lambda entry: entry.write_bytes(entry.read_bytes().replace(b"52:54:00", b"52:54:01")),
    "of no guest": _foreign,
    "a link": lambda entry: (entry.rename(entry.with_name("elsewhere")), entry.symlink_to("elsewhere")),
    "others may write": lambda entry: entry.chmod(0o620),
    "others may read": lambda entry: entry.chmod(0o644),
    "others may write the folder": lambda entry: entry.parent.chmod(0o770),
    "a folder": lambda entry: (entry.unlink(), entry.mkdir(mode=0o700)),
    "a pipe": lambda entry: (entry.unlink(), os.mkfifo(entry, 0o600)),
}
if os.geteuid() == 0:
    DAMAGES["somebody else's"] = lambda entry: os.chown(entry, 65534, 65534)
    DAMAGES["in somebody else's folder"] = lambda entry: os.chown(entry.parent, 65534, 65534)


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_entry_that_cannot_be_trusted_is_none(var: Path, damage: str) -> None:
    files = start_files()
    examine(files, "s", (), KeptGuests(var, "s"))
    assert len(KeptGuests(var, "s").recall(files)) == 3
    DAMAGES[damage](_entry(var))
    assert not KeptGuests(var, "s").recall(files)
    assert repr(examine(files, "s", (), KeptGuests(var, "s"))) == repr(examine(files, "s"))


def test_guests_that_are_gone_are_forgotten(var: Path) -> None:
    sizes = []
    for number in range(5):
        files = {**start_files(), f"guests/g{number}.yaml": guest_yaml(f"g{number}", 9, ipv4=f"[10.0.0.{90 + number}]")}
        assert examine(files, "s", (), KeptGuests(var, "s"))[0]
        sizes.append(_entry(var).stat().st_size)
        assert len(KeptGuests(var, "s").recall(files)) == 4
    assert max(sizes) == min(sizes)
    for number in range(6):
        examine(start_files(), "s", (), KeptGuests(var, f"place {number}"))
    assert len(list((var / "guests").iterdir())) == 4


def test_where_nothing_can_be_kept_nothing_fails(var: Path, tmp_path: Path) -> None:
    files = start_files()
    expected = repr(examine(files, "s"))
    for folder in (tmp_path / "none", Path("/proc/nowhere"), Path("/dev/null")):
        assert repr(examine(files, "s", (), KeptGuests(folder, "s"))) == expected
        assert not (folder / "guests").exists()
    (var / "guests").write_text("a file where the folder should be")
    assert repr(examine(files, "s", (), KeptGuests(var, "s"))) == expected


def test_a_base_is_read_with_what_is_known_and_leaves_it(var: Path) -> None:
    files = start_files()
    examine(files, "s", (), KeptGuests(var, "s"))
    before = _entry(var).read_bytes()
    base = edited(files, ("guests/a.yaml", None))
    assert repr(examine(base, "s", (), KeptGuests(var, "s", writes=False))) == repr(examine(base, "s"))
    assert _entry(var).read_bytes() == before


def test_another_program_or_place_knows_nothing(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = start_files()
    examine(files, "s", (), KeptGuests(var, "s"))
    assert not KeptGuests(var, "elsewhere").recall(files)
    monkeypatch.setattr(guests_module, "key_of", lambda *_: "0" * 64)
    assert not KeptGuests(var, "s").recall(files)


def test_the_example_is_remembered_whole(var: Path) -> None:
    files = read_folder(EXAMPLE)
    first = examine(files, "s", (), KeptGuests(var, "s"))
    guests = {path for path in files if path.startswith("guests/")}
    assert KeptGuests(var, "s").recall(files).keys() == guests
    assert repr(examine(files, "s", (), KeptGuests(var, "s"))) == repr(first) == repr(examine(files, "s"))
    assert b"Popen" not in _entry(var).read_bytes()
    assert all(json.loads(line.partition(b" ")[2]) for line in _entry(var).read_bytes().splitlines()[1:])
