"""A host whose guests were set up by hand becomes a site, on a real libvirtd: valid, nothing differs, nothing to apply.

Twenty guests as people define them, half of them running; some came from another site of the reconciler.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from installed import rule_lines
from sites import EXAMPLE, guest_yaml
from sites import mac as guarded_mac

from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.handle import Lab
from reconciler.lab.labs import lab as new_lab

pytestmark = pytest.mark.lab

WRITE_CALL = re.compile(
    r"\bvir(?:Domain|NWFilter)\w*(?:Define|Undefine|Create|Delete|Update|Set|Attach|Detach|Destroy|Shutdown)\w*:"
)

OWN_FILTERS = """
<filter name='dual' chain='root'>
  <filterref filter='clean-arp'/>
  <rule action='return' direction='out' priority='100'><ip srcipaddr='$IP'/></rule>
  <rule action='return' direction='out' priority='100'><ipv6 srcipaddr='$IPV6'/></rule>
  <rule action='drop' direction='out' priority='900'><all/></rule>
</filter>
<filter name='clean-arp' chain='arp'>
  <rule action='accept' direction='out' priority='100'><arp arpsrcmacaddr='$MAC' arpsrcipaddr='$IP'/></rule>
  <rule action='drop' direction='out' priority='900'/>
</filter>
<filter name='nets' chain='root'>
  <rule action='accept' direction='out'><ip srcipaddr='$IP' srcipmask='$IPMASK'/></rule>
  <rule action='accept' direction='out'><ipv6 srcipaddr='$IPV6' srcipmask='$IPV6MASK'/></rule>
  <rule action='accept' direction='in'/>
  <rule action='drop' direction='inout' priority='1000'/>
</filter>
<filter name='six' chain='ipv6' priority='-700'>
  <rule action='accept' direction='out'><ipv6 srcipaddr='$IPV6'/></rule>
  <rule action='drop' direction='out' priority='1000'/>
</filter>
<filter name='lan-only' chain='root'>
  <filterref filter='no-ip-spoofing'/>
  <rule action='drop' direction='out'><ip match='no' dstipaddr='$SEGMENT' dstipmask='$SEGMENTMASK'/></rule>
