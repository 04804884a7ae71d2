"""A lab that is as its site says, looked at and applied to without starting a process each time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from installed import rule_lines
from sites import EXAMPLE, SITE, mac

from reconciler import app
from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.handle import Lab
from reconciler.lab.releases import choose
from reconciler.model.drift import Drift
from reconciler.settings import Settings

WALLED = b"""<filter name='walled' chain='root'>
  <filterref filter='guest-ipv4'/>
  <rule action='accept' direction='in' priority='500'><tcp dstportstart='22'/></rule>
  <rule action='drop' direction='inout' priority='600'><tcp dstportstart='25'/></rule>
</filter>
"""
WALLED_OF_NFT = WALLED.replace(b"<rule ", b"<rule statematch='false' ")
"""A kernel may not track the connections of bridges (nf_conntrack_bridge)."""


class Host:
    """One lab and the site in `folder/site`."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.settings = Settings(uri=lab.uri, site=folder / "site", var=folder / "var", host="kvm01")

    def survey(self) -> app.Survey:
        return app.survey(app.load_site(self.settings), app.open_host(self.settings), "kvm01")

    def drift(self) -> tuple[Drift, ...]:
        return self.survey().drift

    def fields(self) -> set[tuple[str, str, str]]:
        return {(each.object, str(each.layer), each.field) for each in self.drift()}

    def plan(self) -> list[str]:
        return [step.action.kind for step in app.plan_of(self.survey()).steps]

    def apply(self) -> app.Application:
        return app.apply(self.settings, lambda _event, _step: None)

    def converge(self) -> app.Application:
        """Apply, and assert that all is then as the site says and proven."""
        done = self.apply()
        assert done.execution is None or done.execution.ok, done.execution
        assert done.drift == ()
        assert done.plan.waiting == ()
        assert {str(proof.proof) for proof in done.proofs} <= {"enforced", "not-running"}, done.proofs
        return done

    def write(self, guests: dict[str, bytes]) -> None:
        for name, content in guests.items():
            (self.settings.site / "guests" / f"{name}.yaml").write_bytes(content)  # type: ignore[operator]

    def virsh(self, *words: str, check: bool = True) -> str:
        return self.lab.run(["virsh", "--connect", self.lab.uri, *words], check=check).stdout

    def port(self, guest: str) -> str:
        return self.virsh("domiflist", guest).split("\n")[2].split()[0]

    def rules(self, port: str) -> list[str]:
        return rule_lines(self.lab, port)


def write_site(folder: Path, guests: dict[str, bytes], text: bytes = SITE) -> None:
    """A site with the example's filters and one with packet-level rules."""
    for name in ("guests", "filters"):
        (folder / name).mkdir(parents=True)
    for path in (EXAMPLE / "filters").glob("*.xml"):
        (folder / "filters" / path.name).write_bytes(path.read_bytes())
    (folder / "filters/walled.xml").write_bytes(WALLED_OF_NFT if choose().of_nft else WALLED)
    (folder / "site.yaml").write_bytes(text)
    for name, content in guests.items():
        (folder / "guests" / f"{name}.yaml").write_bytes(content)


def start_guests(lab: Lab, folder: Path, names: Iterable[str]) -> None:
    """Define and start guests of one interface each; the first has the first MAC, and so on."""
    for number, name in enumerate(names, 1):
        xml = folder / f"{name}.xml"
        xml.write_text(tiny_domain_xml(name, [NicSpec(mac(number))]))
        lab.run(["virsh", "--connect", lab.uri, "define", str(xml)])
        lab.run(["virsh", "--connect", lab.uri, "start", name])
