"""Rules as the libvirt of other releases makes them: what is captured, and how it is kept.

`make capture` builds the same filters on a lab of each release and writes what the kernel then has to a folder of
`captured`: `host.json` (releases of the programs, and each port's filter), `filters/` as libvirt holds them, and the
texts of the programs that print rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from interfaces import MAC, SPECIAL, filterref, interface

from reconciler.model.filter import FilterRef, NwFilter, canonical_parameters
from reconciler.model.kernel import Backend, Family, KernelRules
from reconciler.nwfilter.ebtables import parse_ebtables
from reconciler.nwfilter.iptables import parse_iptables
from reconciler.nwfilter.nftables import parse_nftables
from reconciler.nwfilter.parse import parse_filter

FOLDER = Path(__file__).parent / "captured"
SYSTEMS = (("trixie", Backend.IPTABLES), ("sid", Backend.IPTABLES), ("sid", Backend.NFTABLES))

PROGRAMS: Mapping[Backend, Mapping[str, tuple[str, ...]]] = {
    Backend.IPTABLES: {f"{each}.txt": (each,) for each in ("ebtables-save", "iptables-save", "ip6tables-save")},
    Backend.NFTABLES: {"nft.json": ("nft", "-j", "list", "ruleset", "bridge")},
}
"""What prints the rules, by the file that it is kept in."""

FRAMES = """\
<filter name='sample-frames' chain='root'>
  <rule action='accept' direction='out' priority='100'><mac srcmacaddr='$MAC' protocolid='0x88b5'/></rule>
  <rule action='drop' direction='out'><mac match='no' srcmacaddr='$MAC'/></rule>
  <rule action='drop' direction='in'><mac srcmacaddr='52:54:00:00:00:00' srcmacmask='ff:ff:ff:00:00:00'/></rule>
  <rule action='drop' direction='inout'><vlan vlanid='7'/></rule>
  <rule action='drop' direction='out'><vlan encap-protocol='0x1000'/></rule>
  <rule action='drop' direction='out'><stp root-cost='0' root-priority='128' root-priority-hi='200'/></rule>
  <rule action='accept' direction='inout'><arp opcode='1' arpsrcipaddr='$IP'/></rule>
  <rule action='accept' direction='out'><arp gratuitous='true'/></rule>
  <rule action='drop' direction='out'><arp arpsrcipaddr='10.0.0.0' arpsrcipmask='24' arpdstipaddr='10.0.1.1'/></rule>
  <rule action='accept' direction='out'><rarp opcode='3' arpsrcmacaddr='$MAC' arpsrcipaddr='10.0.0.1'/></rule>
  <rule action='reject' direction='out'><ip protocol='udp' srcportstart='68' dstportstart='22' dstportend='68'/></rule>
  <rule action='accept' direction='inout'><ip srcipaddr='$IP' srcipmask='$IPMASK' dscp='0'/></rule>
  <rule action='drop' direction='out'><ip match='no' dstipaddr='10.0.1.1'/></rule>
  <rule action='drop' direction='out'><ipv6 protocol='icmpv6' type='135'/></rule>
  <rule action='drop' direction='out'><ipv6 protocol='tcp' dstportstart='22'/></rule>
  <rule action='accept' direction='inout'><ipv6 srcipaddr='$IPV6' srcipmask='64'/></rule>
  <rule action='drop' direction='inout' priority='1000'/>
</filter>
"""
PACKETS = """\
<filter name='sample-packets' chain='root'>
  <rule action='drop' direction='out' statematch='false'>
    <tcp dstportstart='22' dstportend='53' comment='a "quoted" word'/>
  </rule>
  <rule action='accept' direction='inout' statematch='false'><udp srcipaddr='$IP' srcipmask='$IPMASK'/></rule>
  <rule action='accept' direction='out' statematch='false'><udp-ipv6 srcipfrom='fe80::1' srcipto='fe80::9'/></rule>
  <rule action='drop' direction='in' statematch='false'><icmp type='8'/></rule>
  <rule action='drop' direction='out' statematch='false'><icmpv6 type='128'/></rule>
  <rule action='return' direction='out' statematch='false'><tcp flags='SYN/SYN' dscp='0'/></rule>
  <rule action='reject' direction='out' statematch='false' priority='900'><all/></rule>
  <rule action='drop' direction='out' statematch='false' priority='900'><all-ipv6 dstipaddr='2001:db8::2'/></rule>
</filter>
"""
STATES = """\
<filter name='sample-states' chain='root'>
  <rule action='accept' direction='out'><tcp dstportstart='22'/></rule>
  <rule action='accept' direction='in'><udp srcportstart='53'/></rule>
  <rule action='accept' direction='inout'><icmp type='8'/></rule>
  <rule action='drop' direction='out'><tcp state='NEW' dstportstart='1000'/></rule>
  <rule action='drop' direction='out'><all connlimit-above='5'/></rule>
