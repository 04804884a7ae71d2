"""Hypothesis strategies for nwfilter XML over the whole language, in all the ways that people write it."""

from __future__ import annotations

from hypothesis import strategies as st

from reconciler.model.filter import NwFilter
from reconciler.nwfilter.parse import parse_filter
from reconciler.nwfilter.protocols import ACTIONS, DIRECTIONS, PROTOCOLS
from reconciler.nwfilter.syntax import FilterSyntax
from reconciler.nwfilter.values import ARP_OPCODES, ETHERTYPES, IP_PROTOCOLS, STATES, TCP_FLAGS, Kind


def _numbers(maximum: int, minimum: int = 0) -> st.SearchStrategy[str]:
    forms = st.sampled_from(("{}", "{:#x}", "{:#X}", "0{}", " {}", "+{}"))
    return st.builds(lambda form, number: form.format(number), forms, st.integers(minimum, maximum))


def _any_case(names: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda change, name: change(name),
        st.sampled_from((str, str.upper, str.lower, str.title)),
        st.sampled_from(names),
    )


def _items(names: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda separator, items: separator.join(items),
        st.sampled_from((",", ", ", " ", "", ",,")),
        st.lists(_any_case(names), min_size=1, max_size=4),
    )


_MACS = st.builds(
    lambda form, data: ":".join(form.format(byte) for byte in data),
    st.sampled_from(("{:02x}", "{:02X}", "{:x}")),
    st.binary(min_size=6, max_size=6),
)
_MAC_MASKS = st.integers(0, 48).map(lambda ones: ((1 << 48) - (1 << (48 - ones))).to_bytes(6, "big").hex(":"))
_IPV4 = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.sampled_from(("010.1.2.3", "10.1", "0x0a.0.0.1", "10.1.2", "3232235777", "::ffff:192.0.2.1", "0.0.0.0")),
)
_IPV4_MASKS = st.one_of(
    st.integers(0, 32).map(str),
    st.sampled_from(("255.255.255.0", "255.255.240.0", "0.0.0.0", "255.255.255.255", "0xffffff00", "08")),
)
_IPV6 = st.one_of(
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=6).map(lambda address: address.exploded.upper()),
    st.sampled_from(("0::0", "FE80::1", "2001:db8:0:0:1:0:0:1", "::ffff:10.0.0.1", "::1.2.3.4", "1:0:0:2::")),
)
_IPV6_MASKS = st.one_of(st.integers(0, 128).map(str), st.sampled_from(("ffff:ffff::", "ffff:fe00::", "::")))
_TCP_FLAGS = st.builds("{}/{}".format, *(_items((*TCP_FLAGS, "ALL", "NONE")),) * 2)
_VARIABLES = st.sampled_from(("$IP", "$IPMASK", "$A[@0]", "$A[@1]", "$B[ 2 ]", "$B[0]", "$MAC", "$X[@ 7 ]tail"))
_COMMENTS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=20).filter(
    lambda text: not text.startswith("$")
)

VALUES: dict[Kind, st.SearchStrategy[str]] = {
    Kind.MAC: _MACS,
    Kind.MAC_MASK: _MAC_MASKS,
    Kind.IPV4: _IPV4,
    Kind.IPV4_MASK: _IPV4_MASKS,
    Kind.IPV6: _IPV6,
    Kind.IPV6_MASK: _IPV6_MASKS,
    Kind.UINT8: _numbers(255),
    Kind.UINT16: _numbers(65535),
    Kind.UINT16_DECIMAL: st.integers(0, 65535).map(str),
    Kind.UINT32: _numbers(2**32 - 1),
    Kind.VLAN_ID: _numbers(4095),
    Kind.ETHERTYPE: st.one_of(_any_case(tuple(ETHERTYPES.values())), _numbers(65535, 0x600)),
    Kind.ENCAPSULATED: st.one_of(_any_case(tuple(ETHERTYPES.values())), _numbers(65535, 0x3C)),
    Kind.ARP_OPCODE: st.one_of(_any_case(tuple(ARP_OPCODES.values())), _numbers(65535), _numbers(12)),
    Kind.IP_PROTOCOL: st.one_of(_any_case(tuple(IP_PROTOCOLS.values())), _numbers(255)),
    Kind.DSCP: _numbers(63),
    Kind.STATE: _items(STATES),
    Kind.TCP_FLAGS: _TCP_FLAGS,
    Kind.IPSET: st.text("abcXYZ019_.:-+ ", min_size=1, max_size=31),
    Kind.IPSET_FLAGS: st.lists(st.sampled_from(("src", "dst", "SRC")), min_size=1, max_size=6).map(",".join),
    Kind.BOOLEAN: st.sampled_from(("true", "1", "yes", "false", "0", "no", "True", "")),
    Kind.COMMENT: _COMMENTS,
}
"""Texts that libvirt takes for an attribute of each kind."""

