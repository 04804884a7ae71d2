"""CTRL_IP_LEARNING=none on a guest's own filterref: where its absence is the same, and where it is not."""

from __future__ import annotations

import pytest
from adopting import (
    HOST,
    IP,
    adopted,
    brownfield,
    chain,
    guest_xml,
    ref,
)
from sites import mac

from reconciler.diff import diff
from reconciler.host.memory import MemoryHost
from reconciler.load import load
from reconciler.model.actions import ChangeLiveFilterref, RebuildPort
from reconciler.model.filter import FilterRef
from reconciler.plan.build import make_plan


class TestTheBanOnLearning:
    """A guest that others defined lacks it; that changes no rule, and is put right with the next change."""

    ADDRESS = ref("clean-traffic", IP="10.0.0.1")

    def test_the_next_change_of_the_filterref_brings_it(self) -> None:
        host = brownfield({"web01": self.ADDRESS})
        files = {**adopted(host).files}
        files["guests/web01.yaml"] = files["guests/web01.yaml"].replace(b"10.0.0.1", b"10.0.0.2")
        steps = make_plan(load(files), host.inspect(), HOST).steps
        changed = next(step.action for step in steps if isinstance(step.action, ChangeLiveFilterref))
        assert changed.filterref == ref("clean-traffic", IP="10.0.0.2", CTRL_IP_LEARNING="none")

    def test_a_rebuild_of_a_flushed_port_keeps_the_filterref(self) -> None:
        host = brownfield({"web01": self.ADDRESS})
        desired = load(adopted(host).files)
        host.installed.clear()
        actions = [step.action for step in make_plan(desired, host.inspect(), HOST).steps]
        assert [action.filterref for action in actions if isinstance(action, RebuildPort)] == [self.ADDRESS]
        assert len(actions) == 1

    @pytest.mark.parametrize(
        "found", [ref("clean-traffic", IP="10.0.0.1", CTRL_IP_LEARNING="any"), ref("clean-traffic")]
    )
    def test_whatever_lets_libvirt_learn_is_drift(self, found: FilterRef) -> None:
        host = brownfield({"web01": self.ADDRESS})
        desired = load(adopted(host).files)
        host.define_domain(guest_xml("web01", found, first=1))
        host.destroy_domain("web01")
        assert {drift.object for drift in diff(desired, host.inspect(), HOST)} == {"guest/web01"}

    def test_a_filter_that_came_to_need_an_address_is_drift(self) -> None:
        """libvirt's own filter, which the site does not hold, was changed by hand: now libvirt learns."""
        desired = load(
            {
                "site.yaml": b"{}",
                "guests/web01.yaml": b'{name: web01, interfaces: [{mac: "52:54:00:00:00:01", filter: no-mac-spoofing, '
                b"ipv4: none, ipv6: none, attach: direct}]}",
            }
        )
        host = brownfield({})
        host.define_domain(guest_xml("web01", ref("no-mac-spoofing"), first=1))
        assert diff(desired, host.inspect(), HOST) == ()
        host.define_filter(chain("no-mac-spoofing", IP))
        assert [drift.field for drift in diff(desired, host.inspect(), HOST)] == [
            f"{mac(1)}.filterref.parameters.CTRL_IP_LEARNING"
        ]

    def test_a_port_has_its_address_before_its_filter_asks_for_one(self) -> None:
        host = brownfield({"web01": ref("leaf")})
        files = asking_for_an_address(host)
        plan = make_plan(load(files), host.inspect(), HOST)
        assert [step.action.target for step in plan.steps] == ["guest/web01", "filter/leaf", "guest/web01"]
        assert plan.waiting == ()

    def test_a_filter_that_would_make_libvirt_learn_of_a_strange_guest_is_not_defined(self) -> None:
        host = brownfield({"web01": ref("leaf"), "stranger": ref("leaf")})
        files = asking_for_an_address(host)
        del files["guests/stranger.yaml"]
        plan = make_plan(load(files), host.inspect(), HOST)
        assert "libvirt would let guest stranger choose its own IP" in plan.waiting[0].hint
        assert "filter/leaf" not in {step.action.target for step in plan.steps}


def asking_for_an_address(host: MemoryHost) -> dict[str, bytes]:
    files = {**adopted(host).files}
    files["filters/leaf.xml"] = chain("leaf", IP).encode()
    files["guests/web01.yaml"] = files["guests/web01.yaml"].replace(b"ipv4: none", b"ipv4: [10.0.0.1]")
    return files
