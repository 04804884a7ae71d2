"""What filters leak is found out once for the same frames on the same filters, and anew for any others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from sites import EXAMPLE, SITE, guest_yaml, site

from reconciler import app
from reconciler.cli import main
from reconciler.model.coverage import FilterCoverage
from reconciler.model.guest import Guest
from reconciler.model.site import Desired
from reconciler.nwfilter import battery
from reconciler.nwfilter.leaks import judged, subjects
from reconciler.nwfilter.parse import parse_filter
from reconciler.settings import Settings

WIDE = parse_filter(b"<filter name='w'><rule action='accept' direction='inout' priority='-999'/></filter>").entries
GUESTS = {
    "a": guest_yaml("a", 1, "[10.0.0.10]", '["2001:db8::10"]'),
    "b": guest_yaml("b", 2, "[10.0.0.20]"),
    "c": guest_yaml("c", 3, "[10.0.0.30]", '["2001:db8::30"]'),
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(uri="memory", var=tmp_path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The MACs for which frames were built."""
    built, real = [], battery.battery

    def note(subject: object, *more: object) -> object:
        built.append(subject.mac)  # type: ignore[attr-defined]
        return real(subject, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(battery, "battery", note)
    return built


def guest_changed(name: str, change: Callable[[Guest], Guest]) -> Callable[[Desired], Desired]:
    return lambda desired: replace(desired, guests=tuple(change(g) if g.name == name else g for g in desired.guests))


def with_address(text: str) -> Callable[[Guest], Guest]:
    return lambda guest: replace(guest, interfaces=(replace(guest.interfaces[0], ipv4=(ip_network(text),)),))  # type: ignore[arg-type]


def opened(desired: Desired) -> Desired:
    return replace(desired, filters=tuple(replace(f, entries=(*WIDE, *f.entries)) for f in desired.filters))


def without_memory(desired: Desired) -> tuple[FilterCoverage, ...]:
    return tuple(judged(desired, subjects(desired)).values())


CHANGES: dict[str, Callable[[Desired], Desired]] = {
    "a filter": opened,
    "the supplement": lambda desired: replace(desired, policy=replace(desired.policy, supplement=True)),
    "the first guest": guest_changed("a", with_address("10.0.0.99/32")),
    "a neighbour, whose address is forged": guest_changed("b", with_address("10.0.0.77/32")),
    "no first guest": lambda desired: replace(desired, guests=desired.guests[1:]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_verdict_depends_on_is_judged_anew(change: str, settings: Settings, asked: list[str]) -> None:
    before = site(GUESTS)
    after = CHANGES[change](before)
    app.filter_coverage(settings, before)
    asked.clear()
    found = app.filter_coverage(settings, after)
    assert asked
    assert found == without_memory(after)
    asked.clear()
    assert app.filter_coverage(settings, after) == found
    assert asked == []


def test_an_open_filter_is_told_from_a_closed_one(settings: Settings) -> None:
    before = site(GUESTS)
    closed = app.filter_coverage(settings, before)
    leaks = [len(each.leaks) for each in app.filter_coverage(settings, opened(before))]
    assert all(more > len(each.leaks) for more, each in zip(leaks, closed, strict=True))


def test_another_guest_of_the_same_kind_is_counted_and_not_judged(settings: Settings, asked: list[str]) -> None:
    few = {name: GUESTS[name] for name in ("a", "b")}
    more = {"e": 5, "f": 6, "g": 7, "h": 8}
    middle = few | {name: guest_yaml(name, number, f"[10.0.0.{number}]") for name, number in more.items()}
    last = middle | {"z": guest_yaml("z", 9, "[10.0.0.9]", '["2001:db8::9"]')}
    (dual, _) = app.filter_coverage(settings, site(middle))
    asked.clear()
    (again, ipv4) = app.filter_coverage(settings, site(last))
    assert asked == []
    assert (again.interfaces, dual.interfaces, ipv4.interfaces) == (2, 1, 5)


def test_of_many_kinds_only_those_are_judged_whose_interface_changed(settings: Settings, asked: list[str]) -> None:
    before = site(GUESTS)
    app.filter_coverage(settings, before)
    asked.clear()
    app.filter_coverage(settings, guest_changed("a", lambda guest: replace(guest, group="db"))(before))
    assert asked == []
    app.filter_coverage(settings, guest_changed("a", with_address("10.0.0.99/32"))(before))
    assert asked == ["52:54:00:00:00:01", "52:54:00:00:00:02"]  # the second one's frames forge the first one's address


@pytest.mark.parametrize("body", [b"", b"[]", b"[[1]]", b"null", b'[[["f","g","h",1,[],[],[]]]]', b"\xff"])
def test_an_entry_that_is_no_answer_is_none(body: bytes, settings: Settings) -> None:
    from reconciler.records import coverage

    desired = site(GUESTS)
    found = app.filter_coverage(settings, desired)
    kept = coverage.KeptCoverage(settings.var, desired)
    coverage.write_kept(settings.var / "coverage", kept._key, body)
    assert kept.read(subjects(desired)) == {}
    assert app.filter_coverage(settings, desired) == found


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_check_says_the_same(output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--site", str(EXAMPLE), "--var", str(tmp_path), "--output", output, "check"]
    said = []
    for _ in range(2):
        assert main(words) == 0
        said.append(capsys.readouterr())
    assert said[0] == said[1]
    assert [path.name for path in (tmp_path / "coverage").iterdir()]
    if output == "json":
        assert json.loads(said[0].out)["filters"]


def test_where_nothing_can_be_kept_nothing_fails(tmp_path: Path, asked: list[str]) -> None:
    desired = site(GUESTS, SITE)
    nowhere = Settings(uri="memory", var=tmp_path / "none")
    for _ in range(2):
        asked.clear()
        assert app.filter_coverage(nowhere, desired) == without_memory(desired)
        assert asked
    assert not (tmp_path / "none").exists()
