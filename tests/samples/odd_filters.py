"""Odd ways to write a filter, each with a plain one that libvirt considers the same."""

from __future__ import annotations

from typing import NamedTuple


class Odd(NamedTuple):
    id: str
    odd: str
    plain: str


def rule(body: str, attributes: str = "") -> str:
    return f"<filter name='scratch' chain='root'><rule action='drop' direction='out'{attributes}>{body}</rule></filter>"


def reference(parameters: str) -> str:
    return f"<filter name='scratch' chain='root'><filterref filter='no-mac-spoofing'>{parameters}</filterref></filter>"


def _root(attributes: str) -> str:
    return f"<filter name='scratch'{attributes}/>"


def _value(id: str, element: str, odd: str, plain: str) -> Odd:
    return Odd(id, rule(element.format(odd)), rule(element.format(plain)))


_TOP = [
    Odd("comments", "<!-- a --><filter name='scratch'><!-- b --></filter><!-- c -->", _root("")),
    Odd("unknown-elements", "<filter name='scratch'><description>x</description><owner/></filter>", _root("")),
    Odd("unknown-attributes", _root(" chain='root' owner='me'"), _root("")),
    Odd("no-chain-is-root", _root(""), _root(" chain='root'")),
    Odd("empty-chain-is-root", _root(" chain=''"), _root(" chain='root'")),
    Odd("priority-without-chain", _root(" priority='300'"), _root("")),
    Odd("empty-priority", _root(" chain='mac' priority=''"), _root(" chain='mac'")),
    Odd("priority-zero-of-a-chain", _root(" chain='mac' priority='0'"), _root(" chain='mac'")),
    Odd("priority-with-blank-and-sign", _root(" chain='root' priority=' +7'"), _root(" chain='root' priority='7'")),
    Odd("chain-priority-mac", _root(" chain='mac-x'"), _root(" chain='mac-x' priority='-800'")),
    Odd("chain-priority-vlan", _root(" chain='vlan'"), _root(" chain='vlan' priority='-750'")),
    Odd("chain-priority-ipv4", _root(" chain='ipv4-ip'"), _root(" chain='ipv4-ip' priority='-700'")),
    Odd("chain-priority-ipv6", _root(" chain='ipv6'"), _root(" chain='ipv6' priority='-600'")),
    Odd("chain-priority-arp", _root(" chain='arp'"), _root(" chain='arp' priority='-500'")),
    Odd("chain-priority-rarp", _root(" chain='rarp'"), _root(" chain='rarp' priority='-400'")),
    Odd("chain-priority-stp", _root(" chain='stp'"), _root(" chain='stp' priority='0'")),
    Odd(
        "uuid-without-dashes",
        "<filter name='scratch'><uuid> AD1EB401b1c64ffcb52303cf81999930 </uuid></filter>",
        _root(""),
    ),
    Odd("empty-uuid", "<filter name='scratch'><uuid/></filter>", _root("")),
    Odd(
        "declaration-and-blank",
        "<?xml version='1.0' encoding='UTF-8'?>\n\n<filter\n name = \"scratch\"\n></filter>\n",
        _root(""),
    ),
    Odd("cdata-and-instructions", "<filter name='scratch'><?x y?><![CDATA[<rule/>]]></filter>", _root("")),
    Odd(
        "namespace",
        "<filter name='scratch' xmlns:x='urn:x'><x:rule x:action='drop' direction='in'/></filter>",
        "<filter name='scratch'><rule action='drop' direction='in'/></filter>",
    ),
]

