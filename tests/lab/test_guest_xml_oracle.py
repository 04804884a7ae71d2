"""libvirt itself judges how guests' XML is read and changed: what it prints of a text means what the text meant."""

from __future__ import annotations

import difflib
import random
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
from settled import Host, write_site
from sites import mac
from sizes import examples

from reconciler.domain.parse import parse_nics
from reconciler.domain.rewrite import set_bridge, set_filterref, set_mac
from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.handle import Lab
from reconciler.model.filter import FilterRef, canonical_parameters

pytestmark = pytest.mark.lab

SETTINGS = (
    "<vlan><tag id='{n}'/></vlan>", "<bandwidth><inbound average='{n}' peak='{n}0' burst='{n}'/></bandwidth>",
    "<bandwidth><outbound average='{n}'/></bandwidth>", "<mtu size='1{n}'/>", "<link state='down'/>",
    "<port isolated='yes'/>", "<boot order='{b}'/>", "<coalesce><rx><frames max='{n}'/></rx></coalesce>",
    "<tune><sndbuf>{n}</sndbuf></tune>", "<guest dev='eth{n}'/>", "<driver name='qemu' txmode='iothread'/>",
    "<rom bar='off'/>", "<alias name='ua-{b}'/>",
)  # fmt: skip
SOURCES = {
    "bridge": "<source bridge='br0'/>", "network": "<source network='default'/>", "ethernet": "",
    "direct": "<source dev='eth0' mode='bridge'/>",
}  # fmt: skip
PORTS = (
    "<virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport>",
    "<virtualport type='802.1Qbh'><parameters profileid='finance'/></virtualport>",
)
VALUES = ("10.0.0.1", "10.0.0.2", "2001:db8::1", "10.9.0.0/24", "", "any", "é", "0x10")


def random_interface(rng: random.Random, number: int) -> str:
    """One interface as somebody could write it, quotes and order at random."""
    kind = rng.choice(sorted(SOURCES))
    settings = [s for s in SETTINGS if rng.random() < 0.25 and not ("vlan" in s and kind != "bridge")]
    if sum("bandwidth" in s for s in settings) > 1:
        settings = [s for s in settings if "outbound" not in s]
    if any("vlan" in s for s in settings):
        settings.append(PORTS[0])
    elif kind == "direct" and rng.random() < 0.3:
        settings.append(PORTS[1])
    parts = [f"<mac address='{mac(number).upper()}'/>", SOURCES[kind], *settings]
    if rng.random() < 0.7:
        names = [rng.choice(("IP", "IPMASK", "A", "Z9", "b_c", "no-good")) for _ in range(rng.randrange(4))]
        inner = "".join(f"<parameter name='{name}' value='{rng.choice(VALUES)}'/>" for name in names)
        parts.append(f"<filterref filter='clean-traffic'>{inner}</filterref>")
    rng.shuffle(parts)
    text = f"<interface type='{kind}'><model type='virtio'/>{''.join(parts)}</interface>"
    return text.format(n=rng.randrange(100, 900), b=number) if rng.random() < 0.5 else text.format(n=400, b=number)


def random_guest(rng: random.Random) -> str:
    interfaces = "\n".join(random_interface(rng, number) for number in range(1, rng.randrange(2, 8)))
    return tiny_domain_xml("scratch").replace("<memballoon", f"{interfaces}\n<memballoon")


@pytest.fixture(scope="module")
def connection(shared_lab: Lab) -> Iterator[libvirt.virConnect]:
    opened = libvirt.open(shared_lab.uri)
    yield opened
    opened.close()


def stored(connection: libvirt.virConnect, xml: str) -> str | None:
    """What libvirt prints of a definition, None where it refuses it."""
    try:
        domain = connection.defineXML(xml)
    except libvirt.libvirtError:
        return None
    text = str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    domain.undefine()
    return text


