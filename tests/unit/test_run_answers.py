"""A timer's run on a repository and a host in memory: what it answers, whatever happens."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from repositories import Repository
from sites import SITE, guest_yaml, host_as_wanted, site

from reconciler import app
from reconciler.model.plan import Step
from reconciler.model.report import Outcome
from reconciler.settings import Settings
from reconciler.source.folder import read_folder
from reconciler.stories.run import report, run

EXAMPLE = Path(__file__).parents[2] / "state"
NAME = "kvm01.example.org"
GUEST = guest_yaml("web01", 1, "[10.0.0.10]")
TEXT = SITE + f"hosts: {{{NAME}: {{}}}}\n".encode()


def silent(event: str, step: Step) -> None:
    pass


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Of a site that calls this host by its full name."""
    found = Repository(tmp_path / "origin")
    filters = {path: content for path, content in read_folder(EXAMPLE).items() if path.startswith("filters/")}
    for path, content in {"site.yaml": TEXT, "guests/web01.yaml": GUEST, **filters}.items():
        found.write(path, content.decode())
    found.commit()
    host = host_as_wanted(site({"web01": GUEST}, TEXT))
    monkeypatch.setattr(app, "open_host", lambda _settings: host)
    monkeypatch.setattr(socket, "gethostname", lambda: "kvm01")
    monkeypatch.setattr(socket, "getfqdn", lambda: NAME)
    return found


def test_a_failed_run_is_told_under_the_name_of_the_good_ones(repository: Repository, tmp_path: Path) -> None:
    settings = Settings(repository=str(repository.folder), var=tmp_path / "var")
    assert run(settings, silent).host == NAME
    repository.write("guests/web01.yaml", "name: web02\n")
    repository.commit()
    for told in (run(settings, silent), report(settings)):
        assert (told.outcome, told.host) == (Outcome.INVALID, NAME)


def test_before_any_run_a_host_has_its_own_short_name(repository: Repository, tmp_path: Path) -> None:
    repository.write("guests/web01.yaml", "name: web02\n")
    repository.commit()
    told = run(Settings(repository=str(repository.folder), var=tmp_path / "var"), silent)
    assert (told.outcome, told.host) == (Outcome.INVALID, "kvm01")