_RULES = [
    Odd("default-priority", rule(""), rule("", " priority='500'")),
    Odd("priority-out-of-range", rule("", " priority='1001'"), rule("", " priority='500'")),
    Odd("priority-not-a-number", rule("", " priority='high'"), rule("", " priority='500'")),
    Odd("statematch-zero", rule("", " statematch='0'"), rule("", " statematch='false'")),
    Odd("statematch-case", rule("", " statematch='FALSE'"), rule("", " statematch='false'")),
    Odd("statematch-other", rule("", " statematch='no'"), rule("")),
    Odd("first-protocol-wins", rule("<ip protocol='tcp'/><tcp dstportstart='22'/>"), rule("<ip protocol='tcp'/>")),
    Odd("unknown-before-protocol", rule("<nothing/><ip/>"), rule("<ip/>")),
    Odd(
        "repeats-merge",
        rule("<ip protocol='tcp'/><ip srcportstart='1'/>"),
        rule("<ip protocol='tcp' srcportstart='1'/>"),
    ),
    Odd(
        "later-overrides",
        rule("<ip srcipaddr='10.0.0.1'/><ip srcipaddr='10.0.0.2'/>"),
        rule("<ip srcipaddr='10.0.0.2'/>"),
    ),
    Odd(
        "later-overrides-sign",
        rule("<ip match='no' srcipaddr='10.0.0.1'/><ip srcipaddr='10.0.0.2'/>"),
        rule("<ip srcipaddr='10.0.0.2'/>"),
    ),
    Odd(
        "signs-in-any-order",
        rule("<ip match='no' dstipaddr='10.0.0.1'/><ip srcipaddr='10.0.0.2'/>"),
        rule("<ip srcipaddr='10.0.0.2'/><ip match='no' dstipaddr='10.0.0.1'/>"),
    ),
    Odd(
        "signs-alternate",
        rule("<ip srcipaddr='10.0.0.2' dscp='1'/><ip match='no' dstipaddr='10.0.0.1'/>"),
        rule("<ip srcipaddr='10.0.0.2'/><ip match='no' dstipaddr='10.0.0.1'/><ip dscp='1'/>"),
    ),
    Odd("match-exact-case", rule("<ip match='No' srcipaddr='10.0.0.1'/>"), rule("<ip srcipaddr='10.0.0.1'/>")),
    Odd("match-no-alone", rule("<ip match='no'/>"), rule("<ip/>")),
    Odd("match-lost-dstport", rule("<tcp match='no' dstportstart='22'/>"), rule("<tcp dstportstart='22'/>")),
    Odd(
        "match-lost-mask",
        rule("<ip srcipaddr='10.0.0.0'/><ip match='no' srcipmask='8'/>"),
        rule("<ip srcipaddr='10.0.0.0' srcipmask='8'/>"),
    ),
    Odd(
        "match-gained-mask",
        rule("<ip match='no' srcipaddr='10.0.0.0'/><ip srcipmask='8'/>"),
        rule("<ip match='no' srcipaddr='10.0.0.0' srcipmask='8'/>"),
    ),
    Odd("match-lost-icmp-code", rule("<icmp match='no' code='1'/>"), rule("<icmp code='1'/>")),
    Odd(
        "match-lost-port-end",
        rule("<udp srcportstart='1'/><udp match='no' srcportend='9'/>"),
        rule("<udp srcportstart='1' srcportend='9'/>"),
    ),
    Odd("ipset-outside-all", rule("<tcp ipset='x' ipsetflags='src'/>"), rule("<tcp/>")),
    Odd("ipset-without-flags", rule("<tcp ipset='x'/>"), rule("<tcp/>")),
    Odd(
        "ipset-flags-case", rule("<all ipset='x' ipsetflags='SRC,Dst'/>"), rule("<all ipset='x' ipsetflags='src,dst'/>")
    ),
    Odd(
        "ipset-flags-six",
        rule("<all ipsetflags='src,src,src,src,src,src,'/>"),
        rule("<all ipsetflags='src,src,src,src,src,src'/>"),
    ),
    Odd(
        "attribute-order",
        rule("<ip protocol='tcp' dstipaddr='10.0.0.1'/>"),
        rule("<ip dstipaddr='10.0.0.1' protocol='tcp'/>"),
    ),
    Odd("attribute-of-other-protocol", rule("<tcp-ipv6 flags='SYN/SYN'/>"), rule("<tcp-ipv6/>")),
]

