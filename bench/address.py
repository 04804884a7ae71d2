"""One running guest's address: our `apply` beside libvirt's own calls, and beside guests it does not concern.

g1 has its addresses in a guard and is changed by us; g2 has its own in its filterref and is changed by update-device;
g3's guard is defined anew by the shortest program that can. All have IPv4 and IPv6, and the IPv4 address changes.
Meanwhile forged frames are sent from the ports of g1 and g2.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

from bench.applies import OWN, REBUILDS, WRITES, applied, beyond_calls, unplanned, with_rebuilds
from bench.hosts import Host, host
from bench.measure import Sample, Way, interleaved, process, ratio, took
from bench.results import Options, Row, Table, Target, table
from bench.sites import guest_yaml, mac
from reconciler.domain.rewrite import interface_xml, set_filterref
from reconciler.model.filter import FilterRef
from reconciler.model.guest import guard_name

RUNNING, UNCONCERNED, ROUNDS = 10, 300, 5
OURS, UPDATE, FLOOR = "reconciler apply", "update-device", "bare Python, guard defined anew"
KIT = "bare Python with PyYAML and deepdiff, guard defined anew"
BARE = """
import json, sys, time
import libvirt
from lxml import etree
{imports}
uri, name, address, place = sys.argv[1:]
connection = libvirt.open(uri)
guard = etree.fromstring(connection.nwfilterLookupByName(name).XMLDesc(0))
guard.find("filterref/parameter[@name='IP']").set("value", address)
began = time.monotonic()
connection.nwfilterDefineXML(etree.tostring(guard, encoding="unicode"))
with open(place, "w") as file:
    json.dump(time.monotonic() - began, file)
"""
SHORTEST = BARE.replace("{imports}", "")
WITH_KIT = BARE.replace("{imports}", "import yaml, deepdiff")
OTHERS = ("g2", "g3")
IPV6 = "2001:db8::"
FORGED = "10.0.0.250"
MOST_OF_CALLS = MOST_OF_FEW = 1.05
TESTS = Path(__file__).parent.parent / "tests"


def measure(options: Options) -> Row:
    running, rounds = max(3, min(RUNNING, *options.guests, RUNNING)), options.rounds or ROUNDS
    with host(running, running) as made:
        beside, samples, notes = beside_update_device(made, running, rounds)
        grown, growth = beside_others(
            made, running, min(UNCONCERNED, *(10 * each for each in options.guests or (30,))), rounds
        )
    ours = samples[OURS]
    what = f"one address, {running} running guests"
    targets = (
        Target(f"{what}, whole process to libvirt's own calls", beyond(ours), MOST_OF_CALLS),
        Target(f"{what}, rebuilds other than planned", unplanned(ours), 0, unit=""),
        *growth,
    )
    return Row("address", (beside, grown), targets, notes)


def beside_update_device(
    made: Host, running: int, rounds: int
) -> tuple[Table, dict[str, list[Sample]], tuple[str, ...]]:
    with_ipv6(made, 3, "10.0.0.3")
    process(made.ours("apply", "--yes"))
    for name in OTHERS:
        (made.site / f"guests/{name}.yaml").unlink()
    changes: dict[str, Way] = {OURS: changed_by_us(made, "g1"), UPDATE: updated(made, count(100))}
    numbers = count(100)
    floors: dict[str, Way] = {
        FLOOR: redefined(made, SHORTEST, numbers),
        KIT: redefined(made, WITH_KIT, numbers),
    }
    samples = interleaved({**changes, **floors}, rounds)
    notes = (
        *(f"{floor}: the whole process takes {beyond(samples[floor]):.2f} × libvirt's own call." for floor in floors),
        *(forged(made, number, name, change) for number, (name, change) in enumerate(changes.items(), 1)),
    )
    return table(f"One guest's address, {running} running guests", samples, rounds), samples, notes


def beyond(samples: list[Sample]) -> float:
    return statistics.median(beyond_calls(samples))


def changed_by_us(made: Host, name: str) -> Way:
    numbers = count(100)

    def change() -> Sample:
        with_ipv6(made, int(name[1:]), f"10.0.200.{next(numbers)}")
        return applied(made)

    return change


def with_ipv6(made: Host, number: int, own: str) -> None:
    text = guest_yaml(number, own).replace("ipv6: none", f'ipv6: ["{IPV6}{number}"]')
    (made.site / f"guests/g{number}.yaml").write_text(text)


def redefined(made: Host, program: str, numbers: Iterator[int]) -> Way:
    """What nobody can do in less: libvirt's one call, in a program that reads what it changes and checks nothing."""
    place, guard = made.folder / "call.json", guard_name("g3", mac(3))

    def change() -> Sample:
        argv = [sys.executable, "-c", program, made.lab.uri, guard, f"10.0.202.{next(numbers)}", str(place)]
        sample = with_rebuilds(made, lambda: process(argv))
        return replace(sample, facts={**sample.facts, OWN: round(json.loads(place.read_text()), 3)})

    return change


def updated(made: Host, numbers: Iterator[int]) -> Way:
    def change() -> Sample:
        ipv6 = (("IPV6", f"{IPV6}2"), ("IPV6MASK", "128"), ("IPV6", "fe80::5054:ff:fe00:2"), ("IPV6MASK", "128"))
        reference = FilterRef("guest-dual-stack", (("IP", f"10.0.201.{next(numbers)}"), ("IPMASK", "32"), *ipv6))
        device = interface_xml(set_filterref(made.virsh("dumpxml", "g2"), mac(2), reference), mac(2))

        def update() -> None:
            made.virsh("update-device", "g2", "/dev/stdin", "--live", stdin=device)

        return with_rebuilds(made, lambda: took(update))

    return change


def forged(made: Host, number: int, name: str, change: Way) -> str:
    """What came out of the guest's port with an address that it has neither before nor afterwards."""
    if str(TESTS / "lab") not in sys.path:
        sys.path[:0] = [str(TESTS), str(TESTS / "lab")]
    from frames import stream, udp_frame

    frames = {"forged": udp_frame(mac(number), FORGED)}
    with stream(made.lab, made.port(f"g{number}"), frames, made.folder) as counted:
        change()
    return f"{name}: {counted.arrived('forged')} of {counted.sent('forged')} forged frames came through meanwhile."


def beside_others(made: Host, running: int, others: int, rounds: int) -> tuple[Table, tuple[Target, ...]]:
    """The same change on two hosts, of which one has more guests that are defined."""
    for name in OTHERS:
        (made.site / f"guests/{name}.yaml").write_text(guest_yaml(int(name[1:]), f"10.0.0.{name[1:]}"))
    process(made.ours("apply", "--yes"))
    with host(running + others, running) as bigger:
        few, many = f"{OURS}, {running} guests", f"{OURS}, {others} more"
        samples = interleaved({few: changed_by_us(made, "g1"), many: changed_by_us(bigger, "g1")}, rounds)
    what = f"the same change beside {others} more guests, to that without"
    longer = Target(what, ratio(samples[many], samples[few]), MOST_OF_FEW)
    more = (
        Target(
            f"{fact} of the same change beside {others} more guests, beyond those without",
            max(one.facts[fact] for one in samples[many]) - max(one.facts[fact] for one in samples[few]),
            0,
            unit="",
        )
        for fact in (WRITES, REBUILDS)
    )
    title = "The same change beside guests that it does not concern"
    return table(title, samples, rounds, compared="the first is … of it"), (longer, *more)
