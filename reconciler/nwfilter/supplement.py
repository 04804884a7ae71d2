"""The supplement: what no rule of nwfilter can look at, asked by rules of nft in our own table.

A guest claims a neighbour's IPv6 address with a Neighbour Advertisement from an own address, with a link-layer option
that is not its own MAC, or with a message that stands behind a header which nwfilter cannot see through. All of it is
asked by the same few rules for every guest; what differs is in sets whose keys begin with the guest's MAC, to which
nwfilter pins it. So a frame costs one look-up however many guests there are, and the rules are in force before
a guest starts, is plugged in or comes from another host.

They only drop. What they accept still has to pass libvirt's rules. Where the site limits floods, the rules for that
(`floods`) stand in the same table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Network, collapse_addresses

from reconciler.model.guest import Interface, Role
from reconciler.model.kernel import Condition, KernelRule
from reconciler.model.site import Desired
from reconciler.model.supplement import Element, FloodLimit, Supplement
from reconciler.nwfilter.floods import FLOODS, LIMITED, flood_rules
from reconciler.nwfilter.floods import SETS as FLOOD_SETS

TABLE = "reconciler"
OBJECT = f"table/{TABLE}"
"""As drift and ignore rules name it."""
HOOK = "supplement"
GUESTS, ROUTERS, DHCPV6_SERVERS, TARGETS, OPTIONS = "guests", "routers", "dhcpv6_servers", "targets", "options"

SETS = {
    GUESTS: "type ether_addr;",
    ROUTERS: "type ether_addr;",
    DHCPV6_SERVERS: "type ether_addr;",
    TARGETS: "typeof ether saddr . @th,64,128; flags interval;",
    OPTIONS: "typeof ether saddr . @th,192,64;",
}
PRIORITIES = {HOOK: -340, FLOODS: 10}
"""Of the chains that the kernel itself calls. The gate's is -350; libvirt's are at -300 of ebtables, 0 and 1 of nft."""

_SOURCE_LINK_LAYER, _TARGET_LINK_LAYER = "0101", "0201"
"""Type and length of the options that hold an Ethernet address (RFC 4861, 4.6.1)."""

_NONCE = "3585"
"""Type and length of the option by which duplicate address detection knows its own echo (RFC 7527)."""


def supplement_of(desired: Desired, host: str) -> Supplement | None:
    """What a host's table shall hold; None where the site wants none."""
    if not desired.policy.supplement:
        return None
    interfaces = (interface for guest in desired.guests_on(host) for interface in guest.interfaces)
    return _whole(interfaces, desired.policy.flood_limit)


def supplement_for(desired: Desired, interface: Interface) -> Supplement | None:
    """What of it concerns one interface, on whichever host that runs."""
    return _whole((interface,), desired.policy.flood_limit) if desired.policy.supplement else None


def _whole(interfaces: Iterable[Interface], limit: FloodLimit | None) -> Supplement:
    elements = (each for one in interfaces for each in elements_of(one, is_limited=limit is not None))
    return with_rules(elements, limit)


def with_rules(elements: Iterable[Element], limit: FloodLimit | None = None) -> Supplement:
    floods = ((FLOODS, flood_rules(limit)),) if limit else ()
    return Supplement(tuple(sorted(set(elements))), RULES + floods)


def elements_of(interface: Interface, *, is_limited: bool = False) -> Iterator[Element]:
    """The facts about one interface. libvirt's rules let no IPv6 out where it has no address."""
    mac = interface.mac
    if is_limited:
        yield Element(LIMITED, mac)
    if not interface.ipv6:
        return
    yield Element(GUESTS, mac)
    if Role.ROUTER in interface.roles:
        yield Element(ROUTERS, mac)
    if Role.DHCP_SERVER in interface.roles:
        yield Element(DHCPV6_SERVERS, mac)
    for network in collapse_addresses(interface.ipv6):
        yield Element(TARGETS, mac, str(network))
    for option in (_SOURCE_LINK_LAYER, _TARGET_LINK_LAYER):
        yield Element(OPTIONS, mac, option + mac.replace(":", ""))


def _rule(target: str, *conditions: str, goto: bool = False) -> KernelRule:
    """A rule by its conditions in nft's words, with numbers for names: `ip6 nexthdr != 58`."""
    text = " ".join((*conditions, f"goto {target}" if goto else target.lower()))
    return KernelRule(tuple(map(_condition, conditions)), target, text, goto=goto)


def _condition(words: str) -> Condition:
    field, value = words.rsplit(" ", 1)
    for operator in (" !=", " >="):
        if field.endswith(operator):
            bare = field.removesuffix(operator)
            return Condition(field if operator == " >=" else bare, value, negated=operator == " !=")
    return Condition(field, value)


