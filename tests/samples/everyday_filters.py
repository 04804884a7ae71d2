"""Filters as administrators write them, in the many ways in which they write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

SHORTHAND = """
# what a server offers, and what it may ask for
root; accept in <tcp dstportstart='80'/>; accept in <tcp dstportstart='443'/>; accept in <tcp-ipv6 dstportstart='443'/>
root; accept in <tcp dstportstart='22' srcipaddr='192.0.2.0' srcipmask='24'/>
root; accept out <udp dstportstart='53' dstipaddr='192.0.2.53'/>; accept out <udp dstportstart='123'/>
root; accept in <tcp dstportstart='30000' dstportend='32767' state='NEW,ESTABLISHED'/>
root; accept out <tcp dstportstart='3306' dstipfrom='10.1.0.10' dstipto='10.1.0.20'/>
root; drop out <tcp dstportstart='25'/>; drop out <tcp-ipv6 dstportstart='25'/>
root; drop out <tcp flags='SYN,ACK/SYN' connlimit-above='20'/>
root; reject out <tcp dstportstart='6000' dstportend='6063' comment='no X11'/>
# states
root; accept inout <all state='ESTABLISHED,RELATED'/>; accept inout <all-ipv6 state='ESTABLISHED,RELATED'/>
root; drop in 999 <all/>; drop in 999 <all-ipv6/>
# messages
root; accept in <icmp type='8' code='0'/>; accept in <icmpv6 type='128' code='0'/>
root; accept out <icmp type='3'/>; accept out <igmp dstipaddr='224.0.0.22'/>
root; drop out <ipv6 protocol='icmpv6' type='134'/>; drop out <ipv6 protocol='icmpv6' type='137'/>
ipv6; accept out <ipv6 srcipaddr='::' dstipaddr='ff02::1:ff00:0' dstipmask='104'/>
ipv6; accept out <ipv6 protocol='58' type='133' typeend='136' code='0' codeend='0'/>
# other protocols
root; accept inout <esp/>; accept inout <ah/>; accept inout <esp-ipv6/>; accept inout <ah-ipv6/>
root; accept inout <sctp dstportstart='2905'/>; accept inout <sctp-ipv6 srcportstart='2905'/>; drop in <udplite/>
root; accept out <ip protocol='47' dstipaddr='198.51.100.7'/>; accept out <ip protocol='89'/>; drop in <udplite-ipv6/>
root; accept out <ip protocol='udp' dscp='46' srcportstart='16384' srcportend='32767'/>
root; accept out <all ipset='allowed-peers' ipsetflags='dst'/>
# spoofing
mac; drop out <mac match='no' srcmacaddr='$MAC'/>
ipv4-ip -710; return out 400 <ip srcipaddr='$IP'/>; drop out 1000
ipv6-ip -610; return out <ipv6 srcipaddr='$IPV6' srcipmask='$IPV6MASK'/>; drop out 1000
arp-own; return out <arp arpsrcmacaddr='$MAC' arpsrcipaddr='$IP' opcode='Reply'/>; drop out 900 <arp/>
arp; accept out <arp gratuitous='true'/>; accept out <arp opcode='Request' hwtype='1' protocoltype='0x800'/>
rarp; accept out <rarp srcmacaddr='$MAC' dstmacaddr='ff:ff:ff:ff:ff:ff' opcode='Request_Reverse'/>
ipv4; accept out <ip srcipaddr='$IP[@1]' dstipaddr='$PEERS[@2]'/>; accept in <ip dstipaddr='$IP[0]'/>
# the link
root; drop inout <stp type='0x80' root-priority='0' root-priority-hi='4096'/>
root; drop out <vlan vlanid='100' encap-protocol='ipv4'/>; drop out <mac protocolid='vlan'/>
root; drop inout <mac dstmacaddr='01:80:c2:00:00:00' dstmacmask='ff:ff:ff:00:00:00'/>
root; accept out <mac protocolid='0x88cc'/>; accept in <mac protocolid='ipv6'/>; drop inout 1000
mac-gw; drop in <mac match='no' srcmacaddr='$GATEWAY_MAC'/>
# other filters
root; use no-mac-spoofing; use no-arp-spoofing; use allow-dhcp-server DHCPSERVER=192.0.2.1; accept inout -1000
root; use clean-traffic IP=192.0.2.10 IP=192.0.2.11
root; use allow-arp; continue inout <ip dstipaddr='255.255.255.255'/>
"""
"""A filter a line: its chain and priority, then its entries."""

_STEP = re.compile(r"(\w+) (\w+)(?: (-?\d+))?(?: (<.*>))?")


def _filter(line: str) -> str:
    head, *entries = line.split("; ")
    chain, _, priority = head.partition(" ")
    attributes = f" priority='{priority}'" if priority else ""
    body = "".join(f"\n  {_entry(entry)}" for entry in entries)
    return f"<filter name='scratch' chain='{chain}'{attributes}>{body}\n</filter>\n"


def _entry(text: str) -> str:
    if text.startswith("use "):
        name, *variables = text.split()[1:]
        pairs = (variable.split("=") for variable in variables)
        parameters = "".join(f"<parameter name='{key}' value='{value}'/>" for key, value in pairs)
        return f"<filterref filter='{name}'>{parameters}</filterref>"
    step = _STEP.fullmatch(text)
    assert step is not None, text
    priority = f" priority='{step[3]}'" if step[3] else ""
    return f"<rule action='{step[1]}' direction='{step[2]}'{priority}>{step[4] or ''}</rule>"


BODIES = tuple(_filter(line) for line in SHORTHAND.splitlines() if line and not line.startswith("#"))


def _several_lines(text: str) -> str:
    return re.sub(r"' (?=[a-z])", "'\n\t\t", text)


def _attributes_from_behind(text: str) -> str:
    def turned(tag: re.Match[str]) -> str:
        attributes = re.findall(r"[^ ]+='[^']*'", tag[2])
        return f"<{tag[1]} {' '.join(reversed(attributes))}{tag[3]}>"

    return re.sub(r"<([a-z0-9-]+) ([^<>]*?)(/?)>", turned, text)


def _defaults_said(text: str) -> str:
    return re.sub(r"<(ip|ipv6|tcp|udp|mac|arp|all)(?= (?!match))", r"<\1 match='yes'", text)


def _hexadecimal_ports(text: str) -> str:
    return re.sub(r"(port(?:start|end))='(\d+)'", lambda found: f"{found[1]}='{int(found[2]):#x}'", text)


def _with_uuid(text: str) -> str:
    return re.sub("(<filter [^>]*>)", r"\1<uuid>4f3b1c1e-9a54-4c0f-8d7e-0123456789ab</uuid>", text, count=1)


STYLES: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    lambda text: text.replace("'", '"'),
    lambda text: f"<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE.\n-->\n\n{_with_uuid(text)}",
    lambda text: f"<?xml version='1.0' encoding='utf-8'?>\n{text}".replace("\n", "\r\n"),
    _several_lines,
    _attributes_from_behind,
    lambda text: re.sub("'([0-9a-f:]+:[0-9a-f:]*)'", lambda found: found[0].upper(), text),
    _defaults_said,
    _hexadecimal_ports,
    lambda text: text.replace("<rule", "<!-- é — ‘x’ --><rule").replace("</rule>", "<!----></rule>"),
)


def everyday_filters() -> Iterator[str]:
    for body in BODIES:
        yield from dict.fromkeys(style(body) for style in STYLES)
