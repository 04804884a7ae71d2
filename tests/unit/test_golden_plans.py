"""Plans as a person reads them: tests/golden/plans/<case>/{desired,live,host.yaml} gives plan.txt and revert.txt.

`live` is the site that was applied before (none: never any), `host.yaml` what happened on the host besides; see
`_Story`. Both sites get the example's shared filters, and the tests' site.yaml where they bring none of their own.
revert.txt is what happens when the last step of the plan fails.

Each plan is also run to its end, and watched at every change of the host: no port of a running guest is open
without rules (P3), no address is in the rules of two ports (P4), and afterwards nothing is left but what waits (P1).

After a wanted change: `RECONCILER_REGENERATE=1 pytest tests/unit/test_golden_plans.py` writes the files anew. Review
their diff by eye, as somebody who is about to approve it.
"""

from __future__ import annotations

import copy
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from sites import EXAMPLE, SITE, domain_xml

from reconciler.domain.rewrite import set_filterref
from reconciler.errors import HostError
from reconciler.execute.executor import execute
from reconciler.execute.journal import Journal
from reconciler.host.memory import MemoryHost
from reconciler.load import load
from reconciler.model.disruption import Disruption
from reconciler.model.filter import FilterRef
from reconciler.model.guest import Guest, Interface
from reconciler.model.live import MANAGED_SAVE, SavedState
from reconciler.model.outcome import Execution
from reconciler.model.plan import Plan, Step
from reconciler.model.site import Desired
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.guard import temporary_uuid
from reconciler.plan.build import make_plan
from reconciler.plan.simulated import renamed
from reconciler.report.text import show_plan
from reconciler.source.folder import read_folder

CASES = Path(__file__).parents[1] / "golden" / "plans"
HOST = "kvm01"


