"""Whether a guest may start as its XML says, compared with what was verified here last.

Under `guard` a guest's XML holds no address: it names a filter, and that one others. So the filters' files are looked
at as well, by the digest of what libvirt wrote into them. libvirt itself cannot be asked: a hook that calls it hangs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any
from xml.parsers import expat

Record = Mapping[str, Any]
ReadFilter = Callable[[str], bytes | None]
LEARNING = "CTRL_IP_LEARNING"
_ADDRESSES = (("IP", "IPMASK", "32"), ("IPV6", "IPV6MASK", "128"))


@dataclass(slots=True)
class Nic:
    """An interface of the XML. `filter` None: nothing holds it."""

    mac: str = ""
    filter: str | None = None
    parameters: list[tuple[str, str]] = field(default_factory=list)


def interfaces(xml: bytes) -> list[Nic]:
    """The interfaces of a domain's XML, whether it is the outermost element or part of a saved image's."""
    found: list[Nic] = []
    path: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        path.append(name)
        if path[-3:] == ["domain", "devices", "interface"]:
            found.append(Nic())
        elif path[-4:-1] == ["domain", "devices", "interface"] and name == "mac":
            found[-1].mac = attributes.get("address", "").lower()
        elif path[-4:-1] == ["domain", "devices", "interface"] and name == "filterref":
            found[-1].filter = attributes.get("filter", "")
        elif path[-5:-1] == ["domain", "devices", "interface", "filterref"] and name == "parameter":
            found[-1].parameters.append((attributes.get("name", ""), attributes.get("value", "")))

    def end(_name: str) -> None:
        path.pop()

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.Parse(xml, True)
    return found


def digest(text: bytes) -> str:
    """Of a filter as libvirt prints it, with or without the warning that it writes above."""
    body = text.lstrip()
    if body.startswith(b"<!--"):
        body = body.partition(b"-->")[2]
    return hashlib.sha256(body.strip()).hexdigest()


def objections(guest: str, nics: list[Nic], record: Record, read: ReadFilter) -> Iterator[str]:
    """What is not as it was verified, a sentence each."""
    known = record["guests"].get(guest)
    if known is None:
        yield from _stranger(guest, nics, record)
        return
    if not known["here"]:
        yield f"the site does not have guest {guest} on this host"
    for nic in nics:
        yield from _of_interface(guest, nic, known, record, read)


def _of_interface(guest: str, nic: Nic, known: Record, record: Record, read: ReadFilter) -> Iterator[str]:
    wanted = known["interfaces"].get(nic.mac)
    if wanted is None:
        yield f"the site does not mention the interface {nic.mac} of guest {guest}"
        return
    if nic.filter is None:
        yield f"the interface {nic.mac} of guest {guest} has no filter"
    elif nic.filter != wanted["filter"]:
        yield f"the interface {nic.mac} of guest {guest} has the filter {nic.filter}, not {wanted['filter']}"
    elif _told(nic.parameters) != _told([(name, value) for name, value in wanted["parameters"]]):
        yield f"the variables of the interface {nic.mac} of guest {guest} are others than the site's"
    else:
        yield from _changed_filters(wanted["filter"], record["filters"], read)


def _told(parameters: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """libvirt sorts by names; the ban on learning may be missing where nothing could be learned."""
    return sorted(each for each in parameters if each[0] != LEARNING)


def _changed_filters(root: str, filters: Mapping[str, Record], read: ReadFilter) -> Iterator[str]:
    pending, seen = [root], {root}
    while pending:
        name = pending.pop()
        text = read(name)
        if text is None:
            yield f"the filter {name} is not there"
        elif digest(text) != filters.get(name, {}).get("digest"):
            yield f"the filter {name} was changed since it was verified"
        else:
            more = [each for each in filters[name]["references"] if each not in seen]
            seen.update(more)
            pending += more


def _stranger(guest: str, nics: list[Nic], record: Record) -> Iterator[str]:
    """A guest that the site does not have must not take what belongs to one that it has."""
    for owner, known in record["guests"].items():
        filters = {each["filter"] for each in known["interfaces"].values() if each["filter"].startswith("guard-")}
        own = [ip_network(text) for text in known["networks"]]
        for nic in nics:
            if nic.mac in known["interfaces"]:
                yield f"guest {guest} has the MAC {nic.mac}, which is {owner}'s"
            if nic.filter in filters:
                yield f"guest {guest} has the filter {nic.filter}, which is {owner}'s"
            for network in _networks(nic):
                if any(each.version == network.version and each.overlaps(network) for each in own):
                    yield f"guest {guest} would hold {network}, which is {owner}'s"


def _networks(nic: Nic) -> Iterator[Any]:
    for name, mask_name, full in _ADDRESSES:
        masks = [value for key, value in nic.parameters if key == mask_name]
        values = [value for key, value in nic.parameters if key == name]
        for position, value in enumerate(values):
            try:
                yield ip_network(f"{value}/{masks[position] if position < len(masks) else full}", strict=False)
            except ValueError:
                continue
