"""Small sites and hosts for tests, built as a user would write them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from reconciler.host.memory import MemoryHost
from reconciler.load import load
from reconciler.model.guest import Guest
from reconciler.model.kernel import Ruleset
from reconciler.model.site import Desired
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.guard import interface_filterref
from reconciler.nwfilter.wanted import wanted_filters
from reconciler.source.folder import read_folder

EXAMPLE = Path(__file__).parent.parent / "state"

SITE = b"""
segments:
  lan: {bridge: br0, ipv4: [10.0.0.0/24], ipv6: ["2001:db8::/48"], gateways: [10.0.0.1]}
filters:
  guest: {dual: guest-dual-stack, ipv4: guest-ipv4, ipv6: guest-ipv6, none: guest-locked}
defaults: {filter: guest}
"""

_DOMAIN = """<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <devices>
{interfaces}
  </devices>
</domain>
"""

_INTERFACE = """    <interface type='bridge'>
      <mac address='{mac}'/>
      <source bridge='br0'/>
      <model type='virtio'/>
    </interface>"""


def guest_yaml(
    name: str, number: int, ipv4: str = "none", ipv6: str = "none", attach: str = "guard", more: str = ""
) -> bytes:
    """A guest's file with one interface; `number` gives its MAC."""
    lines = [
        f"name: {name}",
        *([more] if more else []),
        "interfaces:",
        f'  - mac: "{mac(number)}"',
        "    segment: lan",
        f"    ipv4: {ipv4}",
        f"    ipv6: {ipv6}",
        f"    attach: {attach}",
    ]
    return ("\n".join(lines) + "\n").encode()


def mac(number: int) -> str:
    return f"52:54:00:00:00:{number:02x}"


def site(guests: dict[str, bytes], text: bytes = SITE) -> Desired:
    """A valid site with the example's shared filters."""
    filters = {path: content for path, content in read_folder(EXAMPLE).items() if path.startswith("filters/")}
    files = {"site.yaml": text, **filters, **{f"guests/{name}.yaml": content for name, content in guests.items()}}
    return load(files, "a commit")


def example_without_supplement(folder: Path) -> Path:
    """A copy of the example site that leaves to nwfilter alone what it can."""
    shutil.copytree(EXAMPLE, folder / "state")
    site = folder / "state" / "site.yaml"
    text = site.read_text()
    assert text.count("supplement: nftables") == 1
    site.write_text(text.replace("supplement: nftables", "supplement: off"))
    return folder / "state"


def domain_xml(guest: Guest) -> str:
    interfaces = "\n".join(_INTERFACE.format(mac=interface.mac) for interface in guest.interfaces)
    number = int(guest.interfaces[0].mac.replace(":", ""), 16)
    return _DOMAIN.format(name=guest.name, uuid=f"00000000-0000-4000-8000-{number:012x}", interfaces=interfaces)


def host_with(desired: Desired, *, running: bool = True) -> MemoryHost:
    """A host that has the site's guests, without any filter of theirs."""
    host = MemoryHost()
    for guest in desired.guests:
        host.define_domain(domain_xml(guest))
        if running:
            host.start_domain(guest.name)
    host.writes.clear()
    return host


def host_as_wanted(desired: Desired) -> MemoryHost:
    """A host whose guests run behind the site's filters; as on a real one, its rules do not say whose they are."""
    host = host_with(desired)
    for definition in wanted_filters(desired, "kvm01"):
        host.define_filter(format_filter(definition))
    for guest in desired.guests:
        for interface in guest.interfaces:
            host.set_live_filterref(guest.name, interface.mac, interface_filterref(guest.name, interface))
    for port, expected in host.installed.items():
        host.installed[port] = replace(expected, ethernet=without_sources(expected.ethernet))
    host.writes.clear()
    return host


def without_sources(ruleset: Ruleset) -> Ruleset:
    chains = (replace(c, rules=tuple(replace(r, source=None) for r in c.rules)) for c in ruleset.chains)
    return replace(ruleset, chains=tuple(chains))
