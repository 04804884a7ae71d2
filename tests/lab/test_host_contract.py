"""The in-memory host is held to libvirt's behaviour: the same assertions on it and on a real libvirtd."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from worlds import LabWorld, MemoryWorld, Seen, World, guest_xml, listening, mac

from reconciler.errors import HostError, HostTimeout
from reconciler.lab.labs import lab as new_lab
from reconciler.model.filter import FilterRef
from reconciler.model.kernel import Family, ForeignRule, KernelRule
from reconciler.model.live import Domain, FilterFile, LiveFilter, Nic
from reconciler.model.supplement import Element
from reconciler.nwfilter.guard import mark_uuid, temporary_uuid
from reconciler.nwfilter.installed import Installed
from reconciler.nwfilter.leftovers import leftover_ports
from reconciler.nwfilter.prove import port_rules
from reconciler.nwfilter.supplement import with_rules

pytestmark = pytest.mark.lab

OTHER_UUID = "11111111-2222-4333-8444-555555555555"


@pytest.fixture(scope="module")
def libvirt_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabWorld]:
    events = tmp_path_factory.mktemp("contract") / "events"
    with new_lab(bridges=("br0", "br1")) as lab, listening(lab, events), pytest.MonkeyPatch.context() as monkeypatch:
        yield LabWorld(lab, events, monkeypatch)


@pytest.fixture(params=["memory", "libvirt"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        yield MemoryWorld()
        return
    world: LabWorld = request.getfixturevalue("libvirt_world")
    yield world
    world.clear()


def accept(address: str) -> str:
    return f"<rule action='accept' direction='out'><ip srcipaddr='{address}'/></rule>"


def reference(name: str, **variables: str) -> str:
    parameters = (f"<parameter name='{key}' value='{v}'/>" for key, value in variables.items() for v in value.split())
    return f"<filterref filter='{name}'>{''.join(parameters)}</filterref>"


def define(world: World, name: str, *entries: str, uuid: str = "") -> None:
    text = f"<filter name='{name}' chain='root'><uuid>{uuid or mark_uuid(name)}</uuid>{''.join(entries)}</filter>"
    world.host.define_filter(text)


def run_guest(world: World, guest: str, filterref: str) -> str:
    """Its port."""
    world.host.define_domain(guest_xml(guest, filterref))
    world.host.start_domain(guest)
    return port_of(world, guest)


def domain(world: World, guest: str) -> Domain:
    found = world.host.find_domain(guest)
    assert found is not None
    return found


def live(world: World, guest: str) -> Nic:
    return domain(world, guest).live[0]


def port_of(world: World, guest: str) -> str:
    port = live(world, guest).port
    assert port is not None
    return port


def held(world: World, name: str) -> LiveFilter:
    found = world.host.find_filter(name)
    assert found is not None
    return found


def rules(world: World, port: str) -> tuple[KernelRule, ...]:
    return port_rules(world.host.rules().ethernet, port)


def addresses(world: World, port: str) -> set[str]:
    return {word.removesuffix("/32") for rule in rules(world, port) for word in rule.text.split() if "10.0.0." in word}


# Filters


def test_a_new_or_identical_definition_builds_nothing(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    run_guest(world, "g1", reference("leaf"))
    with world.watch() as seen:
        define(world, "leaf", accept("10.0.0.1"))
        define(world, "other", accept("10.0.0.2"))
        define(world, "other", accept("10.0.0.3"))
        define(world, "extra", reference("nowhere"))
    assert seen == Seen()
    assert held(world, "other").definition.entries != held(world, "leaf").definition.entries


def test_our_marks_are_read_back_from_the_uuid(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    define(world, "extra", accept("10.0.0.1"), uuid=temporary_uuid("extra"))
    define(world, "other", accept("10.0.0.1"), uuid=OTHER_UUID)
    marks = {name: (held(world, name).owned, held(world, name).temporary) for name in ("leaf", "extra", "other")}
    assert marks == {"leaf": (True, False), "extra": (False, True), "other": (False, False)}


def test_a_changed_definition_rebuilds_every_port_that_reaches_it_once_and_no_other(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    define(world, "root", reference("leaf"))
    define(world, "other", accept("10.0.0.3"))
    ports = [run_guest(world, "g1", reference("root")), run_guest(world, "g2", reference("leaf"))]
    untouched = run_guest(world, "g3", reference("other"))
    with world.watch() as seen:
        define(world, "leaf", accept("10.0.0.2"))
    assert sorted(seen.rebuilt) == sorted(ports)
    assert seen.bare == set(), "a port was open while its rules were built"
    assert [addresses(world, port) for port in (*ports, untouched)] == [{"10.0.0.2"}, {"10.0.0.2"}, {"10.0.0.3"}]


def test_a_definition_that_cannot_be_built_leaves_everything_as_it_was(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    port = run_guest(world, "g1", reference("leaf"))
    before = held(world, "leaf"), rules(world, port)
    for entry in (accept("$UNSET"), reference("nowhere")):
        with world.watch() as seen, pytest.raises(HostError):
            define(world, "leaf", entry)
        assert seen == Seen()
        assert (held(world, "leaf"), rules(world, port)) == before


def test_a_name_and_its_uuid_belong_together_and_references_make_no_circle(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    define(world, "root", reference("leaf"))
    before = held(world, "leaf").definition
    with pytest.raises(HostError):
        define(world, "leaf", accept("10.0.0.2"), uuid=OTHER_UUID)
    with pytest.raises(HostError):
        define(world, "other", accept("10.0.0.2"), uuid=mark_uuid("leaf"))
    with pytest.raises(HostError):
        define(world, "leaf", reference("root"))
    assert held(world, "leaf").definition == before
    assert world.host.find_filter("other") is None


def test_only_a_filter_that_no_port_reaches_can_be_undefined(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    define(world, "root", reference("leaf"))
    define(world, "other", accept("10.0.0.3"))
    define(world, "extra", reference("other"))
    run_guest(world, "g1", reference("root"))
    for name in ("leaf", "root"):
        with pytest.raises(HostError):
            world.host.undefine_filter(name)
    world.host.undefine_filter("other")
    assert world.host.find_filter("other") is None, "that another filter refers to it is no matter"
    world.host.undefine_filter("other")


def test_a_definition_that_cannot_be_saved_is_in_force_and_its_filter_is_gone(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    define(world, "other", accept("10.0.0.3"))
    port = run_guest(world, "g1", reference("leaf"))
    with world.unwritable(), pytest.raises(HostError):
        define(world, "leaf", accept("10.0.0.2"))
    assert addresses(world, port) == {"10.0.0.2"}
    assert world.host.find_filter("leaf") is None
    with world.watch() as seen:
        define(world, "leaf", accept("10.0.0.1"))
    assert seen == Seen(), "it is new to libvirt, so nothing is built"
    assert addresses(world, port) == {"10.0.0.2"}
    with world.watch() as seen:
        define(world, "leaf", accept("10.0.0.3"))
    assert seen == Seen([port])
    assert addresses(world, port) == {"10.0.0.3"}


def test_one_port_that_cannot_be_built_blocks_every_changed_definition_and_undefinition(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    define(world, "other", accept("10.0.0.3"))
    run_guest(world, "g1", reference("leaf"))
    with world.unwritable(), pytest.raises(HostError):
        define(world, "leaf", accept("10.0.0.2"))
    with pytest.raises(HostError):
        define(world, "other", accept("10.0.0.4"))
    with pytest.raises(HostError):
        world.host.undefine_filter("other")
    define(world, "other", accept("10.0.0.3"))
    define(world, "extra", accept("10.0.0.4"))
    define(world, "leaf", accept("10.0.0.1"))
    define(world, "other", accept("10.0.0.4"))


def test_a_file_that_is_not_what_libvirt_holds_is_told_and_written_anew(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    assert held(world, "leaf").file is FilterFile.SAME
    text = held(world, "leaf").xml
    world.lose_file("leaf")
    assert held(world, "leaf").file is FilterFile.ABSENT
    with pytest.raises(HostError):
        world.host.undefine_filter("leaf")
    world.host.write_filter_files([("leaf", text.replace("10.0.0.1", "10.0.0.2"))])
    assert held(world, "leaf").file is FilterFile.DIFFERENT
    define(world, "leaf", accept("10.0.0.1"))
    assert held(world, "leaf").file is FilterFile.SAME


# The daemon


def test_a_restart_reads_all_files_and_builds_every_port_once(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    define(world, "other", accept("10.0.0.3"))
    define(world, "root", reference("leaf"), reference("other"))
    ports = [run_guest(world, "g1", reference("root")), run_guest(world, "g2", reference("other"))]
    define(world, "extra", accept("10.0.0.5"))
    world.lose_file("extra")
    changed = [(name, held(world, name).xml.replace("10.0.0.", "10.0.0.1")) for name in ("leaf", "other")]
    world.host.write_filter_files(changed)
    with world.watch() as seen:
        world.host.restart_daemon()
    assert sorted(seen.rebuilt) == sorted(ports)
    assert seen.bare == set()
    assert [addresses(world, port) for port in ports] == [{"10.0.0.11", "10.0.0.13"}, {"10.0.0.13"}]
    assert held(world, "leaf").file is FilterFile.SAME
    assert world.host.find_filter("extra") is None


def test_a_file_in_use_that_cannot_be_built_keeps_the_daemon_from_starting_and_the_old_one_brings_it_back(
    world: World,
) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    port = run_guest(world, "g1", reference("leaf"))
    old, before = held(world, "leaf").xml, rules(world, port)
    world.host.write_filter_files([("leaf", old.replace("10.0.0.1", "$UNSET"))])
    with world.watch() as seen:
        with pytest.raises(HostError):
            world.host.restart_daemon()
        for read in (world.host.inspect, world.host.rules):
            with pytest.raises(HostError):
                read()
        world.host.write_filter_files([("leaf", old)])
        world.host.restart_daemon()
    assert seen == Seen([port]), "the old rules do not need the daemon"
    assert rules(world, port) == before
    assert domain(world, "g1").active


def test_after_a_call_that_hangs_nothing_is_asked_any_more(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    with world.hang(), pytest.raises(HostTimeout):
        define(world, "leaf", accept("10.0.0.2"))
    with pytest.raises(HostTimeout):
        world.host.find_filter("leaf")
    with pytest.raises(HostTimeout):
        define(world, "other", accept("10.0.0.2"))
    world.host.gated()


# Guests


def test_what_is_stored_of_a_guest_changes_without_the_running_one(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    define(world, "other", accept("10.0.0.3"))
    port = run_guest(world, "g1", reference("leaf"))
    with world.watch() as seen:
        world.host.define_domain(guest_xml("g1", reference("other")))
    assert seen == Seen()
    assert domain(world, "g1").persistent[0].filterref == FilterRef("other")
    assert live(world, "g1") == Nic(mac("g1"), "bridge", "br0", port, FilterRef("leaf"), live(world, "g1").settings)
    with pytest.raises(HostError):
        world.host.define_domain(guest_xml("g1", uuid=OTHER_UUID))
    assert not domain(world, "g1").autostart
    world.host.set_autostart("g1", True)
    assert domain(world, "g1").autostart


def test_a_guest_starts_behind_its_filter_or_not_at_all(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    world.host.define_domain(guest_xml("g1", reference("leaf"), reference("other")))
    with pytest.raises(HostError):
        world.host.start_domain("g1")
    assert not domain(world, "g1").active
    assert world.host.inspect().bindings == ()
    world.host.define_domain(guest_xml("g1", reference("leaf")))
    world.host.start_domain("g1")
    port = port_of(world, "g1")
    binding = world.host.find_binding(port)
    assert binding is not None
    assert (binding.owner, binding.mac, binding.filterref) == ("g1", mac("g1"), FilterRef("leaf"))
    assert addresses(world, port) == {"10.0.0.1"}
    assert port in world.host.devices()
    with pytest.raises(HostError):
        world.host.start_domain("g1")
    for write in (world.host.start_domain, world.host.destroy_domain):
        with pytest.raises(HostError):
            write("nobody")


def test_a_guest_that_does_not_obey_runs_on_until_it_is_destroyed(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    port = run_guest(world, "g1", reference("leaf"))
    assert not world.host.shut_down_domain("g1", 0.3)
    assert domain(world, "g1").active
    world.host.destroy_domain("g1")
    assert world.host.find_binding(port) is None
    assert rules(world, port) == ()
    assert world.host.shut_down_domain("g1", 0.3), "it is down"
    with pytest.raises(HostError):
        world.host.destroy_domain("g1")


def test_a_saved_guest_starts_with_what_its_image_says(world: World) -> None:
    define(world, "leaf", accept("$IP"))
    run_guest(world, "g1", reference("leaf", IP="10.0.0.1"))
    with pytest.raises(HostError):
        world.host.define_managed_save("g1", guest_xml("g1"))
    world.save("g1")
    image = domain(world, "g1").managed_save
    assert image is not None
    assert image.nics[0].filterref == FilterRef("leaf", (("IP", "10.0.0.1"),))
    world.host.define_managed_save("g1", image.xml.replace("10.0.0.1", "10.0.0.2"))
    world.host.start_domain("g1")
    assert addresses(world, port_of(world, "g1")) == {"10.0.0.2"}
    assert domain(world, "g1").managed_save is None
    assert domain(world, "g1").persistent[0].filterref == FilterRef("leaf", (("IP", "10.0.0.1"),))


# Running interfaces


def test_another_filter_of_a_running_interface_takes_its_rules_away_first(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    define(world, "other", accept("10.0.0.3"))
    port = run_guest(world, "g1", reference("leaf"))
    with world.watch() as seen:
        world.host.set_live_filterref("g1", mac("g1"), FilterRef("other"))
    assert seen == Seen([port], {port})
    assert addresses(world, port) == {"10.0.0.3"}
    assert live(world, "g1").filterref == FilterRef("other")
    assert domain(world, "g1").persistent[0].filterref == FilterRef("leaf")
    world.host.set_live_filterref("g1", mac("g1"), None)
    assert (rules(world, port), world.host.find_binding(port)) == ((), None)
    world.host.set_live_filterref("g1", mac("g1"), FilterRef("leaf"))
    assert addresses(world, port) == {"10.0.0.1"}
    for guest, of in (("g1", "52:54:00:00:00:99"), ("nobody", mac("g1"))):
        with pytest.raises(HostError):
            world.host.set_live_filterref(guest, of, None)


def test_values_that_are_the_same_set_are_no_change_to_libvirt(world: World) -> None:
    define(world, "leaf", accept("$IP"))
    port = run_guest(world, "g1", reference("leaf", IP="10.0.0.1 10.0.0.2"))
    before = live(world, "g1"), rules(world, port)
    for values in (("10.0.0.2", "10.0.0.1"), ("10.0.0.2", "10.0.0.2")):
        other = FilterRef("leaf", tuple(("IP", value) for value in values))
        same = set(values) == {"10.0.0.1", "10.0.0.2"}
        with world.watch() as seen:
            world.host.set_live_filterref("g1", mac("g1"), other)
        if same:
            assert (seen, live(world, "g1"), rules(world, port)) == (Seen(), *before)


def test_a_change_of_a_running_interface_that_fails_puts_the_old_rules_back(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    define(world, "other", accept("$UNSET"))
    port = run_guest(world, "g1", reference("leaf"))
    before = live(world, "g1"), rules(world, port), world.host.find_binding(port)
    with world.watch() as seen, pytest.raises(HostError):
        world.host.set_live_filterref("g1", mac("g1"), FilterRef("other"))
    assert seen == Seen([port], {port}), "they are gone in between"
    assert (live(world, "g1"), rules(world, port), world.host.find_binding(port)) == before


def test_a_running_interface_moves_to_another_bridge(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    port = run_guest(world, "g1", reference("leaf"))
    world.host.set_live_filterref("g1", mac("g1"), FilterRef("leaf"), "br1")
    assert (live(world, "g1").source, live(world, "g1").port) == ("br1", port)
    assert addresses(world, port) == {"10.0.0.1"}


def test_a_binding_is_built_again_by_being_made_anew(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    port = run_guest(world, "g1", reference("leaf"))
    binding, before = world.host.find_binding(port), rules(world, port)
    with world.watch() as seen:
        world.host.rebuild_binding(port, "g1", FilterRef("leaf"))
    assert seen == Seen([port], {port})
    assert (world.host.find_binding(port), rules(world, port)) == (binding, before)
    for gone, owner in (("vnet99", "g1"), (port, "nobody")):
        with pytest.raises(HostError):
            world.host.rebuild_binding(gone, owner, FilterRef("leaf"))
    assert rules(world, port) == before


# The kernel


def test_gates_close_and_open_port_by_port(world: World) -> None:
    world.host.close_gate("vnet7")
    world.host.close_gate("vnet7")
    world.host.close_gate("vnet8")
    assert world.host.gated() == {"vnet7", "vnet8"}
    assert world.host.inspect().gated == {"vnet7", "vnet8"}
    world.host.open_gate("vnet7")
    world.host.open_gate("vnet7")
    assert world.host.gated() == {"vnet8"}
    world.host.open_gate("vnet8")
    assert world.host.gated() == frozenset()


def test_the_supplement_is_read_as_it_was_set_and_leaves_gates_alone(world: World) -> None:
    wanted = with_rules((Element("guests", mac("g1")), Element("targets", mac("g1"), "2001:db8::/64")))
    assert world.host.supplement() is None
    world.host.close_gate("vnet7")
    world.host.set_supplement(wanted)
    assert world.host.supplement() == world.host.inspect().kernel.supplement == wanted
    assert world.host.gated() == {"vnet7"}
    world.host.open_gate("vnet7")
    assert (world.host.supplement(), world.host.gated()) == (wanted, frozenset())
    world.host.set_supplement(with_rules(()))
    assert world.host.supplement() == with_rules(())
    world.host.set_supplement(None)
    assert world.host.supplement() is None


def test_rules_of_others_are_found_and_removed_one_by_one(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    port = run_guest(world, "g1", reference("leaf"))
    before = rules(world, port)
    world.add_foreign_rule(f"-i {port} -j ACCEPT")
    found = Installed(world.host.rules()).foreign(port)
    assert found == (ForeignRule(Family.ETHERNET, "PREROUTING", f"-A PREROUTING -i {port} -j ACCEPT", True),)
    world.host.remove_rules(found)
    assert Installed(world.host.rules()).foreign(port) == ()
    assert rules(world, port) == before
    world.host.remove_rules(found)


def test_chains_of_a_port_that_is_gone_are_swept_and_no_others(world: World) -> None:
    define(world, "leaf", accept("10.0.0.1"))
    port = run_guest(world, "g1", reference("leaf"))
    before = rules(world, port)
    world.leave_behind("vnet77")
    assert leftover_ports(world.host.rules(), world.host.devices()) == ("vnet77",)
    world.host.sweep_port("vnet77")
    assert leftover_ports(world.host.rules(), world.host.devices()) == ()
    assert rules(world, port) == before
