"""A site that was loaded before is taken only when it is exactly what a full load would give."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from sites import EXAMPLE, SITE

from reconciler import app
from reconciler.errors import SiteError
from reconciler.load import load
from reconciler.model.problem import Oddity
from reconciler.model.site import Desired
from reconciler.records import keys
from reconciler.records.keys import site_key
from reconciler.records.loaded import read_loaded, write_loaded
from reconciler.records.plain import from_plain, to_plain
from reconciler.settings import Settings
from reconciler.source.folder import look_at_folder, read_folder

SITES = [EXAMPLE, *sorted(Path(__file__).parent.parent.glob("golden/plans/*/desired"))]
POLICY = """
policy:
  windows: [{days: [sat, sun], from: "02:00", to: "04:00", tz: Asia/Tokyo, allow: guest-restart}]
"""


@pytest.fixture
def var(tmp_path: Path) -> Path:
    folder = tmp_path / "var"
    folder.mkdir()
    return folder


@pytest.fixture
def kept(var: Path) -> tuple[str, Desired, Path]:
    """A kept site: its key, what it is, and the entry."""
    found = look_at_folder(EXAMPLE)
    key = site_key(found.files, found.commit, found.odd)
    site = load(found.files, found.commit, found.odd)
    write_loaded(var, key, site)
    return key, site, var / "loaded" / key


@pytest.mark.parametrize("folder", SITES, ids=str)
def test_a_kept_site_is_the_loaded_one_to_the_last_warning(folder: Path) -> None:
    shared = {path: content for path, content in read_folder(EXAMPLE).items() if path.startswith("filters/")}
    own = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    site = load({"site.yaml": SITE, **shared, **own}, "a commit")
    again = from_plain(Desired, json.loads(json.dumps(to_plain(site))))
    assert again == site
    assert again.warnings == site.warnings
    assert repr(again) == repr(site)


def test_windows_are_kept_and_a_zone_that_left_the_machine_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    site = load({"site.yaml": POLICY.encode()})
    plain = to_plain(site)
    assert from_plain(Desired, plain) == site
    assert "Asia/Tokyo" in json.dumps(plain)
    with pytest.raises((KeyError, ValueError)):
        from_plain(Desired, json.loads(json.dumps(plain).replace("Asia/Tokyo", "Asia/Nowhere")))


def test_an_entry_is_for_its_owner_alone(kept: tuple[str, Desired, Path], var: Path) -> None:
    key, site, entry = kept
    assert entry.stat().st_mode & 0o777 == 0o600
    assert entry.parent.stat().st_mode & 0o777 == 0o700
    assert read_loaded(var, key) == site


def _resealed(key: str, body: bytes) -> bytes:
    return sha256(key.encode() + body).hexdigest().encode() + b"\n" + body


def _foreign_class(entry: Path) -> None:
    entry.write_bytes(_resealed(entry.name, b'{"Popen":["true"]}'))


def _no_site(entry: Path) -> None:
    entry.write_bytes(_resealed(entry.name, b'{"Segment":["tenants"]}'))


def _poisoned(entry: Path) -> None:
    entry.write_bytes(entry.read_bytes().replace(b"192.168.0.", b"192.168.9."))


def _of_another_site(entry: Path) -> None:
    head, _, body = entry.read_bytes().partition(b"\n")
    entry.write_bytes(_resealed("0" * 64, body))
    assert entry.read_bytes().partition(b"\n")[0] != head


def _link(entry: Path) -> None:
    entry.rename(entry.with_name("elsewhere"))
    entry.symlink_to("elsewhere")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda entry: entry.write_bytes(entry.read_bytes()[:-100]),
    "empty": lambda entry: entry.write_bytes(b""),
    "poisoned": _poisoned,
    "of another site": _of_another_site,
    "a foreign class": _foreign_class,
    "no site": _no_site,
    "a link": _link,
    "others may write": lambda entry: entry.chmod(0o622),
    "others may read": lambda entry: entry.chmod(0o644),
    "others may write the folder": lambda entry: entry.parent.chmod(0o777),
    "a folder": lambda entry: (entry.unlink(), entry.mkdir(mode=0o700)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_entry_that_cannot_be_trusted_is_none(kept: tuple[str, Desired, Path], var: Path, damage: str) -> None:
    key, _, entry = kept
    DAMAGES[damage](entry)
    assert read_loaded(var, key) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("whose", ["entry", "folder"])
def test_what_somebody_else_owns_is_none(kept: tuple[str, Desired, Path], var: Path, whose: str) -> None:
    key, _, entry = kept
    os.chown(entry if whose == "entry" else entry.parent, 65534, 65534)
    assert read_loaded(var, key) is None


def test_the_key_follows_all_that_the_answer_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"site.yaml": b"{}", "guests/a.yaml": b"x"}
    found = [
        site_key(files, "", ()),
        site_key(files, "commit", ()),
        site_key(files, "", (Oddity("a", "b", "c"),)),
        site_key({**files, "guests/a.yaml": b"y"}, "", ()),
        site_key({"site.yaml": b"{}", "guests/b.yaml": b"x"}, "", ()),
        site_key({"a": b"b"}, "", ()),
        site_key({"ab": b""}, "", ()),
    ]
    monkeypatch.setattr(keys, "program_mark", lambda: b"another program")
    found.append(site_key(files, "", ()))
    assert len(set(found)) == len(found)


def test_only_the_newest_are_kept_and_drafts_go(kept: tuple[str, Desired, Path], var: Path) -> None:
    _, site, entry = kept
    os.utime(entry, (1, 1))
    for number in range(6):
        write_loaded(var, f"{number:064}", site)
    assert len(list(entry.parent.iterdir())) == 4
    assert not entry.exists()


def test_without_a_state_folder_nothing_is_made(kept: tuple[str, Desired, Path], tmp_path: Path) -> None:
    write_loaded(tmp_path / "none", "0" * 64, kept[1])
    assert not (tmp_path / "none").exists()


def test_a_site_is_examined_once_and_a_changed_one_again(
    var: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import reconciler.load

    site = tmp_path / "site"
    (site / "guests").mkdir(parents=True)
    (site / "site.yaml").write_text("{}\n")
    settings = Settings(site=site, var=var)
    examined: list[str] = []
    real = reconciler.load.load
    monkeypatch.setattr(reconciler.load, "load", lambda *words: (examined.append("once"), real(*words))[1])
    first, second = app.load_site(settings), app.load_site(settings)
    assert first == second
    assert examined == ["once"]
    (site / "guests/a.yaml").write_text("name: b\n")
    with pytest.raises(SiteError):
        app.load_site(settings)
    with pytest.raises(SiteError):
        app.load_site(settings)
    assert len(examined) == 3