</filter>
"""
ONE_CHAIN = "<filter name='sample-{0}' chain='{0}' priority='{1}'>{2}</filter>"
CHAINS = (
    ONE_CHAIN.format("ipv4-x", -650, "<rule action='return' direction='inout'><ip srcipaddr='$IP'/></rule>"),
    ONE_CHAIN.format("ipv6", -700, "<rule action='continue' direction='out'><ipv6/></rule>"),
    ONE_CHAIN.format("mac-y", 300, "<rule action='drop' direction='in' priority='-900'><mac protocolid='arp'/></rule>"),
    ONE_CHAIN.format("vlan", -650, "<rule action='drop' direction='out'><vlan vlanid='8'/></rule>"),
    """<filter name='sample-chains' chain='root'>
      <filterref filter='sample-mac-y'/><filterref filter='sample-vlan'/><filterref filter='sample-ipv6'/>
      <rule action='accept' direction='out' priority='-680'><arp/></rule>
      <filterref filter='sample-ipv4-x'><parameter name='IP' value='10.0.1.1'/></filterref>
      <rule action='drop' direction='out' priority='250'><ip dstipaddr='10.0.0.2'/></rule>
      <rule action='drop' direction='out' priority='950'><ipv6 dstipaddr='2001:db8::2'/></rule>
    </filter>""",
)
OWN_FILTERS = (FRAMES, PACKETS, STATES, *CHAINS)

_VALUES = canonical_parameters(
    (("IP", "10.0.0.1"), ("IP", "10.0.0.2"), ("IPMASK", "32"), ("IPMASK", "24"), ("IPV6", "2001:db8::1"))
)
SUBJECTS = {
    "p1": interface(["10.0.0.10", "10.0.1.16/29"], ["2001:db8::10", "2001:db8:5::/64"]),
    "p2": next(each for each in SPECIAL if each.filter == "guest-gateway"),
}
"""Interfaces of the example site's kind: their ports are judged by their batteries."""

PORTS: Mapping[str, FilterRef] = {
    "p0": FilterRef("clean-traffic", canonical_parameters((("IP", "10.0.0.1"), ("CTRL_IP_LEARNING", "none")))),
    **{port: filterref(subject) for port, subject in SUBJECTS.items()},
    "p3": FilterRef("sample-frames", _VALUES),
    "p4": FilterRef("sample-packets", _VALUES),
    "p5": FilterRef("sample-chains", _VALUES),
    "p6": FilterRef("sample-states", ()),
}
NOT_TRACKED = "p6"
"""Left out where the kernel of the machine that captured cannot track connections of bridges (nf_conntrack_bridge)."""


@dataclass(frozen=True)
class Capture:
    """What one release made of the filters of `PORTS`."""

    folder: Path

    @property
    def backend(self) -> Backend:
        return Backend(self.folder.name.partition("-")[2])

    def ports(self) -> Iterator[tuple[str, FilterRef]]:
        host = json.loads((self.folder / "host.json").read_text())
        for port, of_port in host["ports"].items():
            yield port, FilterRef(of_port["filter"], tuple((name, value) for name, value in of_port["parameters"]))

    def filters(self) -> dict[str, NwFilter]:
        found = (parse_filter(path.read_bytes(), path.name) for path in sorted((self.folder / "filters").iterdir()))
        return {definition.name: definition for definition in found}

    def text(self, file: str) -> str:
        return (self.folder / file).read_text()

    def rules(self, **changed: str) -> KernelRules:
        """The rules as the reader of a host has them; `changed` are texts to take in place of the files'."""
        names = {file: Path(file).stem.replace("-", "_") for file in PROGRAMS[self.backend]}
        texts = {file: changed.get(name, self.text(file)) for file, name in names.items()}
        if self.backend is Backend.NFTABLES:
            ethernet, inet = parse_nftables(texts["nft.json"])
            return KernelRules(ethernet, inet=inet)
        ipv4 = parse_iptables(texts["iptables-save.txt"], Family.IPV4)
        ipv6 = parse_iptables(texts["ip6tables-save.txt"], Family.IPV6)
        return KernelRules(parse_ebtables(texts["ebtables-save.txt"]), ipv4, ipv6)


def captures() -> tuple[Capture, ...]:
    return tuple(map(Capture, sorted(path for path in FOLDER.iterdir() if path.is_dir())))


__all__ = ["FOLDER", "MAC", "NOT_TRACKED", "OWN_FILTERS", "PORTS", "PROGRAMS", "SUBJECTS", "SYSTEMS", "Capture"]
