"""One running guest's address: our `apply` beside libvirt's own update-device, and beside guests it does not concern.

g1 has its addresses in a guard and is changed by us; g2 has its own in its filterref and is changed by libvirt. Both
have IPv4 and IPv6, and the IPv4 address changes. Meanwhile forged frames are sent from the port.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from bench.applies import REBUILDS, WRITES, applied, beyond_calls, unplanned, with_rebuilds
from bench.hosts import Host, host
from bench.measure import Sample, Way, interleaved, process, ratio, took
from bench.results import Options, Row, Table, Target, table
from bench.sites import guest_yaml, mac
from reconciler.domain.rewrite import interface_xml, set_filterref
from reconciler.model.filter import FilterRef

RUNNING, UNCONCERNED, ROUNDS = 10, 300, 5
OURS, UPDATE = "reconciler apply", "update-device"
IPV6 = "2001:db8::"
FORGED = "10.0.0.250"
MOST_OF_CALLS = MOST_OF_FEW = 1.05
TESTS = Path(__file__).parent.parent / "tests"


def measure(options: Options) -> Row:
    running, rounds = max(2, min(RUNNING, *options.guests, RUNNING)), options.rounds or ROUNDS
    with host(running, running) as made:
        beside, samples, notes = beside_update_device(made, running, rounds)
        grown, growth = beside_others(
            made, running, min(UNCONCERNED, *(10 * each for each in options.guests or (30,))), rounds
        )
    ours = samples[OURS]
    what = f"one address, {running} running guests"
    targets = (
        Target(f"{what}, whole process to libvirt's own calls", statistics.median(beyond_calls(ours)), MOST_OF_CALLS),
        Target(f"{what}, rebuilds other than planned", unplanned(ours), 0, unit=""),
        *growth,
    )
    return Row("address", (beside, grown), targets, notes)


def beside_update_device(
    made: Host, running: int, rounds: int
) -> tuple[Table, dict[str, list[Sample]], tuple[str, ...]]:
    (made.site / "guests/g2.yaml").unlink()
    changes: dict[str, Way] = {OURS: changed_by_us(made, "g1"), UPDATE: updated(made, count(100))}
    samples = interleaved(changes, rounds)
    notes = tuple(forged(made, number, name, change) for number, (name, change) in enumerate(changes.items(), 1))
    return table(f"One guest's address, {running} running guests", samples, rounds), samples, notes


def changed_by_us(made: Host, name: str) -> Way:
    numbers = count(100)

    def change() -> Sample:
        text = guest_yaml(int(name[1:]), f"10.0.200.{next(numbers)}").replace("ipv6: none", f'ipv6: ["{IPV6}1"]')
        (made.site / f"guests/{name}.yaml").write_text(text)
        return applied(made)

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
    (made.site / "guests/g2.yaml").write_text(guest_yaml(2, "10.0.0.2"))
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
