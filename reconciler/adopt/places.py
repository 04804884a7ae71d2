"""Where interfaces are attached: segments that follow from what is live, and none that would be a guess."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.adopt.entry import Entry, Inexpressible, Network
from reconciler.adopt.text import Placement
from reconciler.load.values import is_shared_name
from reconciler.model.site import Segment

_NAMELESS = "segment"


def segments_of(entries: Iterable[Entry]) -> tuple[Segment, ...]:
    """A segment for each bridge, by its name, and one for each set of networks that interfaces are kept to."""
    attached = {(entry.bridge, entry.given.segment) for entry in entries}
    names: set[str] = set()
    found: list[Segment] = []
    for bridge, networks in sorted(attached, key=lambda each: (bool(each[1]), each[0] or "", str(each[1]))):
        name = bridge if bridge and is_shared_name(bridge) else None
        if networks:
            name = _free(name or _NAMELESS, names)
        if name:
            names.add(name)
            found.append(_segment(name, bridge, networks))
    return tuple(found)


def place(entry: Entry, segments: Iterable[Segment]) -> Placement | None:
    """The segment that says no more and no less of an interface, or its bridge alone.

    Raises `Inexpressible` where the filter is given networks that are no segment's.
    """
    networks = entry.given.segment
    same = (s.name for s in segments if (s.bridge, (*s.ipv4, *s.ipv6)) == (entry.bridge, networks) != (None, ()))
    name = next(same, None)
    if name:
        return "segment", name
    if networks:
        listed = ", ".join(map(str, networks))
        reason = f"its filterref gives the filter the segment {listed}, which site.yaml has not"
        raise Inexpressible(reason, f"add it to site.yaml: bridge {entry.bridge or 'none'}, and these networks")
    return ("bridge", entry.bridge) if entry.bridge else None


def _segment(name: str, bridge: str | None, networks: tuple[Network, ...]) -> Segment:
    ipv4 = tuple(each for each in networks if each.version == 4)
    ipv6 = tuple(each for each in networks if each.version == 6)
    return Segment(name, bridge, ipv4, ipv6)


def _free(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = next(number for number in range(2, len(taken) + 3) if f"{name}-{number}" not in taken)
    return f"{name}-{number}"