_VALUES = [
    _value("ipv4-octal", "<ip srcipaddr='{}'/>", "010.1.2.3", "8.1.2.3"),
    _value("ipv4-short", "<ip srcipaddr='{}'/>", "10.1", "10.0.0.1"),
    _value("ipv4-hexadecimal", "<ip srcipaddr='{}'/>", "0x0a.0.0.1", "10.0.0.1"),
    _value("ipv4-mapped", "<ip srcipaddr='{}'/>", "::ffff:10.0.0.1", "10.0.0.1"),
    _value("ipv6-zeros", "<ipv6 srcipaddr='{}'/>", "0::0", "::"),
    _value("ipv6-case", "<ipv6 srcipaddr='{}'/>", "2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
    _value("ipv6-dotted", "<ipv6 srcipaddr='{}'/>", "::0102:0304", "::1.2.3.4"),
    _value("ipv6-mapped", "<ipv6 srcipaddr='{}'/>", "::ffff:a00:1", "::ffff:10.0.0.1"),
    _value("mask-dotted", "<ip srcipaddr='10.0.0.1' srcipmask='{}'/>", "255.255.255.0", "24"),
    _value("mask-hexadecimal", "<ip srcipaddr='10.0.0.1' srcipmask='{}'/>", "0xffff0000", "16"),
    _value("mask-leading-zero", "<ip srcipaddr='10.0.0.1' srcipmask='{}'/>", "08", "8"),
    _value("mask-wraps", "<ip srcipaddr='10.0.0.1' srcipmask='{}'/>", "-4294967288", "8"),
    _value("mask-ipv6", "<ipv6 srcipaddr='::1' srcipmask='{}'/>", "ffff:ffff::", "32"),
    _value("mac-short", "<mac srcmacaddr='{}'/>", "1:2:A:B:0c:D", "01:02:0a:0b:0c:0d"),
    _value("number-leading-zero", "<ip protocol='tcp' dstportstart='{}'/>", "080", "80"),
    _value("number-hexadecimal", "<ip protocol='tcp' dstportstart='{}'/>", "0x50", "80"),
    _value("number-bare-hexadecimal", "<ip protocol='tcp' dstportstart='{}'/>", "ff", "255"),
    _value("number-blank-and-sign", "<ip protocol='tcp' dstportstart='{}'/>", " +80", "80"),
    _value("number-wraps", "<stp root-cost='{}'/>", "-1", "4294967295"),
    _value("ethertype-name", "<mac protocolid='{}'/>", "0x800", "ipv4"),
    _value("ethertype-decimal", "<mac protocolid='{}'/>", "2054", "arp"),
    _value("ethertype-case", "<mac protocolid='{}'/>", "IPv6", "ipv6"),
    _value("ethertype-notation", "<mac protocolid='{}'/>", "35020", "0x88cc"),
    _value("encapsulated", "<vlan encap-protocol='{}'/>", "0x0806", "arp"),
    _value("ip-protocol-number", "<ip protocol='{}'/>", "17", "udp"),
    _value("ip-protocol-hexadecimal", "<ipv6 protocol='{}'/>", "0x3a", "icmpv6"),
    _value("ip-protocol-case", "<ip protocol='{}'/>", "TCP", "tcp"),
    _value("arp-opcode-number", "<arp opcode='{}'/>", "1", "Request"),
    _value("arp-opcode-case", "<arp opcode='{}'/>", "reply", "Reply"),
    _value("arp-opcode-other", "<arp opcode='{}'/>", "0x10", "16"),
    _value("gratuitous-yes", "<arp gratuitous='{}'/>", "yes", "true"),
    _value("gratuitous-other", "<arp gratuitous='{}'/>", "TRUE", "false"),
    _value("state-order", "<tcp state='{}'/>", "related,NEW, established", "NEW,ESTABLISHED,RELATED"),
    _value("state-without-separator", "<tcp state='{}'/>", "newinvalid", "NEW,INVALID"),
    _value("state-none", "<tcp state='{}'/>", "NEW,NONE", "NONE"),
    _value("state-empty", "<tcp state='{}'/>", " , ", ""),
    _value("flags-order", "<tcp flags='{}'/>", "ack,syn/SYN", "SYN,ACK/SYN"),
    _value("flags-all", "<tcp flags='{}'/>", "SYN,ACK,RST,FIN,URG,PSH/NONE", "ALL/NONE"),
    _value("flags-empty", "<tcp flags='{}'/>", "/", "NONE/NONE"),
    _value("variable-default-iterator", "<ip srcipaddr='{}'/>", "$A[@0]", "$A"),
    _value("variable-blanks", "<ip srcipaddr='{}'/>", "$A[ 1 ]", "$A[1]"),
    _value("variable-iterator", "<ip srcipaddr='{}'/>", "$A[@ 07]", "$A[@7]"),
    _value("variable-tail", "<ip srcipaddr='{}'/>", "$A[1].1", "$A[1]"),
    _value("comment-cut", "<ip comment='{}'/>", "x" * 300, "x" * 256),
    _value("comment-line-break", "<ip comment='{}'/>", "a&#13;&#10;b&#9;c\nd", "a b c d"),
]

_PARAMETERS = [
    Odd(
        "parameters-sorted",
        reference("<parameter name='b' value='1'/><parameter name='B' value='2'/><parameter name='b' value='0'/>"),
        reference("<parameter name='B' value='2'/><parameter name='b' value='1'/><parameter name='b' value='0'/>"),
    ),
    Odd("parameter-cidr-vanishes", reference("<parameter name='IP' value='10.9.0.0/24'/>"), reference("")),
    Odd("parameter-empty-vanishes", reference("<parameter name='IP' value=''/>"), reference("")),
    Odd("parameter-bad-name-vanishes", reference("<parameter name='I-P' value='1'/>"), reference("")),
    Odd("parameter-without-value-vanishes", reference("<parameter name='IP'/>"), reference("")),
    Odd(
        "parameter-unknown-elements",
        reference("<x/><parameter name='IP' value='1' y='2'/>"),
        reference("<parameter name='IP' value='1'/>"),
    ),
]

ODD_FILTERS = (*_TOP, *_RULES, *_VALUES, *_PARAMETERS)

DIFFERENT = (
    (
        "order-of-entries",
        "<filter name='f'><filterref filter='a'/><filterref filter='b'/></filter>",
        "<filter name='f'><filterref filter='b'/><filterref filter='a'/></filter>",
    ),
    (
        "order-of-values",
        reference("<parameter name='A' value='1'/><parameter name='A' value='2'/>"),
        reference("<parameter name='A' value='2'/><parameter name='A' value='1'/>"),
    ),
    (
        "duplicate-values",
        reference("<parameter name='A' value='1'/><parameter name='A' value='1'/>"),
        reference("<parameter name='A' value='1'/>"),
    ),
    (
        "values-are-not-normalised",
        reference("<parameter name='A' value='010.0.0.1'/>"),
        reference("<parameter name='A' value='8.0.0.1'/>"),
    ),
    ("case-of-parameters", reference("<parameter name='a' value='1'/>"), reference("<parameter name='A' value='1'/>")),
    ("sign", rule("<ip match='no' srcipaddr='10.0.0.1'/>"), rule("<ip srcipaddr='10.0.0.1'/>")),
    ("host-bits", rule("<ip srcipaddr='10.0.0.1' srcipmask='8'/>"), rule("<ip srcipaddr='10.0.0.0' srcipmask='8'/>")),
    ("no-match-and-empty-match", rule(""), rule("<mac/>")),
    ("statematch", rule("", " statematch='false'"), rule("")),
    ("rule-priority", rule("", " priority='499'"), rule("")),
    ("ip-and-tcp", rule("<ip/>"), rule("<all/>")),
    ("elements-of-a-list", rule("<ip srcipaddr='$A[0]'/>"), rule("<ip srcipaddr='$A'/>")),
    ("iterators", rule("<ip srcipaddr='$A[@1]'/>"), rule("<ip srcipaddr='$A'/>")),
    ("chain", _root(" chain='ipv4'"), _root(" chain='ipv4-ip'")),
    ("priority", _root(" chain='ipv4' priority='-699'"), _root(" chain='ipv4'")),
)
"""Pairs that libvirt tells apart: (id, one, other)."""


class Refused(NamedTuple):
    """What libvirt refuses; `¦` marks where."""

    id: str
    text: str


def _refused(id: str, body: str) -> Refused:
    return Refused(id, rule(body))


REFUSED = (
    Refused("filter-root", "<!-- x -->\n¦<filters name='scratch'/>"),
    Refused("filter-name-missing", "¦<filter chain='root'/>"),
    Refused("filter-name-missing", "¦<filter name=''/>"),
    Refused("filter-chain", "<filter name='scratch' chain='¦input'/>"),
    Refused("filter-chain", "<filter name='scratch' chain='¦root-x'/>"),
    Refused("filter-chain", "<filter name='scratch' chain='¦ipv4-too-long'/>"),
    Refused("filter-chain", "<filter name='scratch' chain='¦ipv4 x'/>"),
    Refused("filter-priority", "<filter name='scratch' chain='mac' priority='¦1001'/>"),
    Refused("filter-priority", "<filter name='scratch' priority='¦-1001'/>"),
    Refused("filter-priority", "<filter name='scratch' priority='¦high'/>"),
    Refused("filter-uuid", "<filter name='scratch'>\n  ¦<uuid>6d1eb401</uuid>\n</filter>"),
    Refused("filter-rule-action", "<filter name='scratch'>\n\t¦<rule direction='in'/></filter>"),
    Refused("filter-rule-action", "<filter name='scratch'><rule action='¦Drop' direction='in'/></filter>"),
    Refused("filter-rule-direction", "<filter name='scratch'>¦<rule action='drop'/></filter>"),
    Refused("filter-rule-direction", "<filter name='scratch'><rule action='drop'\n  direction='¦both'/></filter>"),
    Refused("filter-reference-missing", "<filter name='scratch'>¦<filterref/></filter>"),
    _refused("filter-address-cidr", "<ip srcipaddr='¦10.0.0.0/8'/>"),
    _refused("filter-address-cidr", "<ipv6 srcipaddr='¦2001:db8::/32'/>"),
    _refused("filter-attribute-value", "<ip srcipaddr='¦10.0.0.256'/>"),
    _refused("filter-attribute-value", "<ip srcipaddr='¦10.0.0.1 '/>"),
    _refused("filter-attribute-value", "<ip srcipaddr='¦localhost'/>"),
    _refused("filter-attribute-value", "<ip srcipaddr='¦'/>"),
    _refused("filter-attribute-value", "<ip srcipaddr='¦::1'/>"),
    _refused("filter-attribute-value", "<ipv6 srcipaddr='¦10.0.0.1'/>"),
    _refused("filter-attribute-value", "<ip srcipmask='¦33'/>"),
    _refused("filter-attribute-value", "<ip srcipmask='¦255.0.255.0'/>"),
    _refused("filter-attribute-value", "<ipv6 srcipmask='¦129'/>"),
    _refused("filter-attribute-value", "<tcp-ipv6 dstipfrom='::1' dstipto='¦::2'/>"),
    _refused("filter-attribute-value", "<mac srcmacaddr='¦01-02-03-04-05-06'/>"),
    _refused("filter-attribute-value", "<mac srcmacmask='¦ff:00:ff:00:00:00'/>"),
    _refused("filter-attribute-value", "<mac protocolid='¦0x5ff'/>"),
    _refused("filter-attribute-value", "<mac protocolid='¦0800'/>"),
    _refused("filter-attribute-value", "<vlan vlanid='¦4096'/>"),
    _refused("filter-attribute-value", "<vlan encap-protocol='¦0x3b'/>"),
    _refused("filter-attribute-value", "<ip dscp='¦64'/>"),
    _refused("filter-attribute-value", "<ip protocol='¦256'/>"),
    _refused("filter-attribute-value", "<ip protocol='¦dccp'/>"),
    _refused("filter-attribute-value", "<tcp dstportstart='¦65536'/>"),
    _refused("filter-attribute-value", "<tcp dstportstart='¦0x'/>"),
    _refused("filter-attribute-value", "<tcp dstportstart='¦http'/>"),
    _refused("filter-attribute-value", "<tcp connlimit-above='¦0x10'/>"),
    _refused("filter-attribute-value", "<tcp state='¦OLD'/>"),
    _refused("filter-attribute-value", "<tcp flags='¦SYN'/>"),
    _refused("filter-attribute-value", "<arp opcode='¦ask'/>"),
    _refused("filter-attribute-value", "<all ipset='¦a/b'/>"),
    _refused("filter-attribute-value", f"<all ipset='¦{'x' * 32}'/>"),
    _refused("filter-attribute-value", "<all ipsetflags='¦src,'/>"),
    _refused("filter-attribute-value", "<all ipsetflags='¦'/>"),
    _refused("filter-attribute-value", "<ip srcipaddr='¦$A-B'/>"),
    _refused("filter-attribute-value", "<ip srcipaddr='¦$A[x]'/>"),
    _refused("filter-attribute-value", "<ip srcipaddr='¦$A[1'/>"),
    _refused("filter-attribute-value", "<ip srcipaddr='¦$A[@1001]'/>"),
    _refused("filter-attribute-value", "<ip comment='¦$5 fee'/>"),
    _refused("filter-port-protocol", "¦<ip srcportstart='22'/>"),
    _refused("filter-port-protocol", "¦<ip protocol='icmp' dstportstart='22'/>"),
    _refused("filter-port-protocol", "¦<ip srcportstart='22'/><ip protocol='tcp'/>"),
    _refused("filter-port-protocol", "¦<ipv6 protocol='$P' dstportend='22'/>"),
)
