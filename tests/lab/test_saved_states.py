"""What a managed-save image or a snapshot would bring back owns its addresses (promise P4), on the real daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
from settled import Host, start_guests, write_site
from sites import guest_yaml, mac

from reconciler.host.reading import GuestState, list_guests, state_of
from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.labs import lab as new_lab

pytestmark = pytest.mark.lab

GUESTS = {
    "web01": guest_yaml("web01", 1, "[10.0.0.10]", "none"),
    "db01": guest_yaml("db01", 2, "[10.0.0.20]", "none", attach="direct"),
}
SNAPSHOT = """<domainsnapshot><name>monday</name><state>running</state><creationTime>1700000000</creationTime>
  <memory snapshot='internal'/>{domain}</domainsnapshot>"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    write_site(tmp_path / "site", GUESTS)
    with new_lab() as lab:
        host = Host(lab, tmp_path)
        start_guests(lab, tmp_path, GUESTS)
        host.converge()
        yield host


def test_lists_say_of_each_guest_what_libvirt_says_when_it_is_asked_alone(host: Host, tmp_path: Path) -> None:
    """A host is read by lists; a step looks at one guest by itself."""
    (tmp_path / "snapshot.xml").write_text(SNAPSHOT.format(domain=host.virsh("dumpxml", "db01")))
    host.virsh("snapshot-create", "db01", "--redefine", str(tmp_path / "snapshot.xml"))
    host.virsh("autostart", "db01")
    host.virsh("managedsave", "web01")
    (tmp_path / "passing.xml").write_text(tiny_domain_xml("passing01", [NicSpec(mac(9))]))
    host.virsh("create", str(tmp_path / "passing.xml"))
    connection = libvirt.open(host.lab.uri)
    listed = {handle.name(): (handle, state) for handle, state in list_guests(connection)}
    states = {name: state for name, (_, state) in listed.items()}
    assert states == {name: state_of(handle) for name, (handle, _) in listed.items()}
    assert states == {
        "web01": GuestState(active=False, persistent=True, autostart=False, saved=True, snapshots=False),
        "db01": GuestState(active=True, persistent=True, autostart=True, saved=False, snapshots=True),
        "passing01": GuestState(active=True, persistent=False, autostart=False, saved=False, snapshots=False),
    }
    connection.close()


def test_an_image_is_rewritten_before_its_address_is_claimed_and_starts_with_the_new_one(host: Host) -> None:
    host.virsh("managedsave", "db01")
    host.write(
        {
            "web01": guest_yaml("web01", 1, "[10.0.0.10, 10.0.0.20]", "none"),
            "db01": guest_yaml("db01", 2, "[10.0.0.21]", "none", attach="direct"),
        }
    )
    assert ("guest/db01", "saved", f"managed-save.{mac(2)}.filterref.parameters.IP") in host.fields()
    kinds = host.plan()
    assert kinds.index("rewrite-save") < kinds.index("define-filter")
    host.converge()
    host.virsh("start", "db01")
    assert any("10.0.0.21" in rule for rule in host.rules(host.port("db01")))
    assert not any("10.0.0.20" in rule for rule in host.rules(host.port("db01")))
    host.converge()


def test_a_saved_guest_keeps_its_guard_and_comes_back_behind_it(host: Host) -> None:
    host.virsh("managedsave", "web01")
    site = host.settings.site
    assert site is not None
    (site / "site.yaml").write_bytes((site / "site.yaml").read_bytes() + b"policy: {prune: true}\n")
    (site / "guests/web01.yaml").unlink()
    host.apply()
    assert "guard-web01-000001" in host.virsh("nwfilter-list")
    host.virsh("start", "web01")
    assert any("10.0.0.10" in rule for rule in host.rules(host.port("web01")))


def test_an_address_in_a_snapshot_is_not_claimed_and_says_who_holds_it(host: Host, tmp_path: Path) -> None:
    domain = host.virsh("dumpxml", "db01")
    (tmp_path / "snapshot.xml").write_text(SNAPSHOT.format(domain=domain))
    host.virsh("snapshot-create", "db01", "--redefine", str(tmp_path / "snapshot.xml"))
    host.write(
        {
            "web01": guest_yaml("web01", 1, "[10.0.0.10, 10.0.0.20]", "none"),
            "db01": guest_yaml("db01", 2, "[10.0.0.21]", "none", attach="direct"),
        }
    )
    done = host.apply()
    assert done.execution is not None
    assert done.execution.ok
    assert {each.target for each in done.plan.waiting} == {"guest/db01", "filter/guard-web01-000001"}
    assert any("snapshot/monday of guest db01 still holds" in each.hint for each in done.plan.waiting)
    assert not any("10.0.0.20" in rule for rule in host.rules(host.port("web01")))
    host.virsh("snapshot-delete", "db01", "monday", "--metadata")
    host.converge()
    assert any("10.0.0.20" in rule for rule in host.rules(host.port("web01")))