_TARGET = "ether saddr . @th,64,128"
_OPTION = "ether saddr . @th,192,64 @options"
_FIRST_NONCE, _SECOND_NONCE = f"@th,192,16 {_NONCE}", f"@th,256,16 {_NONCE}"
_NOT_FIRST = "ip6 nexthdr != 58"
"""Behind an extension header a message has the length of another one, and in a fragment lacks its end."""

RULES: tuple[tuple[str, tuple[KernelRule, ...]], ...] = (
    (
        HOOK,
        (
            # The bulk of IPv6 is through here. The bits are its next header; whether it is IPv6 at all is not asked,
            # since all else goes on whatever they are.
            _rule("ACCEPT", "@nh,48,8 6"),
            _rule("ACCEPT", "@nh,48,8 17", "th dport != 546"),
            _rule("supplement-ipv6", "ether type 0x86dd", "ether saddr @guests", goto=True),
        ),
    ),
    (
        "supplement-ipv6",
        (
            _rule("ACCEPT", "frag frag-off != 0"),
            _rule("supplement-rs", "icmpv6 type 133", goto=True),
            _rule("DROP", "icmpv6 type 134", "ether saddr != @routers"),
            _rule("supplement-ns", "icmpv6 type 135", goto=True),
            _rule("supplement-na", "icmpv6 type 136", goto=True),
            _rule("DROP", "icmpv6 type 137", "ether saddr != @routers"),
            _rule("DROP", "udp dport 546", "ether saddr != @dhcpv6_servers"),
            _rule("ACCEPT", "@th,0,8 >= 0"),
            # From here on the header of the transport cannot be read: of a first fragment it must be (RFC 7112).
            _rule("DROP", "exthdr frag"),
            _rule("ACCEPT", "meta l4proto != 255"),
            # The chain of headers breaks off.
            _rule("DROP"),
        ),
    ),
    (
        "supplement-rs",
        (
            _rule("ACCEPT", "ip6 length 8"),
            _rule("ACCEPT", "ip6 length 16", "ether saddr . @th,64,64 @options"),
            _rule("DROP"),
        ),
    ),
    (
        "supplement-ns",
        (
            _rule("DROP", _NOT_FIRST),
            _rule("DROP", "ip6 saddr ::", f"{_TARGET} != @targets"),
            _rule("ACCEPT", "ip6 length 24"),
            _rule("ACCEPT", "ip6 length 32", _OPTION),
            _rule("ACCEPT", "ip6 length 32", _FIRST_NONCE),
            _rule("ACCEPT", "ip6 length 40", _OPTION, _SECOND_NONCE),
            _rule("DROP"),
        ),
    ),
    (
        "supplement-na",
        (
            _rule("DROP", _NOT_FIRST),
            _rule("DROP", f"{_TARGET} != @targets"),
            _rule("ACCEPT", "ip6 length 24"),
            _rule("ACCEPT", "ip6 length 32", _OPTION),
            _rule("DROP"),
        ),
    ),
)


def commands(supplement: Supplement) -> Iterator[str]:
    """nft's commands that make all of it in a table that has none of it."""
    place = f"bridge {TABLE}"
    sets = SETS | FLOOD_SETS if supplement.chain(FLOODS) else SETS
    yield from (f"add set {place} {name} {{ {kind} }}" for name, kind in sets.items())
    yield from _on_elements("add", supplement.elements)
    yield from (f"add chain {place} {name} {_base(name)}".rstrip() for name, _ in supplement.rules)
    for name, rules in supplement.rules:
        yield from (f"add rule {place} {name} {_nft_text(rule)}" for rule in rules)


def _base(chain: str) -> str:
    priority = PRIORITIES.get(chain)
    return f"{{ type filter hook prerouting priority {priority}; policy accept; }}" if priority else ""


def changes(found: Iterable[Element], wanted: Iterable[Element]) -> Iterator[str]:
    """nft's commands that bring a table with our rules from one set of facts to another."""
    before, after = set(found), set(wanted)
    yield from _on_elements("delete", sorted(before - after))
    yield from _on_elements("add", sorted(after - before))


def _on_elements(verb: str, elements: Iterable[Element]) -> Iterator[str]:
    listed: dict[str, list[str]] = {}
    for element in elements:
        listed.setdefault(element.set, []).append(_nft_element(element))
    yield from (f"{verb} element bridge {TABLE} {name} {{ {', '.join(each)} }}" for name, each in listed.items())


def _nft_text(rule: KernelRule) -> str:
    return rule.text.replace("exthdr frag", "exthdr frag exists")


def _nft_element(element: Element) -> str:
    if element.set == TARGETS:
        network = IPv6Network(element.value)
        first, last = (f"0x{int(each):032x}" for each in (network[0], network[-1]))
        return f"{element.mac} . {first if first == last else f'{first}-{last}'}"
    return f"{element.mac} . 0x{element.value}" if element.value else element.mac
