"""Random changes of random sites, on hosts in memory that are as the first site wants them, but for oddities."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sites import SITE, domain_xml, guest_yaml, site

from reconciler import app
from reconciler.app import Survey
from reconciler.host.memory import MemoryHost
from reconciler.model.disruption import Disruption
from reconciler.model.filter import NwFilter
from reconciler.model.guest import Power
from reconciler.model.live import MANAGED_SAVE, SavedState
from reconciler.model.outcome import Execution
from reconciler.model.plan import Plan
from reconciler.model.site import Desired
from reconciler.nwfilter.parse import parse_filter
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


def cases(count: int, seed: int) -> Iterator[tuple[int, Case, random.Random]]:
    rng = random.Random(seed)
    for number in range(count):
        case = random_case(rng)
        yield number, replace_filters(rng, case), rng


def replace_filters(rng: random.Random, case: Case) -> Case:
    return replace(case, after=changed_filters(rng, case.after)) if rng.random() < 0.4 else case
