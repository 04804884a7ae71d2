"""Which frames each filter lets through that it should not, and which it stops that it should not.

The whole battery is judged on the rules that libvirt makes of a filter: the site's own, stock `clean-traffic` as a
lab's libvirtd has it, and the historical ones under state/examples. Prints a table; `--write` puts it into
docs/filters.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import libvirt

from bench.pages import put
from bench.results import Options, Row
from reconciler.lab.labs import lab
from reconciler.load import load
from reconciler.model.filter import NwFilter
from reconciler.model.guest import Interface
from reconciler.model.site import Desired
from reconciler.model.supplement import Supplement
from reconciler.nwfilter.battery import BatteryCase, battery
from reconciler.nwfilter.evaluate import Evaluator
from reconciler.nwfilter.expand import expand
from reconciler.nwfilter.guard import unguarded_filterref
from reconciler.nwfilter.parse import parse_filter
from reconciler.nwfilter.supplement import elements_of, with_rules
from reconciler.source.folder import read_folder

ROOT = Path(__file__).parent.parent
STATE = ROOT / "state"
PAGE, COMMAND = "filters.md", "python -m bench.leaks --write"
STOCK = "clean-traffic"
PORT = "port"
IPV4, IPV6, NONE = "[192.168.0.200]", '["2001:db8::200"]', "none"
DUAL, ONLY_IPV4, ONLY_IPV6, LOCKED = (IPV4, IPV6), (IPV4, NONE), (NONE, IPV6), (NONE, NONE)
FORMS = {
    "guest": (DUAL, ONLY_IPV4, ONLY_IPV6, LOCKED),
    "dhcp-client": (DUAL, ONLY_IPV4),
    "dhcp-server": (DUAL, ONLY_IPV4, ONLY_IPV6),
    "router": (DUAL, ONLY_IPV4, ONLY_IPV6),
    "gateway": (DUAL, ONLY_IPV4),
}
GUEST = """\
name: vm01
interfaces:
  - {{mac: "52:54:00:30:fc:2d", segment: tenants, ipv4: {ipv4}, ipv6: {ipv6}, filter: {form}{more}}}
"""
SERVERS = {"dhcp-client": ", parameters: {DHCPSERVER: [192.168.0.1]}"}
HEAD = (
    "| filter | guest | right | leaks | leaks that nwfilter cannot express | wrongly stopped |",
    "|---|---|---|---|---|---|",
)

Definitions = Mapping[str, NwFilter]


@dataclass(frozen=True)
class Judged:
    """A filter on an interface, and the ids of the battery's cases by what became of them."""

    name: str
    guest: str
    cases: tuple[BatteryCase, ...]
    passed: frozenset[str]

    @property
    def leaks(self) -> list[str]:
        return [case.id for case in self._wrong("drop") if not case.inexpressible]

    @property
    def inexpressible(self) -> list[str]:
        return [case.id for case in self._wrong("drop") if case.inexpressible]

    @property
    def stopped(self) -> list[str]:
        return [case.id for case in self._wrong("pass")]

    @property
    def row(self) -> str:
        lists = (self.leaks, self.inexpressible, self.stopped)
        right = len(self.cases) - sum(map(len, lists))
        ids = [case.id for case in self.cases]
        cells = (f"{len(each)}: {shortened(each, ids)}" if each else "none" for each in lists)
        return f"| {self.name} | {self.guest} | {right} of {len(ids)} | {' | '.join(cells)} |"

    def _wrong(self, expected: str) -> Iterator[BatteryCase]:
        return (case for case in self.cases if case.expected == expected != self._got(case))

    def _got(self, case: BatteryCase) -> str:
        return "pass" if case.id in self.passed else "drop"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write the table into docs/{PAGE}")
    arguments = parser.parse_args()
    found = leaks_table()
    if arguments.write:
        put(PAGE, COMMAND, found)
    else:
        print(found)
    return 0


def measure(_options: Options) -> Row:
    return Row("leaks", notes=(leaks_table(),))


def leaks_table() -> str:
    return "\n".join((*HEAD, *(each.row for each in judge_all(stock_filters()))))


def stock_filters() -> Definitions:
    """What a fresh libvirtd has."""
    with lab() as private:
        connection = libvirt.open(private.uri)
        names = connection.listNWFilters()
        definitions = (parse_filter(connection.nwfilterLookupByName(name).XMLDesc()) for name in names)
        return {definition.name: definition for definition in definitions}


def judge_all(stock: Definitions) -> Iterator[Judged]:
    for form, addresses in ((form, each) for form, possible in FORMS.items() for each in possible):
        site = our_site(form, *addresses)
        interface = interface_of(site)
        yield judged(f"`{interface.filter}`", interface, definitions_of(site, stock))
    for addresses in (DUAL, ONLY_IPV6):
        site = our_site("guest", *addresses)
        interface = interface_of(site)
        supplement = with_rules(elements_of(interface))
        name = f"`{interface.filter}` and the supplement"
        yield judged(name, interface, definitions_of(site, stock), supplement)
    for addresses in (DUAL, ONLY_IPV4):
        interface = interface_of(our_site("guest", *addresses))
        parameters = tuple(parameter for parameter in interface.parameters if parameter[0] == "IP")
        yield judged(f"stock `{STOCK}`", replace(interface, filter=STOCK, parameters=parameters), stock)
    for folder in sorted(path for path in (STATE / "examples").iterdir() if path.is_dir()):
        site = load(read_folder(folder), str(folder))
        interface = interface_of(site)
        yield judged(f"{folder.name}: `{interface.filter}`", interface, definitions_of(site, stock))


def our_site(form: str, ipv4: str, ipv6: str) -> Desired:
    """The example site's settings and filters with one guest."""
    files = {path: content for path, content in read_folder(STATE).items() if not path.startswith("guests/")}
    guest = GUEST.format(form=form, ipv4=ipv4, ipv6=ipv6, more=SERVERS.get(form, ""))
    return load({**files, "guests/vm01.yaml": guest.encode()}, str(STATE))


def interface_of(site: Desired) -> Interface:
    return site.guests[0].interfaces[0]


def definitions_of(site: Desired, stock: Definitions) -> Definitions:
    return {**stock, **{definition.name: definition for definition in site.filters}}


def judged(name: str, interface: Interface, definitions: Definitions, supplement: Supplement | None = None) -> Judged:
    expected = expand(definitions.get, unguarded_filterref(interface), interface.mac, PORT)
    evaluator = Evaluator.of(expected, supplement)
    cases = battery(interface)
    passed = frozenset(case.id for case in cases if evaluator.case(case, PORT).passes)
    return Judged(name, families(interface), cases, passed)


def families(interface: Interface) -> str:
    names = [name for name, own in (("IPv4", interface.ipv4), ("IPv6", interface.ipv6)) if own]
    return " and ".join(names) or "no address"


def shortened(chosen: Collection[str], ids: Collection[str]) -> str:
    """Ids of cases as text; `nd-ra*` stands for all ids that begin so, where all of them are meant."""
    return ", ".join(f"`{text}`" for text in _shortened(chosen, ids, words=1))


def _shortened(chosen: Collection[str], ids: Collection[str], words: int) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for each in ids:
        groups.setdefault("-".join(each.split("-")[:words]), []).append(each)
    for stem, members in groups.items():
        meant = [each for each in members if each in chosen]
        if len(members) == 1 or not meant:
            yield from meant
        elif meant == members:
            yield f"{stem}*"
        else:
            yield from _shortened(chosen, members, words + 1)


if __name__ == "__main__":
    sys.exit(main())
