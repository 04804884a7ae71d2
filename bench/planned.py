"""The plan of a site's change on a host in memory: what comparing and planning take, without any libvirt.

    python -m bench.planned SITE CHANGED

So many guests of the site get another address; they run, all others are defined. Prints JSON: seconds of each phase.
Garbage is looked for as seldom as in a verb's own process.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bench.hosts import NAME, REFERENCE
from bench.sites import big_guest
from reconciler.cli import OBJECTS_BETWEEN_COLLECTIONS
from reconciler.diff import diff
from reconciler.domain.parse import parse_nics
from reconciler.host.memory import MemoryHost
from reconciler.host.memory_parts import filter_of
from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.load import load
from reconciler.model.live import Domain
from reconciler.model.site import Desired
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.guard import mark_uuid
from reconciler.nwfilter.wanted import wanted_filters
from reconciler.plan.build import make_plan
from reconciler.source.folder import read_folder

T = TypeVar("T")
UUID = "00000000-0000-4000-8000-{number:012x}"


def converged(desired: Desired, running: int) -> MemoryHost:
    """A host as the site says, the first guests running."""
    definitions = wanted_filters(desired, NAME)
    filters = {each.name: filter_of(format_filter(each, mark_uuid(each.name))) for each in definitions}
    domains = {guest.name: defined(guest.name, number, desired) for number, guest in enumerate(desired.guests)}
    host = MemoryHost(filters=filters, domains=domains)
    for number in range(running):
        host.start_domain(f"g{number}")
    return host


def defined(name: str, number: int, desired: Desired) -> Domain:
    own = desired.guests[number].interfaces[0].mac
    guard = f"guard-{name}-{own.replace(':', '')[-6:]}"
    xml = tiny_domain_xml(name, [NicSpec(own, filterref_xml=REFERENCE.format(guard=guard))])
    return Domain(name, UUID.format(number=number), False, persistent=parse_nics(xml), persistent_xml=xml)


def changed_site(files: dict[str, bytes], changed: int) -> dict[str, bytes]:
    texts = {number: big_guest(number).replace(" 10.2.", " 10.9.") for number in range(changed)}
    return {**files, **{f"guests/g{number}.yaml": text.encode() for number, text in texts.items()}}


def main(site: Path, changed: int) -> None:
    files = dict(read_folder(site))
    host = converged(load(files, "before"), changed)
    desired = load(changed_site(files, changed), "after")
    live = host.inspect(())
    seconds: dict[str, float] = {}

    def phase(name: str, function: Callable[[], T]) -> T:
        started = time.monotonic()
        result = function()
        seconds[name] = time.monotonic() - started
        return result

    drift = phase("compared", lambda: diff(desired, live, NAME))
    plan = phase("planned", lambda: make_plan(desired, live, NAME))
    steps, rebuilds = len(plan.steps), plan.rebuilds
    print(json.dumps({**seconds, "drift": len(drift), "steps": steps, "rebuilds": rebuilds}))


if __name__ == "__main__":
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    main(Path(sys.argv[1]), int(sys.argv[2]))
