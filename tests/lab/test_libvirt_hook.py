"""libvirt's own hook on the real daemon: a foreign address does not start, and a broken hook is in nobody's way."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from repositories import Repository
from sites import EXAMPLE, SITE, guest_yaml, mac

from reconciler.host.processes import Completed, run
from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.handle import Lab

pytestmark = pytest.mark.lab

HOOK = Path(__file__).parents[2] / "hooks/qemu"


@dataclass
class Guarded:
    """A host with the hook installed, and one guest that was verified."""

    lab: Lab
    folder: Path
    var: Path

    def virsh(self, *words: str, check: bool = True) -> Completed:
        return self.lab.run(["virsh", "--connect", self.lab.uri, *words], check=check)

    def start(self, name: str) -> str:
        """What libvirt says when it does not start; nothing when it does."""
        ended = self.virsh("start", name, check=False)
        if ended.returncode == 0:
            self.virsh("destroy", name)
        return ended.stderr.strip()

    def define(self, name: str, number: int, filterref: str) -> None:
        xml = self.folder / f"{name}.xml"
        uuid = f"<uuid>00000000-0000-4000-8000-{number:012}</uuid>"
        text = tiny_domain_xml(name, [NicSpec(mac(number))]).replace("</name>", f"</name>{uuid}")
        xml.write_text(text.replace("</interface>", f"{filterref}</interface>"))
        self.virsh("define", str(xml))

    def told(self) -> list[dict[str, object]]:
        path = self.var / "admission.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def apply(self, policy: str) -> None:
        config = self.folder / "config.yaml"
        keys = {"connect": self.lab.uri, "repo": str(self.folder / "origin"), "var": str(self.var), "host": "kvm01"}
        config.write_text("".join(f"{key}: {value}\n" for key, value in {**keys, "admission": policy}.items()))
        run([sys.executable, "-m", "reconciler", "--config", str(config), "run"], timeout=120)

    def install(self, command: str) -> None:
        text = HOOK.read_text().replace("${RECONCILER_ADMIT:-reconciler-admit}", command)
        text = text.replace("\ntimeout", f"\nexport RECONCILER_VAR={self.var}\ntimeout")
        path = self.folder / "qemu"
        path.write_text(text)
        path.chmod(0o755)
        self.lab.run(["mkdir", "--parents", "/etc/libvirt/hooks"])
        self.lab.run(["cp", str(path), "/etc/libvirt/hooks/qemu"])


@pytest.fixture
def guarded(lab: Lab, tmp_path: Path) -> Guarded:
    if lab.system.foreign:
        pytest.skip("the hook needs the reconciler in the daemon's own root, and a release's tree has none")
    found = Guarded(lab, tmp_path, tmp_path / "var")
    repository = Repository(tmp_path / "origin")
    shutil.copytree(EXAMPLE / "filters", repository.folder / "state/filters")
    repository.write("site.yaml", SITE.decode() + "hosts: {kvm01: {}}\n")
    repository.write("guests/web01.yaml", guest_yaml("web01", 1, "[10.0.0.10]").decode())
    repository.commit()
    found.define("web01", 1, "")
    found.apply("refuse")
    found.install(str(Path(sys.executable).with_name("reconciler-admit")))
    lab.restart_daemon()
    return found


def test_a_guest_starts_as_it_was_verified_and_not_with_what_is_foreign(guarded: Guarded) -> None:
    assert guarded.start("web01") == ""

    guarded.define("thief", 9, "<filterref filter='clean-traffic'><parameter name='IP' value='10.0.0.10'/></filterref>")
    assert "thief would hold 10.0.0.10/32, which is web01's" in guarded.start("thief")

    verified = guarded.virsh("dumpxml", "--inactive", "web01").stdout
    guarded.define("web01", 1, "<filterref filter='clean-traffic'><parameter name='IP' value='10.0.0.66'/></filterref>")
    assert "has the filter clean-traffic, not guard-web01-000001" in guarded.start("web01")
    (guarded.folder / "verified.xml").write_text(verified)
    guarded.virsh("define", str(guarded.folder / "verified.xml"))
    assert guarded.start("web01") == ""

    guard = guarded.virsh("nwfilter-dumpxml", "guard-web01-000001").stdout
    (guarded.folder / "guard.xml").write_text(guard.replace("10.0.0.10", "10.0.0.66"))
    guarded.virsh("nwfilter-define", str(guarded.folder / "guard.xml"))
    assert "guard-web01-000001 was changed since it was verified" in guarded.start("web01")
    assert [each["guest"] for each in guarded.told()] == ["thief", "web01", "web01"]

    guarded.apply("refuse")
    assert guarded.start("web01") == "", "a run has put it right and written it down"


def test_under_warn_it_starts_and_is_told(guarded: Guarded) -> None:
    guarded.apply("warn")
    guarded.define("web01", 1, "")
    assert guarded.start("web01") == ""
    [told] = guarded.told()
    assert told["objections"] == [f"the interface {mac(1)} of guest web01 has no filter"] and told["refused"] is False


def test_with_the_hook_broken_the_guest_starts(guarded: Guarded) -> None:
    guarded.install("/absent/reconciler-admit")
    assert guarded.start("web01") == ""
    guarded.install("/bin/false")
    assert guarded.start("web01") == ""
