"""Any change of any site, on the in-memory host: it converges, and no promise is broken at any instant (P1, P3-P6).

Every write of the host is an instant: what each port may send is read from the rules that are installed then. A run is
also cut off at each of its writes; the next one finishes it.
"""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from sites import SITE, domain_xml, guest_yaml, site
from sizes import examples

from reconciler import app
from reconciler.app import Survey
from reconciler.errors import HostError
from reconciler.host.memory import MemoryHost
from reconciler.model.actions import CloseGate
from reconciler.model.disruption import Disruption
from reconciler.model.filter import NwFilter
from reconciler.model.guest import Power
from reconciler.model.live import MANAGED_SAVE, SavedState
from reconciler.model.outcome import Execution
from reconciler.model.plan import Plan, Waiting
from reconciler.model.site import Desired
from reconciler.nwfilter.parse import parse_filter
from reconciler.plan.build import make_plan
from reconciler.settings import Settings
from reconciler.stories.rounds import Wanted, apply_in_rounds

HOST = "kvm01"
ADDRESSES = ("10.0.0.10", "10.0.0.20", "10.0.0.30", "10.0.0.40", "10.0.0.64/28", "10.0.0.128/30")
ADDRESSES6 = ("2001:db8::10", "2001:db8::20", "2001:db8:0:1::/64", "2001:db8::40")
POLICIES = (
    "", "policy: {disruption: guest-restart}", "policy: {disruption: guest-restart, max_down: 2}",
    "policy: {disruption: guest-restart, rollout: canary}", "policy: {disruption: daemon-restart, strategy: restart}",
    "policy: {disruption: guest-restart, prune: true, shutdown: {timeout: 5, on_timeout: destroy}}",
)  # fmt: skip


class Crash(BaseException):
    """The reconciler is gone; nothing of it runs any more."""


@dataclass
class Case:
    """Two sites, and what is odd about the host before the second one is applied."""

    before: Desired
    after: Desired
    stopped: tuple[str, ...] = ()
    saved: tuple[str, ...] = ()
    deaf: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()


def random_case(rng: random.Random) -> Case:
    names = [f"g{number}" for number in range(1, rng.randrange(3, 8))]
    before, after = (random_site(rng, names) for _ in range(2))
    if rng.random() < 0.4:
        after = permuted(rng, before)
    stopped = tuple(name for name in names if rng.random() < 0.15)
    saved = tuple(name for name in stopped if rng.random() < 0.5)
    deaf = tuple(name for name in names if rng.random() < 0.1)
    damage = tuple(kind for kind in ("unfiltered", "flushed", "binding", "foreign") if rng.random() < 0.1)
    return Case(*(load(text, guests) for text, guests in (before, after)), stopped, saved, deaf, damage)


Draft = tuple[str, dict[str, dict[str, str]]]
VARIABLES = ("", "", "", "", "PEER", "OTHER")
"""What a shared filter asks of every guest with IPv4 besides its addresses."""


def random_site(rng: random.Random, names: list[str]) -> Draft:
    """A policy, and each guest's fields; addresses have one owner at most."""
    free, free6 = list(ADDRESSES), list(ADDRESSES6)
    rng.shuffle(free)
    rng.shuffle(free6)
    guests, variable = {}, rng.choice(VARIABLES)
    for number, name in enumerate(names, 1):
        own = [free.pop() for _ in range(rng.choice((0, 1, 1, 2))) if free]
        own6 = [free6.pop() for _ in range(rng.choice((0, 0, 1))) if free6]
        guests[name] = {
            "number": str(number + (0x40 if rng.random() < 0.1 else 0)),
            "ipv4": f"[{', '.join(own)}]" if own else "none",
            "ipv6": "[" + ", ".join(f'"{each}"' for each in own6) + "]" if own6 else "none",
            "attach": rng.choice(("guard", "guard", "direct")),
            "more": rng.choice(("", "", "", "power: running", "power: stopped", "group: db", "hold: true")),
            "variable": variable,
        }
    return rng.choice(POLICIES), guests


def permuted(rng: random.Random, draft: Draft) -> Draft:
    """Guests that exchange what they have: swaps and longer circles."""
    text, guests = draft
    names = list(guests)
    others = names[:]
    rng.shuffle(others)
    fields = ("ipv4", "ipv6") if rng.random() < 0.7 else ("ipv4",)
    return text, {n: {**guests[n], **{f: guests[o][f] for f in fields}} for n, o in zip(names, others, strict=True)}