WRONG_VALUES = st.sampled_from(
    ("", "x", "-1", "65536", "70000", "256", "0x", "10.0.0.0/24", "2001:db8::/64", "1.2.3.4.5", "zz:00:00:00:00:00")
)
"""Texts that libvirt refuses for most kinds and takes for some."""


def _escape(text: str) -> str:
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), ("'", "&apos;")):
        text = text.replace(character, entity)
    return text


@st.composite
def protocol_elements(draw: st.DrawFn, protocol: str, wrong: bool = False, comment: bool = True) -> str:
    """One protocol element; with `wrong` it may hold values that libvirt refuses."""
    table = PROTOCOLS[protocol]
    choices = sorted(name for name in table if comment or name != "comment")
    names = draw(st.lists(st.sampled_from(choices), unique=True, max_size=5))
    if any("port" in name for name in names) and protocol in ("ip", "ipv6") and not wrong:
        names = ["protocol", *(name for name in names if name != "protocol")]
    written = []
    for name in names:
        value = draw(st.one_of(VALUES[table[name]], _VARIABLES) if name != "comment" else VALUES[table[name]])
        if name == "protocol" and not wrong and any("port" in each for each in names):
            value = draw(st.sampled_from(("tcp", "udp", "sctp", "6", "0x21")))
        if wrong and draw(st.integers(0, 5)) == 0:
            value = draw(WRONG_VALUES)
        written.append(f"{name}='{_escape(value)}'")
    match = draw(st.sampled_from(("", "", " match='no'", " match='yes'", " match='No'")))
    noise = draw(st.sampled_from(("", "", " color='red'")))
    return f"<{protocol}{match}{noise} {' '.join(written)}/>"


@st.composite
def rules(draw: st.DrawFn, wrong: bool = False) -> str:
    protocol = draw(st.sampled_from(sorted(PROTOCOLS)))
    count = draw(st.integers(0, 3))
    elements = [draw(protocol_elements(protocol, wrong, comment=each == count - 1)) for each in range(count)]
    if elements and draw(st.integers(0, 4)) == 0:
        elements.append(draw(protocol_elements(draw(st.sampled_from(sorted(PROTOCOLS))))))
    if draw(st.integers(0, 6)) == 0:
        elements.insert(0, "<!-- a note --><unknown/>")
    priority = draw(
        st.one_of(st.just(""), st.integers(-1200, 1200).map(" priority='{}'".format), st.just(" priority='soon'"))
    )
    statematch = draw(st.sampled_from(("", " statematch='0'", " statematch='FALSE'", " statematch='true'")))
    action, direction = draw(st.sampled_from(ACTIONS)), draw(st.sampled_from(DIRECTIONS))
    return f"<rule action='{action}' direction='{direction}'{priority}{statematch}>{''.join(elements)}</rule>"


@st.composite
def filterrefs(draw: st.DrawFn) -> str:
    names = st.sampled_from(("IP", "IPMASK", "IPV6", "ip", "A_1", "A-1", ""))
    values = st.sampled_from(("10.0.0.1", "010.0.0.1", "10.0.0.0/24", "24", "FE80::1", "", "a b", "x"))
    parameters = draw(st.lists(st.tuples(names, values), max_size=4))
    body = "".join(f"<parameter name='{name}' value='{value}'/>" for name, value in parameters)
    return f"<filterref filter='{draw(st.sampled_from(('no-mac-spoofing', 'nobody')))}'>{body}</filterref>"


CHAINS = st.sampled_from(("root", "mac", "vlan", "stp", "stp-xyz", "arp", "rarp-1", "ipv4", "ipv4-ip", "ipv6_a.b:c"))


@st.composite
def filter_texts(draw: st.DrawFn, name: str = "scratch", wrong: bool = False) -> str:
    """XML of a filter that libvirt takes, nearly always; with `wrong` it may have values that it refuses."""
    chain = draw(st.one_of(st.just(""), CHAINS.map(" chain='{}'".format)))
    priority = draw(st.one_of(st.just(""), st.integers(-1000, 1000).map(" priority='{}'".format)))
    entries = draw(st.lists(st.one_of(rules(wrong), rules(wrong), filterrefs()), max_size=4))
    return f"<filter name='{name}'{chain}{priority}>\n  " + "\n  ".join(entries) + "\n</filter>"


def filters() -> st.SearchStrategy[NwFilter]:
    """Canonical filters."""
    return filter_texts().filter(_is_taken).map(parse_filter)


def _is_taken(text: str) -> bool:
    try:
        parse_filter(text)
    except FilterSyntax:
        return False
    return True
