"""Changes that somebody makes behind the reconciler's back, on each layer of a running host.

Each edit is made by libvirt's or the kernel's own tools. A telling one changes what becomes of some frame, and says
where it must be found; an idle one changes nothing that the site owns.
"""

from __future__ import annotations

import random
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from xml.etree import ElementTree

import libvirt

from reconciler.lab.handle import Lab


@dataclass(frozen=True)
class Edit:
    """What was done, and where it must show: the object, the layer, and how the field's name begins."""

    words: str
    make: Callable[[], object]
    object: str = ""
    layer: str = ""
    field: str = ""


class Hand:
    """A careless administrator on one host; `random` decides what it does next."""

    def __init__(self, lab: Lab, connection: libvirt.virConnect, rng: random.Random) -> None:
        self._lab = lab
        self._connection = connection
        self._random = rng

    def telling(self) -> Edit:
        kinds = (
            self._address_of_guard, self._shared_rule, self._stored_filterref, self._stored_mac, self._stored_bridge,
            self._running_filterref, self._binding, self._rule_deleted, self._rule_inserted, self._chain_flushed,
            self._jump_deleted, self._rule_before, self._packet_rule,
        )  # fmt: skip
        return self._random.choice(kinds)()

    def idle(self) -> Edit:
        kinds = (
            self._guard_written_anew, self._filter_written_anew, self._stored_notes, self._stored_settings,
            self._running_settings, self._strange_rules, self._unused_chain,
        )  # fmt: skip
        return self._random.choice(kinds)()

    # Definitions of filters.

    def _guards(self) -> list[str]:
        return sorted(name for name in self._connection.listNWFilters() if name.startswith("guard-"))

    def _filter_xml(self, name: str) -> str:
        return str(self._connection.nwfilterLookupByName(name).XMLDesc())

    def _redefine(self, xml: str) -> Callable[[], object]:
        return lambda: self._connection.nwfilterDefineXML(xml)

    def _address_of_guard(self) -> Edit:
        name = self._random.choice(self._guards())
        root = ElementTree.fromstring(self._filter_xml(name))
        reference = root.find("filterref")
        assert reference is not None
        addresses = [each for each in reference if each.get("name") in ("IP", "IPV6")]
        chosen = self._random.choice(addresses)
        kind = self._random.choice(("changed", "added"))
        variable, other = str(chosen.get("name")), "10.0.0.77" if chosen.get("name") == "IP" else "2001:db8::77"
        if kind == "changed":
            chosen.set("value", other)
        else:
            ElementTree.SubElement(reference, "parameter", name=variable, value=other)
            mask = "32" if variable == "IP" else "128"
            if any(each.get("name") == f"{variable}MASK" for each in reference):
                ElementTree.SubElement(reference, "parameter", name=f"{variable}MASK", value=mask)
        xml = ElementTree.tostring(root, encoding="unicode")
        return Edit(
            f"an address of {name} {kind}", self._redefine(xml), f"filter/{name}", "persistent", "parameters.IP"
        )

    def _shared_rule(self) -> Edit:
        name = self._random.choice(("guest-ipv4-source", "guest-arp", "guest-mac", "guest-ipv6-source"))
        root = ElementTree.fromstring(self._filter_xml(name))
        rules = root.findall("rule")
        chosen = self._random.choice(rules)
        kind = self._random.choice(("removed", "turned"))
        if kind == "removed":
            root.remove(chosen)
        else:
            chosen.set("action", "drop" if chosen.get("action") != "drop" else "accept")
        xml = ElementTree.tostring(root, encoding="unicode")
        return Edit(f"a rule of {name} {kind}", self._redefine(xml), f"filter/{name}", "persistent", "entries")

    def _guard_written_anew(self) -> Edit:
        name = self._random.choice(self._guards())
        root = ElementTree.fromstring(self._filter_xml(name))
        reference = root.find("filterref")
        assert reference is not None
        reference[:] = sorted(reference, key=lambda each: str(each.get("name")), reverse=True)
        root.insert(0, ElementTree.Comment("by hand"))
        xml = ElementTree.tostring(root, encoding="unicode")
        return Edit(f"{name} written in another order, with a comment", self._redefine(xml))

    def _filter_written_anew(self) -> Edit:
        name = self._random.choice(("guest-ipv4-source", "guest-arp", "guest-mac", "guest-serves-dhcpv4"))
        xml = self._filter_xml(name).replace("protocolid='arp'", "protocolid='0x806'")
        xml = re.sub(r"srcportstart='(\d+)'", lambda match: f"srcportstart='{int(match[1]):#x}'", xml)
        xml = xml.replace("<rule ", "<!-- x -->\n<rule foo='bar' ").replace("protocol='udp'", "protocol='17'")
        return Edit(f"{name} in other notations", self._redefine(xml))

    # Guests.

    def _domains(self) -> list[libvirt.virDomain]:
        return sorted(self._connection.listAllDomains(), key=lambda domain: str(domain.name()))

    def _stored(self, change: Callable[[str], str]) -> tuple[str, Callable[[], object]]:
        domain = self._random.choice(self._domains())
        before = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE)
        after = change(before)
        assert after != before, domain.name()
        return domain.name(), lambda: self._connection.defineXML(after)

    def _stored_filterref(self) -> Edit:
        choices = {
            "removed": lambda xml: re.sub(
                r"\s*<filterref(?:[^>]*/>|.*?</filterref>)", "", xml, count=1, flags=re.DOTALL
            ),
            "exchanged": lambda xml: re.sub(
                r"<filterref filter='[^']*'", "<filterref filter='clean-traffic'", xml, count=1
            ),
            "given a variable": lambda xml: re.sub(
                r"(<filterref filter='[^']*')(/>|>)",
                lambda match: (
                    f"{match[1]}><parameter name='IP' value='10.0.0.99'/>"
                    + ("</filterref>" if match[2] == "/>" else "")
                ),
                xml,
                count=1,
            ),
        }
        kind = self._random.choice(sorted(choices))
        name, make = self._stored(choices[kind])
        return Edit(f"the stored filterref of {name} {kind}", make, f"guest/{name}", "persistent", "52:54:")

    def _stored_mac(self) -> Edit:
        name, make = self._stored(
            lambda xml: re.sub(r"<mac address='52:54:00:00:00", "<mac address='52:54:00:00:99", xml)
        )
        return Edit(f"the stored MAC of {name} changed", make, f"guest/{name}", "persistent", "52:54:")

    def _stored_bridge(self) -> Edit:
        name, make = self._stored(lambda xml: xml.replace("bridge='br0'", "bridge='br1'"))
        return Edit(f"{name} stored on another bridge", make, f"guest/{name}", "persistent", "52:54:")

    def _stored_notes(self) -> Edit:
        number = self._random.randrange(10**6)
        name, make = self._stored(
            lambda xml: (
                xml.replace("<memory ", f"<description>note {number} &lt;filterref&gt;</description>\n<memory ", 1)
                if "<description>" not in xml
                else re.sub(r"note \d+", f"note {number}", xml)
            )
        )
        return Edit(f"a note in {name}", make)

    def _stored_settings(self) -> Edit:
        bandwidth = f"<bandwidth><inbound average='{self._random.randrange(1000, 10**6)}'/></bandwidth>"

        def change(xml: str) -> str:
            return re.sub(r"\s*<bandwidth>.*?</bandwidth>", "", xml, flags=re.DOTALL).replace(
                "<model type='virtio'/>", f"<model type='virtio'/>{bandwidth}", 1
            )

        name, make = self._stored(change)
        return Edit(f"bandwidth in {name}'s definition", make)

    def _running_settings(self) -> Edit:
        domain = self._random.choice(self._domains())
        mac = self._interface(domain)[0]
        state = self._random.choice(("up", "down"))
        virsh = ["virsh", "--connect", self._lab.uri, "domif-setlink", domain.name(), mac, state]
        return Edit(f"link {state} of {domain.name()}", lambda: self._lab.run(virsh))

    def _interface(self, domain: libvirt.virDomain) -> tuple[str, str, str]:
        """MAC, port and the whole element of a running guest's only interface."""
        xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)
        element = ElementTree.fromstring(xml).find("devices/interface")
        assert element is not None
        mac, target = element.find("mac"), element.find("target")
        assert mac is not None
        assert target is not None
        return str(mac.get("address")), str(target.get("dev")), ElementTree.tostring(element, encoding="unicode")

    def _running_filterref(self) -> Edit:
        domain = self._random.choice(self._domains())
        _, _, text = self._interface(domain)
        element = ElementTree.fromstring(text)
        reference = element.find("filterref")
        assert reference is not None
        kind = self._random.choice(("removed", "exchanged", "widened"))
        if kind == "removed":
            element.remove(reference)
        elif kind == "exchanged":
            reference.set("filter", "no-mac-spoofing")
        else:
            reference[:] = [each for each in reference if each.get("name") not in ("IP", "IPMASK")]
            ElementTree.SubElement(reference, "parameter", name="IP", value="10.0.0.88")
            ElementTree.SubElement(reference, "parameter", name="IPMASK", value="32")
        xml = ElementTree.tostring(element, encoding="unicode")
        name = domain.name()
        return Edit(
            f"the running filterref of {name} {kind}",
            lambda: domain.updateDeviceFlags(xml, libvirt.VIR_DOMAIN_AFFECT_LIVE),
            f"guest/{name}", "live", "52:54:",
        )  # fmt: skip

    def _binding(self) -> Edit:
        domain = self._random.choice(self._domains())
        _, port, _ = self._interface(domain)
        binding = self._connection.nwfilterBindingLookupByPortDev(port)
        xml = re.sub(r"<filterref filter='[^']*'", "<filterref filter='no-mac-spoofing'", binding.XMLDesc())
        kind = self._random.choice(("deleted", "made anew with another filter"))

        def make() -> None:
            binding.delete()
            if kind != "deleted":
                self._connection.nwfilterBindingCreateXML(xml)

        return Edit(f"the binding of {domain.name()} {kind}", make, f"guest/{domain.name()}", "live", "52:54:")

    # The kernel's rules.

    def _saved(self, program: str = "ebtables-save") -> list[str]:
        return self._lab.run([program]).stdout.splitlines()

    def _of_port(self) -> tuple[str, str, list[str]]:
        domain = self._random.choice(self._domains())
        _, port, _ = self._interface(domain)
        chains = re.compile(rf"-A (libvirt-[IO]|[IO])-{port}(-| )")
        return domain.name(), port, [line for line in self._saved() if chains.match(line)]

    def _ebtables(self, *words: str) -> Callable[[], object]:
        return lambda: self._lab.run(["ebtables", "-t", "nat", *words])

    def _rule_deleted(self) -> Edit:
        name, _, rules = self._of_port()
        rule = self._random.choice(rules)
        return Edit(f"`{rule}` deleted", self._ebtables("-D", *rule.split()[1:]), f"guest/{name}", "kernel", "52:54:")

    def _rule_inserted(self) -> Edit:
        name, _, rules = self._of_port()
        chain = self._random.choice(rules).split()[1]
        conditions = self._random.choice(("", "-p IPv4 --ip-src 10.0.0.66", "-s 02:00:00:00:00:66", "-p 0x88cc"))
        target = self._random.choice(("ACCEPT", "DROP"))
        words = ["-I", chain, *conditions.split(), "-j", target]
        return Edit(" ".join(words), self._ebtables(*words), f"guest/{name}", "kernel", "52:54:")

    def _chain_flushed(self) -> Edit:
        name, _, rules = self._of_port()
        chain = self._random.choice(rules).split()[1]
        return Edit(f"{chain} flushed", self._ebtables("-F", chain), f"guest/{name}", "kernel", "52:54:")

    def _jump_deleted(self) -> Edit:
        name, port, _ = self._of_port()
        jumps = [line for line in self._saved() if re.match(rf"-A P\w+ -[io] {port} -j libvirt-", line)]
        rule = self._random.choice(jumps)
        return Edit(f"`{rule}` deleted", self._ebtables("-D", *rule.split()[1:]), f"guest/{name}", "kernel", "52:54:")

    def _rule_before(self) -> Edit:
        name, port, _ = self._of_port()
        conditions = self._random.choice((f"-i {port}", "-s 52:54:00:00:00:66", "-p IPv4", "-i vnet+", ""))
        words = ["-I", "PREROUTING", *conditions.split(), "-j", self._random.choice(("ACCEPT", "RETURN"))]
        return Edit(" ".join(words), self._ebtables(*words), f"guest/{name}", "kernel", "52:54:")

    def _packet_rule(self) -> Edit:
        """The one guest with packet-level rules has them in a chain of its own."""
        saved = self._saved("iptables-save")
        rules = [line for line in saved if re.match(r"-A F[IO]-vnet", line)]
        rule = self._random.choice(rules)
        kind = self._random.choice(("deleted", "flushed", "preceded", "bypassed"))
        chain = rule.split()[1]
        words = {
            "deleted": ["-D", *shlex.split(rule)[1:]],
            "flushed": ["-F", chain],
            "preceded": ["-I", chain, "-j", "ACCEPT"],
            "bypassed": ["-I", "FORWARD", "-j", "ACCEPT"],
        }[kind]
        return Edit(
            f"iptables: `{rule}` {kind}", lambda: self._lab.run(["iptables", *words]), "guest/fw01", "kernel", "52:54:"
        )

    def _strange_rules(self) -> Edit:
        choices = (
            ["ebtables", "-A", "FORWARD", "-p", "0x88cc", "-j", "DROP"],
            ["ebtables", "-t", "nat", "-A", "PREROUTING", "-i", "eth9", "-j", "ACCEPT"],
            ["iptables", "-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "ACCEPT"],
            ["nft", "add table inet somebody"],
            ["ebtables", "-t", "nat", "-Z"],
        )
        argv = self._random.choice(choices)
        return Edit(" ".join(argv), lambda: self._lab.run(argv))

    def _unused_chain(self) -> Edit:
        name = f"mine{self._random.randrange(10**6)}"
        return Edit(f"a chain {name} that nobody jumps to", self._ebtables("-N", name))
