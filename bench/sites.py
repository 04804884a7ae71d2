"""The sites of the benches: guests with one interface each, and the example's filters."""

from __future__ import annotations

import subprocess
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "state/filters"
SITE = "filters: {guest: {ipv4: guest-ipv4, dual: guest-dual-stack, ipv6: guest-ipv6, none: guest-locked}}\n"
GUEST = 'name: {name}\ninterfaces:\n  - {{mac: "{mac}", filter: guest, ipv4: [{address}], ipv6: none}}\n'
BIG_SITE = """\
segments:
  lan: {bridge: br0, ipv4: [10.0.0.0/8], ipv6: ["2001:db8::/32"]}
filters: {guest: {dual: guest-dual-stack, ipv4: guest-ipv4, ipv6: guest-ipv6, none: guest-locked}}
defaults: {filter: guest}
"""
BIG_GUEST = """\
name: g{number}
interfaces:
  - mac: "52:54:00:00:{high:02x}:{low:02x}"
    segment: lan
    ipv4: [10.1.{high}.{low}, 10.2.{high}.{low}]
    ipv6: ["2001:db8::{high:x}:{low:x}"]
"""
OWN_FILTER = """\
<filter name='service-{number:03}' chain='root'>
  <rule action='accept' direction='out' priority='{number}'>
    <ip srcipaddr='10.0.{number}.1' protocol='udp' dstportstart='{number}'/>
  </rule>
  <rule action='drop' direction='inout' priority='900'><mac srcmacaddr='02:00:00:00:00:{number:02x}'/></rule>
</filter>
"""


def write_site(folder: Path, guests: int) -> None:
    """Guests with an IPv4 address each."""
    _write_filters(folder)
    (folder / "site.yaml").write_text(SITE)
    for number in range(1, guests + 1):
        (folder / f"guests/g{number}.yaml").write_text(guest_yaml(number, address(number)))


def guest_yaml(number: int, own: str) -> str:
    return GUEST.format(name=f"g{number}", mac=mac(number), address=own)


def write_big_site(folder: Path, guests: int, filters: int = 0) -> None:
    """Guests of both families in a segment, and at least so many filters."""
    _write_filters(folder)
    (folder / "site.yaml").write_text(BIG_SITE)
    for number in range(guests):
        (folder / f"guests/g{number}.yaml").write_text(big_guest(number))
    for number in range(1, 1 + filters - len(list(EXAMPLE.glob("*.xml")))):
        (folder / f"filters/service-{number:03}.xml").write_text(OWN_FILTER.format(number=number))


def big_guest(number: int) -> str:
    return BIG_GUEST.format(number=number, high=number // 250, low=number % 250 + 1)


def change_big_guest(folder: Path, number: int, net: int) -> None:
    """Another second address, of the network 10.`net`."""
    (folder / f"guests/g{number}.yaml").write_text(big_guest(number).replace(" 10.2.", f" 10.{net}."))


def in_repository(site: Path) -> Path:
    """Commit a big site, and then another address for one guest."""
    git(site, "init", "--quiet", "--initial-branch=main")
    git(site, "add", "--all")
    git(site, "commit", "--quiet", "--message", "the site")
    change_big_guest(site, 0, 3)
    git(site, "commit", "--quiet", "--all", "--message", "another address")
    return site


def git(folder: Path, *words: str) -> None:
    author = ["-c", "user.name=Author", "-c", "user.email=author@example.org"]
    subprocess.run(["git", "-C", str(folder), *author, *words], check=True)


def mac(number: int) -> str:
    return f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"


def address(number: int) -> str:
    return f"10.0.{number >> 8}.{number & 255}"


def _write_filters(folder: Path) -> None:
    (folder / "guests").mkdir(parents=True)
    (folder / "filters").mkdir()
    for path in EXAMPLE.glob("*.xml"):
        (folder / "filters" / path.name).write_bytes(path.read_bytes())