def load(text: str, guests: dict[str, dict[str, str]]) -> Desired:
    files = {
        name: guest_yaml(name, int(f["number"]), f["ipv4"], f["ipv6"], f["attach"], f["more"]) + _variable(f)
        for name, f in guests.items()
    }
    desired = site(files, SITE + text.encode() + b"\n")
    variables = {f["variable"] for f in guests.values()}
    return replace(desired, filters=tuple(_asking(f, variables) for f in desired.filters))


def _variable(fields: dict[str, str]) -> bytes:
    wanted = fields["variable"] if fields["ipv4"] != "none" else ""
    return f"    parameters: {{{wanted}: [192.0.2.7]}}\n".encode() if wanted else b""


def _asking(definition: NwFilter, variables: set[str]) -> NwFilter:
    """The filter of IPv4 sources with one more rule, that needs a variable."""
    if definition.name != "guest-ipv4-source":
        return definition
    rules = "".join(
        f"<rule action='drop' direction='out' priority='150'><ip dstipaddr='${name}'/></rule>"
        for name in sorted(variables - {""})
    )
    more = parse_filter(f"<filter name='more' chain='ipv4'>{rules}</filter>".encode(), "more.xml").entries
    return replace(definition, entries=(*definition.entries, *more))


def changed_filters(rng: random.Random, desired: Desired) -> Desired:
    """Some shared filters with one more rule that no frame here meets."""
    chosen = {f.name for f in desired.filters if rng.random() < 0.2}
    filters = tuple(
        replace(f, entries=(*f.entries, replace(next(e for e in f.entries if hasattr(e, "action")), priority=999)))
        if f.name in chosen and any(hasattr(e, "action") for e in f.entries)
        else f
        for f in desired.filters
    )
    return replace(desired, filters=filters)


def host_of(case: Case, var: Path, rng: random.Random) -> MemoryHost:
    """As the first site wants it, then the oddities."""
    host = MemoryHost()
    for guest in case.before.guests:
        host.define_domain(domain_xml(guest))
        host.start_domain(guest.name)
    first = replace(case.before, policy=replace(case.before.policy, disruption=Disruption.GUEST_RESTART))
    first = replace(first, guests=tuple(replace(g, power=Power.LEAVE, hold=False) for g in first.guests))
    assert apply(host, first, var / "first").ok
    for name in case.stopped:
        host.destroy_domain(name)
    for name in case.saved:
        domain = host.domains[name]
        host.domains[name] = replace(
            domain, saved=(SavedState(MANAGED_SAVE, domain.persistent, domain.persistent_xml),)
        )
    host.deaf.update(case.deaf)
    for kind in case.damage:
        damage(host, kind, rng)
    host.writes.clear()
    return host


def damage(host: MemoryHost, kind: str, rng: random.Random) -> None:
    running = [d for d in host.domains.values() if d.active and d.live]
    if not running:
        return
    domain = rng.choice(running)
    port = str(domain.live[0].port)
    if kind == "unfiltered":
        host.set_live_filterref(domain.name, domain.live[0].mac, None)
    elif kind == "flushed":
        host.installed.pop(port, None)
    elif kind == "binding":
        host.bindings.pop(port, None)
        host.installed.pop(port, None)
    else:
        host.foreign.add(("PREROUTING", "-A PREROUTING -j ACCEPT"))


def look(host: MemoryHost, desired: Desired, var: Path) -> Survey:
    return app.survey(desired, host, HOST, app.remembered(settings_of(var)))


def plan_of(host: MemoryHost, desired: Desired, var: Path) -> Plan:
    return app.plan_of(look(host, desired, var))


def settings_of(var: Path) -> Settings:
    return Settings(uri="memory", var=var)


def apply(host: MemoryHost, desired: Desired, var: Path) -> Execution:
    """As the command does, from its first look at the host on."""
    seen = look(host, desired, var)
    _, execution, _ = apply_in_rounds(settings_of(var), host, seen, app.plan_of(seen), Wanted())
    return execution or Execution("")


