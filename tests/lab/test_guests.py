"""Real guests answer, change their address, and shut down when they are asked to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import libvirt
import pytest

from reconciler.errors import HostError, HostTimeout
from reconciler.lab import guests, labs
from reconciler.lab.console import Console
from reconciler.lab.guests import GuestImage, NicSpec
from reconciler.lab.handle import Lab

pytestmark = pytest.mark.lab

NAMES = ("one", "two")
MACS = ("52:54:00:00:00:01", "52:54:00:00:00:02")
LINK_LOCAL = "fe80::5054:ff:fe00:2"


@pytest.fixture(scope="module")
def pair(guest_image: GuestImage) -> Iterator[tuple[Lab, Console, Console]]:
    """Two running guests on one bridge, and their consoles."""
    with labs.lab() as lab:
        connection = libvirt.open(lab.uri)
        for name, mac in zip(NAMES, MACS, strict=True):
            connection.defineXML(guests.domain_xml(name, guest_image, [NicSpec(mac)])).create()
        one, two = (Console(lab, name) for name in NAMES)
        with one, two:
            for console in (one, two):
                console.wait_for_prompt()
            yield lab, one, two
        connection.close()


def test_a_guest_answers_at_the_address_that_it_takes(pair: tuple[Lab, Console, Console]) -> None:
    _, one, two = pair
    one.command("ip addr flush dev eth0 scope global; ip addr add 192.0.2.1/24 dev eth0")
    for address in ("192.0.2.2", "192.0.2.3"):
        two.command(f"ip addr flush dev eth0 scope global; ip addr add {address}/24 dev eth0")
        assert "1 packets received" in one.command(f"ping -c 1 {address}")
        assert MACS[1] in one.command(f"arping -c 1 -w 10 -I eth0 {address}").lower()
    assert "0 packets received" in one.command("ping -c 1 -W 1 192.0.2.2", check=False)


def test_a_guest_answers_over_ipv6(pair: tuple[Lab, Console, Console]) -> None:
    _, one, _ = pair
    assert "1 packets received" in one.command(f"ping -c 1 {LINK_LOCAL}%eth0")


def test_the_console_works_while_the_daemon_is_away(pair: tuple[Lab, Console, Console]) -> None:
    lab, one, _ = pair
    lab.kill_daemon()
    assert one.command("echo still here") == "still here\n"
    lab.start_daemon()
    lab.wait_until_ready()
    assert one.command("echo here again") == "here again\n"


def test_a_command_that_fails_or_hangs_is_an_error(pair: tuple[Lab, Console, Console]) -> None:
    _, one, _ = pair
    with pytest.raises(HostError, match="exit code 3 in guest 'one': gone wrong"):
        one.command("echo gone wrong; (exit 3)")
    assert one.command("false", check=False) == ""
    with pytest.raises(HostTimeout, match="did not end within"):
        one.command("cat /dev/console >/dev/null", timeout=0.5)
    one.wait_for_prompt()
    assert one.command("printf 'a\\nb'") == "a\nb"


def test_a_guest_shuts_down_when_its_power_button_is_pressed(
    guest_image: GuestImage, eventually: Callable[..., None]
) -> None:
    with labs.lab() as lab:
        connection = libvirt.open(lab.uri)
        domain = connection.defineXML(guests.domain_xml("guest", guest_image))
        domain.create()
        with Console(lab, "guest") as console:
            console.wait_for_prompt()
            domain.shutdown()
            eventually(lambda: not domain.isActive(), "the guest has shut down", seconds=10)
            with pytest.raises(HostError, match="guest 'guest' has ended"):
                console.command("true")
        connection.close()


def test_a_guest_that_does_not_run_has_no_console(lab: Lab) -> None:
    with pytest.raises(HostTimeout, match="no console"):
        Console(lab, "nobody").wait_for_prompt(0.1)


def test_the_image_is_built_once(guest_image: GuestImage) -> None:
    built = guest_image.initrd.stat().st_mtime_ns
    assert guests.image() == guest_image
    assert guest_image.initrd.stat().st_mtime_ns == built
