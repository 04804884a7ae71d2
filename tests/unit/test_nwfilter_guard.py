"""Guards, and what the guest's own XML refers to."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.guest import Attach, Interface
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.guard import guard_filter, interface_filterref, mark_uuid
from reconciler.nwfilter.parse import parse_filter

INTERFACE = Interface(
    mac="52:54:00:30:fc:2d",
    filter="guest-dual-stack",
    parameters=(("IPMASK", "32"), ("IP", "10.0.0.2"), ("IP", "10.0.0.1"), ("IPMASK", "29")),
)
VARIABLES = (("IP", "10.0.0.2"), ("IP", "10.0.0.1"), ("IPMASK", "32"), ("IPMASK", "29"))


def test_a_guard_refers_to_the_shared_filter_with_the_addresses_in_order() -> None:
    guard = guard_filter("Web01", INTERFACE)
    assert guard == NwFilter("guard-web01-30fc2d", "root", 0, (FilterRef("guest-dual-stack", VARIABLES),))
    assert parse_filter(format_filter(guard, mark_uuid(guard.name))) == guard


def test_a_guarded_interface_holds_no_address() -> None:
    assert interface_filterref("Web01", INTERFACE) == FilterRef("guard-web01-30fc2d", (("CTRL_IP_LEARNING", "none"),))


def test_a_direct_interface_holds_the_variables_and_never_learns() -> None:
    parameters = (*INTERFACE.parameters, ("CTRL_IP_LEARNING", "any"))
    interface = replace(INTERFACE, attach=Attach.DIRECT, parameters=parameters)
    expected = (("CTRL_IP_LEARNING", "none"), *VARIABLES)
    assert interface_filterref("Web01", interface) == FilterRef("guest-dual-stack", expected)


def test_the_mark_never_changes() -> None:
    assert mark_uuid("guard-web01-30fc2d") == "d321b3e3-948f-517e-aef7-673d676ba452"
    assert UUID(mark_uuid("a")).version == 5
    assert mark_uuid("a") != mark_uuid("b")
