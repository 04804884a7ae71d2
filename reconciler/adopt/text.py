"""The site's YAML as a person would write it: MACs and IPv6 in quotes, short lists on one line.

It is read back by `load` before anything is kept, so a word that YAML takes for something else cannot pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv6Network

from reconciler.adopt.entry import Entry, Network
from reconciler.load.values import LINK_LOCAL, link_local_of
from reconciler.model.site import Segment
from reconciler.model.supplement import Supplement
from reconciler.nwfilter.floods import limit_in

MOST_COLUMNS = 100
_INTERFACE = '  - mac: "'
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._-]*|[0-9]+(?:\.[0-9]+){3}(?:/[0-9]+)?")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "none"})
"""Plain words that some reader of YAML takes for another type, or that mean something in a site."""

Placement = tuple[str, str]
"""The field that says where an interface is attached, and its value."""


def head(kind: str, folder: str, note: str = "") -> str:
    """What editors need to know which schema a file has, and a comment."""
    said = f"#\n# {note}\n" if note else ""
    return f"# yaml-language-server: $schema={folder}schema/{kind}.schema.json\n{said}"


def site_text(segments: Iterable[Segment], hosts: Sequence[str]) -> str:
    lines = ["segments:", *(f"  {word(each.name)}: {_segment(each)}" for each in segments)]
    lines += ["hosts:", *(f"  {word(name)}: {{}}" for name in hosts)]
    return "".join(f"{line}\n" for line in _without_empty(lines))


def policy_text(found: Supplement | None) -> str:
    """Our own table as the host has it. Where it has none a site that wants one would differ from its host at once."""
    if found is None:
        return (
            "# Rules of nft beside libvirt's stop what no nwfilter rule can look at; they come with the next apply.\n"
            "# policy: {supplement: nftables}\n"
        )
    limit = limit_in(found)
    floods = f", flood_limit: {{rate: {limit.rate}, burst: {limit.burst}}}" if limit else ""
    return f"policy: {{supplement: nftables{floods}}}\n"


def guest_text(name: str, hosts: Sequence[str], entries: Iterable[tuple[Entry, Placement | None]]) -> str:
    lines = [f"name: {word(name)}"]
    if hosts:
        lines.append(f"hosts: [{', '.join(map(word, hosts))}]")
    lines.append("interfaces:")
    for entry, placement in entries:
        lines += _interface(entry, placement)
    return "".join(f"{line}\n" for line in lines)


def interface_at(text: str, line: int) -> int | None:
    """Which interface of a guest's file a line belongs to, from 0; None for the lines before the first."""
    begun = sum(each.startswith(_INTERFACE) for each in text.splitlines()[:line])
    return begun - 1 if begun else None


def word(text: str) -> str:
    """A text as a YAML value, in quotes where one reader or another would not take it for a text."""
    return text if _PLAIN.fullmatch(text) and text.casefold() not in _WORDS else json.dumps(text)


def _without_empty(lines: list[str]) -> Iterator[str]:
    """A key that has nothing below it says so."""
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        yield line if line.startswith(" ") or after.startswith(" ") else f"{line} {{}}"


def _segment(segment: Segment) -> str:
    fields = [f"bridge: {word(segment.bridge)}"] if segment.bridge else []
    fields += [f"ipv4: {_list(segment.ipv4)}"] if segment.ipv4 else []
    fields += [f"ipv6: {_list(segment.ipv6)}"] if segment.ipv6 else []
    return f"{{{', '.join(fields)}}}"


def _interface(entry: Entry, placement: Placement | None) -> Iterator[str]:
    given = entry.given
    listed, link_local = _without_link_local(entry.mac, given.ipv6)
    yield f'{_INTERFACE}{entry.mac}"'
    if placement:
        yield f"    {placement[0]}: {word(placement[1])}"
    yield f"    filter: {word(entry.filter)}"
    if not given.ipv4 and not given.ipv6:
        yield "    # Its filter is given no address: `reconciler status` tells what it lets through."
    yield from _lines("    ipv4", [_address(each) for each in given.ipv4])
    yield from _lines("    ipv6", [_address(each) for each in listed])
    if link_local:
        yield f"    link_local: {link_local}"
    if given.others:
        yield "    parameters:"
        for name, values in given.others:
            yield from _lines(f"      {word(name)}", [word(value) for value in values])
    yield f"    attach: {entry.attach}"


def _without_link_local(mac: str, networks: tuple[IPv6Network, ...]) -> tuple[tuple[IPv6Network, ...], str]:
    """What `ipv6` lists, and what `link_local` says so that the loader makes the same list of it."""
    if not networks:
        return (), ""
    derived = link_local_of(mac)
    *others, last = networks
    if derived in networks:
        return (tuple(others) if last == derived and others and derived not in others else networks), ""
    if last.prefixlen == last.max_prefixlen and last.subnet_of(LINK_LOCAL) and others and last not in others:
        return tuple(others), _address(last)
    return networks, "none"


def _lines(field: str, words: list[str]) -> Iterator[str]:
    """A list on one line where it fits, else one line an item; no item at all is `none`."""
    line = f"{field}: {_flow(words) if words else 'none'}"
    if len(line) <= MOST_COLUMNS:
        yield line
        return
    yield f"{field}:"
    yield from (f"{' ' * (len(field) - len(field.lstrip()) + 2)}- {each}" for each in words)


def _list(networks: Iterable[Network]) -> str:
    return _flow([_address(each) for each in networks])


def _flow(words: list[str]) -> str:
    return f"[{', '.join(words)}]"


def _address(network: Network) -> str:
    single = network.prefixlen == network.max_prefixlen
    text = str(network.network_address if single else network)
    return json.dumps(text) if network.version == 6 else text