</filter>
<filter name='Old_Style' chain='root'><rule action='accept' direction='inout'/></filter>
"""


def ref(filter: str, **variables: str | Iterable[str]) -> str:
    pairs = [(n, each) for n, v in variables.items() for each in ([v] if isinstance(v, str) else v)]
    return f"<filterref filter='{filter}'>{''.join(map(parameter, pairs))}</filterref>"


def parameter(pair: tuple[str, str]) -> str:
    return f"<parameter name='{pair[0]}' value='{pair[1]}'/>"


RUNNING = {
    "one": [ref("clean-traffic", IP="10.0.0.1")],
    "several": [ref("clean-traffic", IP=["10.0.0.3", "10.0.0.2"])],
    "dual": [ref("dual", IP="10.0.0.4", IPV6=["2001:db8::4", "fe80::5054:ff:fe00:109"])],
    "nets": [ref("nets", IP=["10.1.0.0", "10.0.0.5"], IPMASK=["24", "32"], IPV6="2001:db8:1::", IPV6MASK="64")],
    "six": [ref("six", IPV6=["2001:db8::6", "fe80::6"])],
    "cards": [ref("clean-traffic", IP="10.0.0.7"), "", ref("no-mac-spoofing")],
    "learning": [ref("clean-traffic")],
    "moved": [ref("clean-traffic", IP="10.0.0.8")],
}
STORED = {
    "banned": [ref("clean-traffic", IP="10.0.0.11", CTRL_IP_LEARNING="none")],
    "gateway": [ref("clean-traffic-gateway", IP="10.0.0.12", GATEWAY_MAC="52:54:00:aa:bb:cc")],
    "lan": [ref("lan-only", IP="10.0.0.13", SEGMENT="10.0.0.0", SEGMENTMASK="24")],
    "served": [ref("allow-dhcp-server", DHCPSERVER=["10.0.0.250", "10.0.0.251"])],
    "arp": [ref("no-arp-spoofing", IP="10.0.0.14")],
    "no": [ref("clean-traffic", IP="10.0.0.15")],
    "open": [""],
    "by-dhcp": [ref("clean-traffic", CTRL_IP_LEARNING="dhcp")],
    "twin-a": [ref("clean-traffic", IP="10.0.0.16")],
    "twin-b": [ref("clean-traffic", IP="10.0.0.16")],
    "old": [ref("Old_Style")],
    "two words": [ref("clean-traffic", IP="10.0.0.17")],
    "bare": [],
}
GUARDED = {
    "guarded": guest_yaml("guarded", 1, "[10.0.0.20, 10.0.0.32/29]", '["2001:db8::20"]'),
    "direct": guest_yaml("direct", 2, "[10.0.0.21]", attach="direct"),
    "closed": guest_yaml("closed", 3),
}
MACS = {
    name: [f"52:54:00:00:01:{first + n:02x}" for n in range(len(cards))]
    for (name, cards), first in zip((RUNNING | STORED).items(), range(1, 200, 4), strict=False)
}
LEFT_OUT = {
    f"guest/cards/{MACS['cards'][1]}": "it has no filter",
    f"guest/learning/{MACS['learning'][0]}": "lets the guest keep the first it shows",
    f"guest/moved/{MACS['moved'][0]}": "the running guest and its stored definition differ in its filter's variables",
    f"guest/open/{MACS['open'][0]}": "it has no filter",
    f"guest/by-dhcp/{MACS['by-dhcp'][0]}": "takes what DHCP gives the guest",
    f"guest/twin-a/{MACS['twin-a'][0]}": "gives it 10.0.0.16, which guest/twin-b/",
    f"guest/twin-b/{MACS['twin-b'][0]}": "gives it 10.0.0.16, which guest/twin-a/",
    f"guest/old/{MACS['old'][0]}": "a name that the site cannot have",
    "guest/two words": "its name is none that a file of the site can have",
    "guest/bare": "it has no interface",
}


@dataclass
class Desk:
    """The lab, and the command with a site of its own."""

    lab: Lab
    folder: Path

    def command(self, *words: str, site: str = "site") -> subprocess.CompletedProcess[str]:
        where = ["--connect", self.lab.uri, "--host", "kvm01", "--site", str(self.folder / site)]
        argv = [sys.executable, "-m", "reconciler", *where, "--var", str(self.folder / "var"), *words]
        return subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def document(self, *words: str, exit_code: int = 0) -> dict[str, object]:
        ended = self.command("--output", "json", *words)
        assert ended.returncode == exit_code, ended.stdout + ended.stderr
        found: dict[str, object] = json.loads(ended.stdout)
        return found

    def virsh(self, *words: str) -> str:
        return self.lab.run(["virsh", "--connect", self.lab.uri, *words]).stdout

    def define(self, verb: str, xml: str) -> None:
        path = self.folder / "definition.xml"
        path.write_text(xml)
        self.virsh(verb, str(path))

    def state(self) -> dict[str, str]:
        """All that libvirt and the kernel hold."""
        names = self.virsh("list", "--all", "--name").strip().splitlines()
        filters = (line.split()[1] for line in self.virsh("nwfilter-list").splitlines()[2:] if line.strip())
        held = {f"filter {name}": self.virsh("nwfilter-dumpxml", name) for name in filters}
        held |= {f"stored {name}": self.virsh("dumpxml", "--inactive", name) for name in names}
        held |= {f"guest {name}": self.virsh("dumpxml", name) for name in names}
        return held | {"rules": "\n".join(rule_lines(self.lab))}

    def writes(self, action: Callable[[], object]) -> list[str]:
        """Calls that change something, of those that libvirt's own log shows during an action."""
        before = self.lab.log_path.stat().st_size
        action()
        with self.lab.log_path.open("rb") as log:
            log.seek(before)
            text = log.read().decode(errors="replace")
        assert "virDomainGetXMLDesc" in text, "the log shows no call at all"
        return WRITE_CALL.findall(text)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with new_lab() as lab:
        desk = Desk(lab, tmp_path_factory.mktemp("adopt"))
        for xml in reversed(OWN_FILTERS.strip().split("</filter>")[:-1]):
            desk.define("nwfilter-define", f"{xml}</filter>")
        changed = desk.virsh("nwfilter-dumpxml", "no-arp-mac-spoofing").replace("priority='350'", "priority='351'")
        desk.define("nwfilter-define", changed)
        for name, cards in (RUNNING | STORED).items():
            desk.define("define", domain(name, cards))
        for name in GUARDED:
            desk.define("define", tiny_domain_xml(name, [NicSpec(guarded_mac(list(GUARDED).index(name) + 1))]))
        for name in (*RUNNING, "guarded"):
            desk.virsh("start", name)
        desk.define("define", domain("moved", [ref("clean-traffic", IP="10.0.0.9")], uuid_of=desk))
        apply_another_site(desk)
        yield desk


def domain(name: str, cards: list[str], uuid_of: Desk | None = None) -> str:
    nics = [NicSpec(mac, filterref_xml=card) for mac, card in zip(MACS[name], cards, strict=True)]
    uuid = uuid_of.virsh("domuuid", name).strip() if uuid_of else ""
    return tiny_domain_xml(name, nics, uuid=uuid)


