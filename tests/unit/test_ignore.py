"""Ignored differences stay in every report and are left as they are; nothing else is, and nobody is let in by it."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from sites import EXAMPLE, SITE, guest_yaml, host_as_wanted, mac, site

from reconciler.diff import changes, diff
from reconciler.domain.parse import parse_nics
from reconciler.domain.rewrite import set_filterref
from reconciler.execute.executor import execute
from reconciler.execute.journal import Journal
from reconciler.host.memory import MemoryHost
from reconciler.load import examine
from reconciler.model.drift import Drift, Layer
from reconciler.model.filter import FilterRef
from reconciler.model.ignore import Ignore, ignored_because
from reconciler.model.live import MANAGED_SAVE, SavedState
from reconciler.model.plan import Plan
from reconciler.model.site import Desired
from reconciler.nwfilter.guard import LEARNING
from reconciler.plan.build import make_plan
from reconciler.report import document
from reconciler.report.text import show_drift
from reconciler.source.folder import read_folder

HOST = "kvm01"
WEB, DB = "guest/web01", "guest/db01"
GUARD = "guard-web01-000001"
GUESTS = {
    "web01": guest_yaml("web01", 1, "[10.0.0.10]", '["2001:db8::10"]', more="autostart: true\npower: running"),
    "db01": guest_yaml("db01", 2, "[10.0.0.20]"),
}


def ignoring(*rules: str, guests: dict[str, bytes] | None = None) -> Desired:
    lines = "".join(f"  - {{{rule}, reason: moved next week}}\n" for rule in rules)
    return site(guests or GUESTS, SITE + b"ignore:\n" + lines.encode() if rules else SITE)


def port(host: MemoryHost, guest: str = "web01") -> str:
    return str(host.domains[guest].live[0].port)


def redefine(host: MemoryHost, name: str, before: str, after: str) -> None:
    held = host.filters[name]
    assert before in held.xml
    head, rest = held.xml.replace(before, after).split("\n", 1)
    host.define_filter(f"{head}<uuid>{held.uuid}</uuid>{rest}")


def edit_guard(host: MemoryHost) -> None:
    redefine(host, GUARD, "10.0.0.10", "10.0.0.11")


def edit_shared(host: MemoryHost) -> None:
    more = "<rule action='drop' direction='out'><mac protocolid='0x88cc'/></rule></filter>"
    redefine(host, "guest-ipv4", "</filter>", more)


def take_filter(host: MemoryHost) -> None:
    host.set_live_filterref("web01", mac(1), None)


def flush(host: MemoryHost) -> None:
    del host.installed[port(host)]


def lose_binding(host: MemoryHost) -> None:
    del host.bindings[port(host)]


def edit_binding(host: MemoryHost) -> None:
    bound = host.bindings[port(host)]
    wider = FilterRef(bound.filterref.filter, ((LEARNING, "none"), ("IP", "10.0.0.11")))
    host.rebuild_binding(port(host), "web01", wider)


def no_autostart(host: MemoryHost) -> None:
    host.domains["web01"] = replace(host.domains["web01"], autostart=False)


def save_with_another_address(host: MemoryHost) -> None:
    """A guest that was saved while it had its address in its own filterref."""
    old = FilterRef("guest-dual-stack", (("CTRL_IP_LEARNING", "none"), ("IP", "10.0.0.99")))
    domain = host.domains["web01"]
    xml = set_filterref(domain.persistent_xml, mac(1), old)
    host.domains["web01"] = replace(domain, saved=(SavedState(MANAGED_SAVE, parse_nics(xml), xml),))


MAC = mac(1)
CASES: dict[str, tuple[Callable[[MemoryHost], None], str, set[tuple[str, str, Layer]]]] = {
    "a guard's address": (
        edit_guard,
        f'object: "filter/{GUARD}", field: parameters.IP',
        {(f"filter/{GUARD}", "parameters.IP", Layer.PERSISTENT)},
    ),
    "a shared filter's rules": (
        edit_shared,
        'object: "filter/guest-*", field: entries',
        {("filter/guest-ipv4", "entries", Layer.PERSISTENT)},
    ),
    "a running interface without filter": (
        take_filter,
        f'object: {WEB}, field: "*.filterref", layer: live',
        {(WEB, f"{MAC}.filterref", Layer.LIVE)},
    ),
    "flushed rules": (flush, f'object: {WEB}, field: "*.rules"', {(WEB, f"{MAC}.rules", Layer.KERNEL)}),
    "a binding with other variables": (
        edit_binding,
        f'object: {WEB}, field: "*.binding"',
        {(WEB, f"{MAC}.binding.parameters.IP", Layer.LIVE)},
    ),
    "a saved image": (
        save_with_another_address,
        f'object: {WEB}, field: "managed-save.{MAC}.filterref"',
        {
            (WEB, f"managed-save.{MAC}.filterref.filter", Layer.SAVED),
            (WEB, f"managed-save.{MAC}.filterref.parameters.IP", Layer.SAVED),
        },
    ),
    "autostart": (no_autostart, f"object: {WEB}, field: autostart", {(WEB, "autostart", Layer.PERSISTENT)}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_ignored_is_told_with_its_reason_and_left(case: str, tmp_path: Path) -> None:
    spoil, rule, expected = CASES[case]
    strict, tolerant = ignoring(), ignoring(rule)
    host = host_of(strict)
    spoil(host)
    assert make_plan(strict, host.inspect(), HOST).steps, "without the rule there is something to do"
    found = diff(tolerant, host.inspect(), HOST)
    assert {(each.object, each.field, each.layer) for each in found} == expected
    assert {each.ignored for each in found} == {"moved next week"}
    plan = make_plan(tolerant, host.inspect(), HOST)
    assert (plan.steps, plan.waiting) == ((), ())


@pytest.mark.parametrize("case", CASES)
def test_other_drift_is_mended_beside_it(case: str, tmp_path: Path) -> None:
    """P1: afterwards `diff` has ignored drift alone, and a second apply has nothing to do."""
    spoil, rule, expected = CASES[case]
    tolerant = ignoring(rule)
    host = host_of(tolerant)
    spoil(host)
    host.set_live_filterref("db01", mac(2), None)
    host.domains["db01"] = replace(host.domains["db01"], autostart=True)
    run(make_plan(tolerant, host.inspect(), HOST), host, tmp_path)
    left = diff(tolerant, host.inspect(), HOST)
    assert {(each.object, each.field, each.layer) for each in left} == expected
    assert not any(each.counts for each in left)
    assert make_plan(tolerant, host.inspect(), HOST).steps == ()


def test_a_lost_binding_is_left_only_with_its_rules(tmp_path: Path) -> None:
    """The rules of a port without binding are there still: only once they are lost it must be built again."""
    tolerant = ignoring(f'object: {WEB}, field: "*.binding"')
    host = host_of(tolerant)
    lose_binding(host)
    assert make_plan(tolerant, host.inspect(), HOST).steps == ()
    flush(host)
    assert [step.id for step in make_plan(tolerant, host.inspect(), HOST).steps] == [f"rebuild:{port(host)}"]


def test_one_field_of_a_filter_is_kept_while_another_is_mended(tmp_path: Path) -> None:
    tolerant = ignoring(f"object: filter/{GUARD}, field: parameters.IP")
    host = host_of(tolerant)
    edit_guard(host)
    redefine(host, GUARD, "2001:db8::10", "2001:db8::11")
    run(make_plan(tolerant, host.inspect(), HOST), host, tmp_path)
    assert "10.0.0.11" in host.filters[GUARD].xml
    assert "2001:db8::10" in host.filters[GUARD].xml


def test_the_other_layer_still_counts() -> None:
    tolerant = ignoring(f'object: {WEB}, field: "*.rules", layer: kernel')
    host = host_of(tolerant)
    take_filter(host)
    assert any(each.counts and each.layer is Layer.LIVE for each in diff(tolerant, host.inspect(), HOST))


def test_nobody_claims_an_address_that_an_ignored_interface_keeps(tmp_path: Path) -> None:
    """P4: the address is ignored where it is, so no step takes it from there."""
    before = host_of(ignoring())
    later = ignoring(
        f"object: filter/{GUARD}, field: parameters.IP",
        guests=GUESTS
        | {
            "web01": guest_yaml("web01", 1, "[10.0.0.30]", '["2001:db8::10"]'),
            "db01": guest_yaml("db01", 2, "[10.0.0.10]"),
        },
    )
    plan = make_plan(later, before.inspect(), HOST)
    assert plan.steps == ()
    assert [(each.target, "guest web01, of which the site ignores" in each.hint) for each in plan.waiting] == [
        ("filter/guard-db01-000002", True)
    ]


def test_nobody_claims_an_address_that_an_ignored_image_would_bring_back() -> None:
    tolerant = ignoring(
        f'object: {WEB}, field: "managed-save.*"', guests=GUESTS | {"db01": guest_yaml("db01", 2, "[10.0.0.99]")}
    )
    host = host_of(ignoring())
    save_with_another_address(host)
    plan = make_plan(tolerant, host.inspect(), HOST)
    assert [(each.target, "guest web01, of which the site ignores" in each.hint) for each in plan.waiting] == [
        ("filter/guard-db01-000002", True)
    ]


def test_text_and_json_show_what_is_ignored() -> None:
    drift = Drift(WEB, f"{MAC}.rules", Layer.KERNEL, "present", None, "moved [next] week")
    [found] = document.drift([drift])
    assert (found["ignored"], found["reason"]) == (True, "moved [next] week")
    assert document.drift([replace(drift, ignored=None)])[0]["ignored"] is False
    text = io.StringIO()
    show_drift(Console(file=text, width=120, no_color=True), [drift])
    assert "ignored (moved [next] week)" in text.getvalue()
    json.dumps(found)


def test_a_new_rule_is_a_change_of_the_site() -> None:
    [change] = changes(ignoring(), ignoring(f"object: {WEB}, field: power"))
    assert (change.object, change.field) == ("site", "ignore")
    assert change.after == [f"power of {WEB} (every layer): moved next week"]


def test_globs_and_fields_below() -> None:
    rules = (Ignore("guest/web*", "*.filterref", "why", Layer.LIVE),)
    assert ignored_because(rules, "guest/web01", "52:54:00:00:00:01.filterref.parameters.IP", Layer.LIVE) == "why"
    assert ignored_because(rules, "guest/web01", "52:54:00:00:00:01.filterrefs", Layer.LIVE) is None
    assert ignored_because(rules, "guest/web01", "52:54:00:00:00:01.filterref", Layer.PERSISTENT) is None
    assert ignored_because(rules, "guest/db01", "52:54:00:00:00:02.filterref", Layer.LIVE) is None


@pytest.mark.parametrize(
    ("rule", "column"),
    [
        ("object: guest/wbe01, field: power", "object"),
        ("object: filter/nobody, field: entries", "object"),
        (f"object: {WEB}, field: 52:54:00:ff:ff:ff.rules", "field"),
        (f"object: {WEB}, field: autostrat", "field"),
        (f"object: {WEB}, field: power, layer: kernel", "field"),
        ("object: filter/guest-ipv4, field: rules", "field"),
    ],
)
def test_a_rule_that_can_match_nothing_is_a_warning(rule: str, column: str) -> None:
    files = {"site.yaml": SITE + f"ignore:\n  - {{{rule}, reason: why}}\n".encode(), **files_of(GUESTS)}
    desired, problems = examine(files)
    assert desired is not None
    assert [problem.id for problem in problems] == ["ignore-matches-nothing"]
    line = files["site.yaml"].decode().splitlines()[problems[0].origin.line - 1]
    assert line[: problems[0].origin.column - 1].endswith(f"{column}: ")


@pytest.mark.parametrize(
    "rule",
    [
        f'object: {WEB}, field: "*"',
        'object: "*", field: "*"',
        f'object: {WEB}, field: "*.filterref.parameters.DHCP*"',
        f'object: {WEB}, field: "*.rules.libvirt-?-vnet*"',
        f'object: {WEB}, field: "52:54:00:00:00:01"',
        f"object: filter/{GUARD}, field: parameters.IP",
        'object: "filter/guard-*", field: definition',
        'object: "guest/*", field: autostart, layer: persistent',
        f'object: {WEB}, field: "*.rules.br_netfilter.ipv4"',
        f'object: {WEB}, field: "52:54:*.rules.before.PREROUTING"',
        f'object: {WEB}, field: "managed-save.*.filterref", layer: saved',
        f'object: {WEB}, field: "snapshot/monday.52:54:00:00:00:01.filterref.parameters.IP"',
        "object: port/vnet7, field: rules",
        'object: "filter/*", field: file',
    ],
)
def test_a_rule_that_can_match_is_none(rule: str) -> None:
    files = {"site.yaml": SITE + f"ignore:\n  - {{{rule}, reason: why}}\n".encode(), **files_of(GUESTS)}
    assert examine(files)[1] == ()


def files_of(guests: dict[str, bytes]) -> dict[str, bytes]:
    filters = {path: content for path, content in read_folder(EXAMPLE).items() if path.startswith("filters/")}
    return filters | {f"guests/{name}.yaml": content for name, content in guests.items()}


def host_of(desired: Desired) -> MemoryHost:
    host = host_as_wanted(desired)
    run(make_plan(desired, host.inspect(), HOST), host, None)
    assert not any(each.counts for each in diff(desired, host.inspect(), HOST))
    return host


def run(plan: Plan, host: MemoryHost, var: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder, Journal(var or Path(folder), plan) as journal:
        ended = execute(plan, host, journal, lambda _event, _step: None, lambda: None)
    assert ended.ok, ended.error