@dataclass
class Watch:
    """Looks at the host at every write, and remembers what was wrong."""

    allowed: dict[str, frozenset[str]]
    open_before: frozenset[str]
    most_down: int
    groups: dict[str, str]
    wrong: list[str] = field(default_factory=list)
    was_running: frozenset[str] = frozenset()

    def __call__(self, host: MemoryHost) -> None:
        owners: dict[str, str] = {}
        for guest, port, networks in sources(host):
            if port in host.closed:
                continue
            for network in networks:
                other = next((g for n, g in owners.items() if g != guest and _overlap(n, network)), None)
                if other:
                    self.wrong.append(f"P4: {network} is of {guest} and of {other}")
                owners[network] = guest
            extra = {n for n in networks if not any(_inside(n, one) for one in self.allowed.get(guest, ()))}
            if extra:
                self.wrong.append(f"P3: {guest} may use {extra}")
        for port in unfiltered(host) - self.open_before:
            self.wrong.append(f"P3: port {port} is open without rules")
        down = {name for name in self.was_running if not host.domains[name].active}
        if len(down) > self.most_down:
            self.wrong.append(f"max_down: {sorted(down)} are down at once")
        groups = [self.groups[name] for name in down if self.groups.get(name)]
        if len(groups) != len(set(groups)):
            self.wrong.append(f"group: {sorted(down)} are down at once")