def apply_another_site(desk: Desk) -> None:
    site = desk.folder / "other"
    for folder in ("guests", "filters"):
        (site / folder).mkdir(parents=True)
    for path in (EXAMPLE / "filters").glob("*.xml"):
        (site / "filters" / path.name).write_bytes(path.read_bytes())
    segment = "lan: {bridge: br0, ipv4: [10.0.0.0/24], ipv6: ['2001:db8::/48']}"
    forms = "guest: {dual: guest-dual-stack, ipv4: guest-ipv4, ipv6: guest-ipv6, none: guest-locked}"
    (site / "site.yaml").write_text(f"segments: {{{segment}}}\nfilters: {{{forms}}}\ndefaults: {{filter: guest}}\n")
    for name, content in GUARDED.items():
        (site / "guests" / f"{name}.yaml").write_bytes(content)
    ended = desk.command("apply", site="other")
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def adopted(desk: Desk) -> dict[str, object]:
    """What the command said when it adopted the whole host, which it only read."""
    before = desk.state()
    said: list[dict[str, object]] = []
    assert desk.writes(lambda: said.append(desk.document("adopt"))) == []
    assert desk.state() == before
    return said[0]


def test_everything_that_can_be_said_is_said(adopted: dict[str, object]) -> None:
    guests = (set(RUNNING) | set(STORED) | set(GUARDED)) - {object.split("/")[1] for object in LEFT_OUT} | {"cards"}
    own = {"dual", "clean-arp", "nets", "six", "lan-only", "no-arp-mac-spoofing"}
    written = set(adopted["written"])  # type: ignore[call-overload]
    assert {path for path in written if path.startswith("guests/")} == {f"guests/{name}.yaml" for name in guests}
    filters = {path.removeprefix("filters/").removesuffix(".xml") for path in written if path.startswith("filters/")}
    assert {name for name in filters if not name.startswith("guest-")} == own
    assert {"guest-dual-stack", "guest-ipv4", "guest-locked"} <= filters


def test_everything_else_is_told_with_its_reason(adopted: dict[str, object]) -> None:
    skipped = {each["object"]: each["reason"] for each in adopted["skipped"]}  # type: ignore[attr-defined]
    assert skipped.keys() == LEFT_OUT.keys()
    for name, reason in LEFT_OUT.items():
        assert reason in skipped[name], skipped[name]


def test_the_site_is_valid_and_nothing_differs(desk: Desk, adopted: dict[str, object]) -> None:
    problems = desk.document("check")["problems"]
    assert {problem["severity"] for problem in problems} <= {"warning"}  # type: ignore[attr-defined]
    assert desk.document("diff")["drift"] == []
    plan = desk.document("plan")
    assert (plan["steps"], plan["waiting"]) == ([], [])


def test_apply_makes_no_libvirt_write_call(desk: Desk, adopted: dict[str, object]) -> None:
    before = desk.state()
    assert desk.writes(lambda: desk.document("apply")) == []
    assert desk.state() == before


def test_the_files_say_what_libvirt_has(desk: Desk, adopted: dict[str, object]) -> None:
    guests = desk.folder / "site/guests"
    assert "ipv4: [10.0.0.3, 10.0.0.2]" in (guests / "several.yaml").read_text()
    assert "ipv4: [10.1.0.0/24, 10.0.0.5]" in (guests / "nets.yaml").read_text()
    assert "link_local" not in (guests / "dual.yaml").read_text()
    assert 'link_local: "fe80::6"' in (guests / "six.yaml").read_text()
    assert "attach: guard" in (guests / "guarded.yaml").read_text()
    assert 'name: "no"' in (guests / "no.yaml").read_text()
    assert "uuid" not in (desk.folder / "site/filters/dual.xml").read_text()


def test_an_adopted_guest_is_managed_from_then_on(desk: Desk, adopted: dict[str, object]) -> None:
    """Its next address brings the ban on learning too, and the rules that come of it; then all is as it was."""
    path = desk.folder / "site/guests/one.yaml"
    text = path.read_text()
    for old, new in (("10.0.0.1]", "10.0.0.99]"), ("10.0.0.99]", "10.0.0.1]")):
        path.write_text(path.read_text().replace(old, new))
        assert desk.command("diff").returncode == 1
        assert "virDomainUpdateDeviceFlags:" in desk.writes(lambda: desk.document("apply"))
        assert desk.document("diff")["drift"] == []
        xml = desk.virsh("dumpxml", "one")
        assert parameter(("CTRL_IP_LEARNING", "none")) in xml and new.removesuffix("]") in xml
    assert path.read_text() == text
