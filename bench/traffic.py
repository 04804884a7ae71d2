"""What a frame costs on its way through a guarded port: frames a second and CPU time, by the filter of the port.

One sender in a lab's namespace sends small own datagrams into a veth port with an nwfilter binding, and another
port of the bridge counts what comes out. Filters take turns in each round. The ratios are of
CPU time, which others on the same machine disturb less; stock `clean-traffic` lets no IPv6 through, so all are to its
IPv4.
"""

from __future__ import annotations

import json
import statistics
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import libvirt

from bench.results import Options, Row
from reconciler.domain.binding import binding_xml
from reconciler.host.libvirt_host import open_host
from reconciler.lab.handle import Lab
from reconciler.lab.labs import lab
from reconciler.lab.ports import add_port
from reconciler.load import load
from reconciler.model.filter import FilterRef, canonical_parameters
from reconciler.model.guest import Interface
from reconciler.model.live import Binding
from reconciler.model.supplement import FloodLimit, Supplement
from reconciler.nwfilter.battery_frames import ether, ipv4, ipv6, udp
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.guard import unguarded_filterref
from reconciler.nwfilter.supplement import elements_of, with_rules
from reconciler.source.folder import read_folder

ROOT = Path(__file__).parent.parent
BLAST = Path(__file__).parent / "blast.py"
MAC = "52:54:00:30:fc:2d"
GUEST = f"""\
name: vm01
interfaces: [{{mac: "{MAC}", segment: tenants, ipv4: [192.168.0.200], ipv6: ["2001:db8::200"]}}]
"""
FRAMES = {"IPv4": ipv4("192.168.0.200", udp("traffic")), "IPv6": ipv6("2001:db8::200", udp("traffic"))}
MANY = 1000
ROUNDS, SECONDS = 7, 0.4
Found = dict[tuple[str, str], list[tuple[float, float, float]]]


def measure(options: Options) -> Row:
    files = {path: content for path, content in read_folder(ROOT / "state").items() if not path.startswith("guests/")}
    site = load({**files, "guests/vm01.yaml": GUEST.encode()}, "bench")
    interface = site.guests[0].interfaces[0]
    with lab() as private:
        connection = libvirt.open(private.uri)
        for definition in site.filters:
            connection.nwfilterDefineXML(format_filter(definition))
        add_port(private, "p0", mac=MAC)
        add_port(private, "peer")
        found: Found = {}
        for _ in range(options.rounds or ROUNDS):
            for name, (reference, guests, limit) in ways(interface).items():
                host = open_host(private.uri)
                host.set_supplement(supplement(interface, guests, limit))
                host.close()
                for family, once in measured(private, connection, reference, SECONDS):
                    found.setdefault((name, family), []).append(once)
    return Row("traffic", notes=("\n".join(shown(found)),))


def ways(interface: Interface) -> dict[str, tuple[FilterRef | None, int, FloodLimit | None]]:
    """A filter, and for how many guests there is a supplement, and with which limit on floods."""
    ours = unguarded_filterref(interface)
    stock = FilterRef("clean-traffic", canonical_parameters((("IP", "192.168.0.200"), ("CTRL_IP_LEARNING", "none"))))
    return {
        "no filter": (None, 0, None),
        "stock `clean-traffic`": (stock, 0, None),
        "`guest-dual-stack`": (ours, 0, None),
        "`guest-dual-stack`, supplement of 1 guest": (ours, 1, None),
        f"`guest-dual-stack`, supplement of {MANY} guests": (ours, MANY, None),
        f"`guest-dual-stack`, supplement of {MANY} guests with a limit": (ours, MANY, FloodLimit(100, 200)),
    }


def measured(
    private: Lab,
    connection: libvirt.virConnect,
    reference: FilterRef | None,
    seconds: float,
) -> list[tuple[str, tuple[float, float, float]]]:
    """For each family: frames sent a second, microseconds of CPU for each, and the part that came through."""
    bound = None
    if reference is not None:
        xml = binding_xml(Binding("p0", "vm01", MAC, reference), str(uuid.uuid4()))
        bound = connection.nwfilterBindingCreateXML(xml)
    found = [(family, blast(private, ether(MAC, packet), seconds)) for family, packet in FRAMES.items()]
    if bound is not None:
        bound.delete()
    return found


def supplement(interface: Interface, guests: int, limit: FloodLimit | None) -> Supplement | None:
    many = (another(interface, number) for number in range(guests))
    elements = (each for one in many for each in elements_of(one, is_limited=limit is not None))
    return with_rules(elements, limit) if guests else None


def another(interface: Interface, number: int) -> Interface:
    """The first is the interface itself."""
    if not number:
        return interface
    networks = (IPv6Network((0x20010DB8 << 96 | 1 << 64 | number, 128)),)
    mac = f"52:54:00:01:{number >> 8:02x}:{number & 255:02x}"
    return replace(interface, mac=mac, ipv4=(IPv4Network("192.0.2.1"),), ipv6=networks)


def blast(private: Lab, frame: bytes, seconds: float) -> tuple[float, float, float]:
    before = heard(private)
    ended = private.run([sys.executable, "-I", "-S", str(BLAST), "p0-g", str(seconds), frame.hex()])
    told = json.loads(ended.stdout)
    through = (heard(private) - before) / told["sent"]
    return told["sent"] / told["seconds"], told["cpu"] / told["sent"] * 1e6, through


def heard(private: Lab) -> int:
    return int(private.run(["cat", "/sys/class/net/peer-g/statistics/rx_packets"]).stdout)


def shown(found: Found) -> Iterator[str]:
    columns = ("filter", "family", "frames a second", "µs of CPU a frame", "came through")
    yield f"| {' | '.join(columns)} | frames a CPU second, ratio to stock |"
    yield "|---|---|---|---|---|---|"
    stock = statistics.median(each[1] for each in found["stock `clean-traffic`", "IPv4"])
    for (name, family), rounds in found.items():
        rate, cpu, through = (statistics.median(each[place] for each in rounds) for place in range(3))
        ratio = f"{stock / cpu:.2f}" if through > 0.5 else "–"
        yield f"| {name} | {family} | {rate:,.0f} | {cpu:.2f} | {through:.0%} | {ratio} |"