def sources(host: MemoryHost) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Guest, port and the source networks that its rules accept."""
    for domain in host.domains.values():
        for nic in domain.live:
            expected = host.installed.get(str(nic.port))
            rules = [r for c in expected.ethernet.chains for r in c.rules if r.target == "ACCEPT"] if expected else []
            found = {
                c.value for r in rules for c in r.conditions if c.option in ("ip-src", "ip6-src") and not c.negated
            }
            own = {n for n in found if not _is_special(n)}
            yield domain.name, str(nic.port), frozenset(own)


def _is_special(text: str) -> bool:
    network = ip_network(text)
    return network.is_link_local or network.prefixlen == 0 or network.is_unspecified or text in ("0.0.0.0/32", "::/128")


def _overlap(one: str, other: str) -> bool:
    first, second = ip_network(one), ip_network(other)
    return first.version == second.version and first.overlaps(second)


def _inside(one: str, other: str) -> bool:
    first, second = ip_network(one), ip_network(other)
    return first.version == second.version and first.subnet_of(second)  # type: ignore[arg-type]


def unfiltered(host: MemoryHost) -> frozenset[str]:
    ports = (str(nic.port) for domain in host.domains.values() for nic in domain.live)
    return frozenset(port for port in ports if port not in host.installed and port not in host.closed)


def watching(host: MemoryHost, case: Case) -> Watch:
    allowed: dict[str, set[str]] = {}
    for guest, _, networks in sources(host):
        allowed.setdefault(guest, set()).update(networks)
    for desired in (case.before, case.after):
        for guest in desired.guests:
            networks = {str(n) for i in guest.interfaces for n in (*i.ipv4, *i.ipv6)}
            allowed.setdefault(guest.name, set()).update(networks)
    stopped = {guest.name for guest in case.after.guests if guest.power is Power.STOPPED}
    running = frozenset(d.name for d in host.domains.values() if d.active) - stopped
    groups = {guest.name: guest.group for guest in case.after.guests if guest.group}
    watch = Watch(
        {guest: frozenset(networks) for guest, networks in allowed.items()},
        unfiltered(host), case.after.policy.max_down, groups, was_running=running,
    )  # fmt: skip
    host.on_change = watch
    return watch


def canonical(host: MemoryHost) -> object:
    """All that a revert must bring back."""
    filters = {name: held.definition for name, held in host.filters.items()}
    domains = {
        d.name: (d.active, d.autostart, _nics(d.persistent), _nics(d.live), [_nics(s.nics) for s in d.saved])
        for d in host.domains.values()
    }
    rules = {_owner(host, port): expected.ethernet for port, expected in host.installed.items()}
    return filters, domains, {key: _chains(value) for key, value in rules.items()}, set(host.closed)


def _nics(nics: tuple[object, ...]) -> list[object]:
    return [replace(nic, port=None) for nic in nics]  # type: ignore[type-var]


def _owner(host: MemoryHost, port: str) -> str:
    return next((d.name for d in host.domains.values() for nic in d.live if nic.port == port), port)


def _chains(ruleset: object) -> list[int]:
    return sorted(len(chain.rules) for chain in ruleset.chains)  # type: ignore[attr-defined]


def cases(count: int, seed: int) -> Iterator[tuple[int, Case, random.Random]]:
    rng = random.Random(seed)
    for number in range(count):
        case = random_case(rng)
        yield number, replace_filters(rng, case), rng


def replace_filters(rng: random.Random, case: Case) -> Case:
    return replace(case, after=changed_filters(rng, case.after)) if rng.random() < 0.4 else case


def settled(host: MemoryHost, case: Case, waiting: tuple[Waiting, ...]) -> None:
    """What holds after a run that ended well."""
    waits = {each.what for each in waiting}
    for guest in case.after.guests:
        if guest.power is Power.RUNNING and not any(what.startswith(f"start guest {guest.name}") for what in waits):
            assert host.domains[guest.name].active, f"{guest.name} is down"
    temporary = [name for name, held in host.filters.items() if held.temporary]
    assert not temporary, temporary
    assert not host.staged


def test_any_change_converges_and_no_promise_is_broken_on_the_way(tmp_path: Path) -> None:
    changed = 0
    for number, case, rng in cases(examples(20, 10_000), 20261125):
        var = tmp_path / str(number)
        host = host_of(case, var, rng)
        before = canonical(host)
        watch = watching(host, case)
        ended = apply(host, case.after, var)
        host.on_change = None
        assert watch.wrong == [], f"case {number}: {watch.wrong[:3]}"
        if not ended.ok:
            assert set(case.deaf), f"case {number}: {ended.error}"
            # A port whose rules were broken before is not opened again.
            kept = [each for each in ended.unreverted if not (case.damage and isinstance(each[0].action, CloseGate))]
            assert kept == [], f"case {number}: {kept}"
            assert case.damage or case.saved or canonical(host) == before, f"case {number}: the revert left something"
            continue
        changed += bool(ended.done)
        again = plan_of(host, case.after, var)
        assert again.steps == (), f"case {number}"
        settled(host, case, again.waiting)
    assert changed > examples(10, 6000)


def test_a_run_that_is_cut_off_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    cut = 0
    for number, case, rng in cases(examples(4, 1500), 20261126):
        ready = host_of(replace(case, deaf=()), tmp_path / f"{number}", rng)
        straight = copy.deepcopy(ready)
        if not apply(straight, case.after, tmp_path / f"{number}-straight").ok:
            continue
        for at in itertools.count(1):
            host, var = copy.deepcopy(ready), tmp_path / f"{number}-{at}"
            watch = watching(host, case)
            if not crashes(host, lambda: apply(host, case.after, var), at):  # noqa: B023
                break
            cut += 1
            ended = apply(host, case.after, var)
            assert ended.ok, f"case {number}, write {at}: {ended.error}"
            assert watch.wrong == [], f"case {number}, write {at}: {watch.wrong[:3]}"
            host.on_change = None
            again = plan_of(host, case.after, var)
            assert again.steps == ()
            assert running(host) == running(straight), f"case {number}, write {at}"
            assert {n: f.definition for n, f in host.filters.items()} == {
                n: f.definition for n, f in straight.filters.items()
            }, f"case {number}, write {at}"
            settled(host, case, again.waiting)
    assert cut > examples(15, 8_000)


def crashes(host: MemoryHost, run: Callable[[], object], at: int) -> bool:
    """Whether a run got as far as its n-th write; it dies there, before the write or just after it."""
    count = 0

    def fault(_call: str, _target: str) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise Crash

    host.fault = fault
    try:
        run()
    except Crash:
        return True
    finally:
        host.fault = None
    return False


def running(host: MemoryHost) -> set[str]:
    return {domain.name for domain in host.domains.values() if domain.active}


def test_a_failure_anywhere_is_taken_back(tmp_path: Path) -> None:
    failed = 0
    for number, case, rng in cases(examples(4, 1500), 20261127):
        # What a managed-save image held is gone once its guest has run: that is not taken back.
        ready = host_of(replace(case, deaf=(), damage=(), saved=()), tmp_path / f"{number}", rng)
        before = canonical(ready)
        for at in itertools.count(1):
            host, var = copy.deepcopy(ready), tmp_path / f"{number}-{at}"
            watch = watching(host, case)
            count = 0

            def fault(call: str, target: str) -> None:
                nonlocal count
                count += 1
                if count == at:  # noqa: B023
                    raise HostError(f"{call} of {target} fails")

            host.fault = fault
            ended = apply(host, case.after, var)
            host.fault = None
            assert watch.wrong == [], f"case {number}, write {at}: {watch.wrong[:3]}"
            host.on_change = None
            if ended.ok:
                break
            failed += 1
            assert ended.unreverted == (), f"case {number}, write {at}: {ended.unreverted}"
            assert canonical(host) == before, f"case {number}, write {at}: {ended.failed}"
    assert failed > examples(20, 8_000)


@pytest.mark.parametrize("size", range(2, 7))
def test_circles_of_any_size_are_resolved(size: int, tmp_path: Path) -> None:
    names = [f"g{number}" for number in range(size)]
    texts = [f"[10.0.0.{10 + number}]" for number in range(size)]
    for attach in ("guard", "direct"):
        before = site({n: guest_yaml(n, k + 1, texts[k], attach=attach) for k, n in enumerate(names)})
        after = site({n: guest_yaml(n, k + 1, texts[(k + 1) % size], attach=attach) for k, n in enumerate(names)})
        case = Case(before, after)
        host = host_of(case, tmp_path / f"{attach}", random.Random(1))
        watch = watching(host, case)
        ended = apply(host, after, tmp_path / f"{attach}-run")
        assert ended.ok, ended.error
        assert watch.wrong == []
        assert make_plan(after, host.inspect(), HOST).waiting == ()


def test_what_is_only_stored_closes_no_circle_that_a_cut_run_had_opened(tmp_path: Path) -> None:
    """g3 runs with its new addresses behind a gate; its definition still says what g5 is to get."""
    common = {"attach": "direct", "more": "", "variable": ""}
    given = {"number": "3", "ipv4": "[10.0.0.20]", "ipv6": '["2001:db8:0:1::/64"]', **common}
    taking = {"number": "5", "ipv4": "[10.0.0.10]", "ipv6": "none", **common}
    before = load("", {"g3": given, "g5": taking})
    later = {"ipv4": "[10.0.0.64/28]", "ipv6": "none", "variable": "PEER"}
    gets = {"attach": "guard", "ipv6": '["2001:db8:0:1::/64"]', "variable": "PEER"}
    case = Case(before, load("", {"g3": given | later, "g5": taking | gets}))
    ready = host_of(case, tmp_path / "before", random.Random(0))
    for at in itertools.count(1):
        host, var = copy.deepcopy(ready), tmp_path / str(at)
        watch = watching(host, case)
        if not crashes(host, lambda host=host, var=var: apply(host, case.after, var), at):
            break
        assert apply(host, case.after, var).ok
        assert watch.wrong == []
        host.on_change = None
        left = plan_of(host, case.after, var)
        assert (left.steps, left.waiting) == ((), ()), at
    assert at > 6


def test_a_guard_whose_own_change_waits_is_not_left_on_the_copies_of_a_cut_roll_out(tmp_path: Path) -> None:
    """g2 is to get an address that g1, which is held, has; meanwhile the filters of g2 and g3 change one by one."""
    common = {"ipv6": "none", "attach": "guard", "variable": "", "more": ""}
    guests = {f"g{n}": {"number": str(n), "ipv4": f"[10.0.0.{n}0]", **common} for n in (1, 2, 3)}
    guests["g1"] |= {"more": "hold: true", "attach": "direct"}
    policy = "policy: {rollout: canary}"
    exchanged = guests | {"g1": guests["g1"] | {"ipv4": "[10.0.0.40]"}, "g2": guests["g2"] | {"ipv4": "[10.0.0.10]"}}
    after = load(policy, exchanged)
    twice = (replace(f, entries=(*f.entries, f.entries[-1])) if f.name == "guest-arp" else f for f in after.filters)
    case = Case(load(policy, guests), replace(after, filters=tuple(twice)), stopped=("g1",))
    ready = host_of(case, tmp_path / "before", random.Random(0))
    straight = copy.deepcopy(ready)
    assert apply(straight, case.after, tmp_path / "straight").ok
    assert {each.target for each in plan_of(straight, case.after, tmp_path / "straight").waiting} >= {"guest/g1"}
    for at in itertools.count(1):
        host, var = copy.deepcopy(ready), tmp_path / str(at)
        if not crashes(host, lambda host=host, var=var: apply(host, case.after, var), at):
            break
        assert apply(host, case.after, var).ok
        assert {n: f.definition for n, f in host.filters.items()} == {
            n: f.definition for n, f in straight.filters.items()
        }, at
    assert at > 6