@dataclass(frozen=True, slots=True)
class _Story:
    """host.yaml. Guests of both sites are defined and running unless it says otherwise; ports are named by guest."""

    stopped: list[str] = field(default_factory=list)
    undefined: list[str] = field(default_factory=list)
    macs: dict[str, str] = field(default_factory=dict)
    """The MAC that a guest has on the host, where it is not that of the site."""
    filters: list[str] = field(default_factory=list)
    """XML of filters that were there before."""
    unmanaged: dict[str, dict[str, str]] = field(default_factory=dict)
    """Running guests that no site names: `{mac: …, filter: …}`."""
    gone: list[str] = field(default_factory=list)
    """Guests that were undefined after the last run."""
    saved: list[str] = field(default_factory=list)
    """Guests with a managed-save image of what is stored."""
    snapshots: list[str] = field(default_factory=list)
    foreign: list[list[str]] = field(default_factory=list)
    """Rules that somebody put first in a hook: its name and the rule."""
    left_behind: list[str] = field(default_factory=list)
    """Ports that are gone, and whose rules are still there."""
    replace: dict[str, list[str]] = field(default_factory=dict)
    """Filters in which somebody replaced a text by another."""
    unfiltered: list[str] = field(default_factory=list)
    """Running guests from whose interface somebody took the filter."""
    flushed: list[str] = field(default_factory=list)
    gated: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Filters that libvirt has no more, though a port uses them."""
    copies: list[str] = field(default_factory=list)
    """Filters of which a roll-out that was cut off has left its copy."""
    busy: list[str] = field(default_factory=list)
    """Guests that are migrated or saved just now."""
    owed: list[str] = field(default_factory=list)
    """Guests that an interrupted run shut down."""
    now: datetime | None = None
    """When the plan is made, with its offset from UTC; left out, no window counts."""
    allow: str | None = None

    def plan(self, desired: Desired, host: MemoryHost) -> Plan:
        allow = Disruption.parse(self.allow) if self.allow else None
        owed = [name for name in self.owed if not host.domains[name].active]
        return make_plan(desired, host.inspect(), HOST, allow, now=self.now, owed=owed)


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_plan_and_its_revert_read_as_written(case: str, tmp_path: Path) -> None:
    folder = CASES / case
    desired = _site(folder / "desired")
    story = _story(folder / "host.yaml")
    host = _host(folder, story, desired, tmp_path)
    plan = story.plan(desired, host)
    _compare(folder / "plan.txt", _shown(plan))
    _compare(folder / "revert.txt", _reverted(plan, copy.deepcopy(host), tmp_path))
    _run_to_the_end(plan, lambda: story.plan(desired, host), host, tmp_path)


def _compare(path: Path, text: str) -> None:
    if os.environ.get("RECONCILER_REGENERATE"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def _site(folder: Path) -> Desired:
    shared = {path: content for path, content in read_folder(EXAMPLE).items() if path.startswith("filters/")}
    paths = (path for path in folder.rglob("*") if path.is_file())
    own = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return load({"site.yaml": SITE, **shared, **own}, "a commit")


def _story(file: Path) -> _Story:
    return _Story(**yaml.safe_load(file.read_text(encoding="utf-8"))) if file.exists() else _Story()


def _host(folder: Path, story: _Story, desired: Desired, var: Path) -> MemoryHost:
    live = _site(folder / "live") if (folder / "live").exists() else None
    host = MemoryHost()
    for xml in story.filters:
        host.define_filter(xml)
    guests = {guest.name: guest for site in (desired, live) if site for guest in site.guests}
    for guest in guests.values():
        if guest.name not in story.undefined:
            host.define_domain(domain_xml(_with_mac(guest, story.macs.get(guest.name))))
    if live:
        ended = _apply(make_plan(live, host.inspect(), HOST), host, var)
        assert ended.ok, ended.error
    for name in sorted(guests.keys() - set(story.stopped) - set(story.undefined)):
        host.start_domain(name)
    _tell(story, host)
    host.writes.clear()
    return host


def _with_mac(guest: Guest, mac: str | None) -> Guest:
    return replace(guest, interfaces=(replace(guest.interfaces[0], mac=mac),)) if mac else guest


def _tell(story: _Story, host: MemoryHost) -> None:
    """What happened on the host since the last run."""
    for name, interface in story.unmanaged.items():
        mac, filter = interface["mac"], interface["filter"]
        xml = domain_xml(Guest(name, (Interface(mac, filter),)))
        host.define_domain(set_filterref(xml, mac, FilterRef(filter)))
        host.start_domain(name)
    for name in story.gone:
        for nic in host.domains.pop(name).live:
            host.bindings.pop(str(nic.port))
            host.installed.pop(str(nic.port))
    for name in story.saved:
        domain = host.domains[name]
        image = SavedState(MANAGED_SAVE, domain.persistent, domain.persistent_xml)
        host.domains[name] = replace(domain, saved=(image,))
    for name in story.snapshots:
        domain = host.domains[name]
        host.domains[name] = replace(domain, saved=(SavedState("snapshot/monday", domain.persistent),))
    host.foreign.update(tuple(rule) for rule in story.foreign)
    for port in story.left_behind:
        host.installed[port] = replace(host.installed[next(iter(host.installed))], port=port)
    for name, (before, after) in story.replace.items():
        host.define_filter(host.filters[name].xml.replace(before, after))
    for name in story.unfiltered:
        host.set_live_filterref(name, host.domains[name].live[0].mac, None)
    for name in story.flushed:
        del host.installed[_port(host, name)]
    host.closed.update(_port(host, name) for name in story.gated)
    for name in story.copies:
        _leave_copy(host, name)
    for name in story.lost:
        del host.filters[name]
    for name in story.busy:
        host.domains[name] = replace(host.domains[name], busy=True)
    for name in story.owed:
        host.destroy_domain(name)


def _leave_copy(host: MemoryHost, name: str) -> None:
    copy = renamed(host.filters[name].definition, f"{name}.next-0123abcd", {})
    host.define_filter(format_filter(copy, temporary_uuid(copy.name)))


def _port(host: MemoryHost, name: str) -> str:
    return str(host.domains[name].live[0].port) if name in host.domains else name


def _shown(plan: Plan) -> str:
    """As a terminal shows it; the digest changes with every comma of the filters and says nothing here."""
    text = io.StringIO()
    show_plan(Console(file=text, width=120, highlight=False, soft_wrap=True, no_color=True), plan)
    return re.sub(r"digest [0-9a-f]+", "digest …", text.getvalue()) or "nothing to do\n"


def _reverted(plan: Plan, host: MemoryHost, var: Path) -> str:
    if not plan.steps:
        return "nothing to revert\n"
    before = host.inspect()
    last = plan.steps[-1]

    def fail(call: str, target: str) -> None:
        if call != "close_gate":
            host.fault = None
            raise HostError(f"{call} of {target} fails")

    def notify(event: str, step: Step) -> None:
        if event == "start" and step is last:
            host.fault = fail

    with Journal(var, plan) as journal:
        ended = execute(plan, host, journal, notify, lambda: None)
    assert ended.failed is last
    assert ended.unreverted == ()
    after = host.inspect()
    assert [f.definition for f in after.filters] == [f.definition for f in before.filters]
    assert [(d.persistent, d.live) for d in after.domains if d.name not in _started(plan)] == [
        (d.persistent, d.live) for d in before.domains if d.name not in _started(plan)
    ]
    return "".join(f"{line}\n" for line in _lines_of_revert(plan, ended, host))


def _started(plan: Plan) -> set[str]:
    return {step.action.target.removeprefix("guest/") for step in plan.steps if step.action.kind == "start-guest"}


def _lines_of_revert(plan: Plan, ended: Execution, host: MemoryHost) -> Iterator[str]:
    yield f"fails: {plan.steps[-1].action.describe()}"
    for step in ended.reverted:
        yield f"takes back: {step.revert}"
    for step in plan.steps[:-1]:
        if step not in ended.reverted:
            yield f"stays done: {step.action.describe()}"
    for port in sorted(host.closed):
        yield f"stays closed: port {port}"


def _apply(plan: Plan, host: MemoryHost, var: Path) -> Execution:
    with Journal(var, plan) as journal:
        return execute(plan, host, journal, lambda _event, _step: None, lambda: None)


def _run_to_the_end(plan: Plan, plan_again: Callable[[], Plan], host: MemoryHost, var: Path) -> None:
    """P1, P3 and P4 hold for what the host did not have wrong before."""
    open_before = set(_open_ports(host))
    seen: list[str] = []

    def watch(now: MemoryHost) -> None:
        seen.extend(f"{port} is open" for port in set(_open_ports(now)) - open_before)
        seen.extend(_owned_twice(now))

    host.on_change = watch
    ended = _apply(plan, host, var)
    assert ended.ok, ended.error
    assert seen == []
    again = plan_again()
    assert again.steps == ()
    assert again.waiting == plan.waiting


def _open_ports(host: MemoryHost) -> Iterator[str]:
    for domain in host.domains.values():
        for nic in domain.live:
            if nic.port and nic.port not in host.installed and nic.port not in host.closed:
                yield nic.port


def _owned_twice(host: MemoryHost) -> Iterator[str]:
    """A closed port owns nothing: no frame leaves it."""
    owners: dict[str, str] = {}
    for port, expected in sorted((port, rules) for port, rules in host.installed.items() if port not in host.closed):
        rules = [rule for chain in expected.ethernet.chains for rule in chain.rules if rule.target == "ACCEPT"]
        values = {
            c.value
            for rule in rules
            for c in rule.conditions
            if c.option in ("ip-src", "ip-source", "ip6-src", "ip6-source")
        }
        networks = [
            ip_network(value) for value in sorted(values) if value not in ("0.0.0.0", "0.0.0.0/32", "::", "::/128")
        ]
        for network in networks:
            if not network.is_link_local and owners.setdefault(str(network), port) != port:
                yield f"{network} is owned by {owners[str(network)]} and {port}"