def test_what_is_read_of_any_interface_is_what_libvirt_makes_of_it(connection: libvirt.virConnect) -> None:
    rng, taken = random.Random(20261127), 0
    for _ in range(examples(110, 3000)):
        written = random_guest(rng)
        printed = stored(connection, written)
        if printed is None:
            continue
        taken += 1
        ours, theirs = parse_nics(written), parse_nics(printed)
        assert [(n.mac, n.kind, n.source, n.filterref) for n in ours] == [
            (n.mac, n.kind, n.source, n.filterref) for n in theirs
        ], written
        again = stored(connection, printed)
        assert again is not None
        assert parse_nics(again) == theirs
    assert taken > examples(28, 900), "libvirt refuses too much of what is tried"


def test_a_change_of_one_interface_is_all_that_libvirt_sees(connection: libvirt.virConnect) -> None:
    rng = random.Random(20261128)
    for _ in range(examples(45, 1000)):
        before = stored(connection, random_guest(rng))
        if before is None:
            continue
        chosen = rng.choice(parse_nics(before))
        parameters = canonical_parameters(
            [("IP", rng.choice(VALUES[:3])), ("IPMASK", "32"), ("IP", "10.0.0.9"), ("A", "1")]
        )
        wanted = FilterRef(rng.choice(("clean-traffic", "guard-x-000001")), parameters)
        text = set_filterref(before, chosen.mac, wanted)
        if chosen.kind == "bridge":
            text = set_bridge(text, chosen.mac, "br7")
        text = set_mac(text, chosen.mac, "52:54:00:aa:bb:cc")
        after = stored(connection, text)
        assert after is not None
        lines = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]
        assert all(_is_of_change(line) for line in lines), lines
        changed = next(nic for nic in parse_nics(after) if nic.mac == "52:54:00:aa:bb:cc")
        assert changed.filterref == (None if chosen.kind == "direct" else wanted)
        assert changed.settings == chosen.settings
        assert changed.source == ("br7" if chosen.kind == "bridge" else chosen.source)


def _is_of_change(line: str) -> bool:
    words = ("filterref", "parameter ", "mac ", "source bridge")
    return any(f"<{word}" in line or f"</{word}" in line for word in words)


LONG = """  <metadata>
    <app:notes xmlns:app='urn:app'>{notes}</app:notes>
  </metadata>
"""


def test_one_address_of_a_long_definition_changes_that_text_alone(tmp_path: Path, shared_lab: Lab) -> None:
    """1,200 lines with metadata, qemu:commandline and six interfaces."""
    macs = [mac(number) for number in range(0x61, 0x67)]
    body = tiny_domain_xml("long01", [NicSpec(each) for each in macs])
    notes = "\n".join(f"      <app:note n='{n}'>&lt;filterref&gt; {n} '\"</app:note>" for n in range(1150))
    namespace = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
    qemu = f"<qemu:commandline {namespace}><qemu:env name='A' value='b'/></qemu:commandline>"
    body = body.replace("  <memory", LONG.format(notes=notes) + "  <memory", 1).replace("</domain>", f"{qemu}</domain>")
    own = "".join(
        f'  - {{mac: "{each}", segment: lan, attach: direct, ipv4: [10.0.0.{100 + n}], ipv6: none}}\n'
        for n, each in enumerate(macs)
    )
    write_site(tmp_path / "site", {"long01": f"name: long01\ninterfaces:\n{own}".encode()})
    host = Host(shared_lab, tmp_path)
    (tmp_path / "long01.xml").write_text(body)
    host.virsh("define", str(tmp_path / "long01.xml"))
    try:
        host.apply()
        before = host.virsh("dumpxml", "--inactive", "long01").splitlines()
        site = host.settings.site
        assert site is not None
        file = site / "guests/long01.yaml"
        file.write_text(file.read_text().replace("10.0.0.103", "10.0.0.113"))
        host.apply()
        after = host.virsh("dumpxml", "--inactive", "long01").splitlines()
        assert len(before) == len(after) > 1200
        differing = [(one.strip(), two.strip()) for one, two in zip(before, after, strict=True) if one != two]
        assert differing == [("<parameter name='IP' value='10.0.0.103'/>", "<parameter name='IP' value='10.0.0.113'/>")]
    finally:
        host.virsh("undefine", "long01")
