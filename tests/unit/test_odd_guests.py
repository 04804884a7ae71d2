"""A guest that libvirt allows and nobody can filter for certain is told and left, and nobody waits for it (P9)."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
from sites import domain_xml, guest_yaml, host_as_wanted, host_with, mac, site

from reconciler import app
from reconciler.diff import diff
from reconciler.host.memory import MemoryHost
from reconciler.model.drift import Layer
from reconciler.nwfilter.subjects import unmentioned
from reconciler.settings import Settings
from reconciler.stories.rounds import Wanted, apply_in_rounds
from reconciler.verbs.changing import _print_application

DESIRED = site({"twice": guest_yaml("twice", 1, "[10.0.0.11]"), "web01": guest_yaml("web01", 2, "[10.0.0.12]")})


def host_with_a_repeated_mac() -> MemoryHost:
    host = host_with(DESIRED)
    twice = DESIRED.guests[0]
    host.destroy_domain("twice")
    host.define_domain(domain_xml(replace(twice, interfaces=twice.interfaces * 2)))
    host.start_domain("twice")
    return host


def test_others_are_brought_to_the_site_and_the_guest_waits_by_name(tmp_path: Path) -> None:
    host, settings = host_with_a_repeated_mac(), Settings(uri="memory", var=tmp_path)
    seen = app.survey(DESIRED, host, "kvm01")
    plan, execution, after = apply_in_rounds(settings, host, seen, app.plan_of(seen), Wanted())
    assert execution is not None and execution.ok, execution
    assert {step.action.target for step in plan.steps if "guest/" in step.action.target} == {"guest/web01"}
    (waiting,) = plan.waiting
    assert waiting.target == "guest/twice"
    assert waiting.what == f"tell apart the 2 interfaces of twice with the MAC {mac(1)}"
    assert {drift.object for drift in after.drift} == {"guest/twice"}


def test_it_is_drift_also_when_one_of_them_has_its_filter() -> None:
    host = host_with_a_repeated_mac()
    fields = {
        (str(drift.layer), drift.field): (drift.desired, drift.actual)
        for drift in app.survey(DESIRED, host, "kvm01").drift
        if drift.object == "guest/twice"
    }
    told = ("one interface", "2 interfaces")
    assert fields["persistent", mac(1)] == fields["live", mac(1)] == told
    assert [nic.port for nic in unmentioned(DESIRED.guests[0], host.inspect())] == ["vnet2"]


@pytest.mark.parametrize("port", ["tap*", "tap+", 'a"b', "a b", "a\\b"])
def test_a_port_that_programs_would_take_for_a_pattern_waits_alone(port: str) -> None:
    host = host_with(DESIRED)
    twice = host.domains["twice"]
    host.domains["twice"] = replace(twice, live=tuple(replace(nic, port=port) for nic in twice.live))
    plan = app.plan_of(app.survey(DESIRED, host, "kvm01"))
    (waiting,) = plan.waiting
    assert waiting.target == "guest/twice" and f"port {port} of twice" in waiting.what
    assert [step.action.target for step in plan.steps if step.id.startswith("live:")] == ["guest/web01"]


@pytest.mark.parametrize("port", ["vnet0", "tap-web.01", "a+b", "x@y:1", "$", "ä"])
def test_other_names_of_ports_are_taken_as_they_are(port: str) -> None:
    host = host_with(DESIRED)
    twice = host.domains["twice"]
    host.domains["twice"] = replace(twice, live=tuple(replace(nic, port=port) for nic in twice.live))
    assert app.plan_of(app.survey(DESIRED, host, "kvm01")).waiting == ()


def test_an_apply_that_leaves_it_does_not_say_that_the_host_is_as_it_should_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = app.survey(DESIRED, host_with_a_repeated_mac(), "kvm01")
    plan = replace(app.plan_of(seen), steps=())
    _print_application(Namespace(output="text"), app.Application(plan, None, seen.drift, ()), [])
    told = capsys.readouterr().out
    assert told.startswith("nothing can be done now") and "waits (unsupported): guest/twice" in told


def test_a_port_that_was_renamed_is_enforced_by_nothing_and_keeps_its_rules() -> None:
    """They are of its old name, under which it may come back."""
    host = host_as_wanted(DESIRED)
    live = replace(host.inspect(), devices=host.devices() - {"vnet0"} | {"renamed"})
    seen = app.Survey(DESIRED, live, "kvm01", diff(DESIRED, live, "kvm01"))
    kernel = [(each.object, each.field) for each in seen.drift if each.layer is Layer.KERNEL]
    assert kernel == [("guest/twice", f"{mac(1)}.port")]
    assert [(each.guest, str(each.proof)) for each in app.proofs_of(seen)] == [
        ("twice", "absent"),
        ("web01", "enforced"),
    ]
    plan = app.plan_of(seen)
    assert {step.action.kind for step in plan.steps} == {"define-guest"}
    assert [each.what for each in plan.waiting] == ["find port vnet0 of twice, which is no device of this host"]
