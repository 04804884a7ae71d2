"""A run that is cut off anywhere is finished by the next (P1, P3, P5, P6): killed at its journal, without its daemon,
without room on its disk. A probe sends all the while what neither the old nor the new filters allow.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from frames import stream, udp_frame
from settled import Host, write_site
from sites import EXAMPLE, SITE, guest_yaml, mac
from sizes import examples

from reconciler import app
from reconciler.errors import ReconcilerError
from reconciler.lab import labs
from reconciler.lab.guests import GuestImage, NicSpec, domain_xml, tiny_domain_xml
from reconciler.model.plan import Step

pytestmark = pytest.mark.lab

TEXT = SITE + b"policy: {disruption: guest-restart, prune: true, shutdown: {timeout: 60}}\n"
ADDED = "<rule action='drop' direction='out' priority='999'><mac srcmacaddr='02:00:00:00:00:01'/></rule>\n</filter>"
TWO_FILTERS = ("guest-mac", "guest-arp")
OTHERS = {f"other{number:02}": number for number in range(5, 5 + examples(0, 6))}
GUESTS = ("swap01", "swap02", "direct01", "real01", *OTHERS)


def site_of(number: int) -> dict[str, bytes]:
    """Two states of one site: between them is a step of nearly every kind."""
    one, two = ("[10.0.0.11]", "[10.0.0.12]") if number == 0 else ("[10.0.0.12]", "[10.0.0.11]")
    return {
        "swap01": guest_yaml("swap01", 1, one),
        "swap02": guest_yaml("swap02", 2, two),
        "direct01": guest_yaml("direct01", 3, f"[10.0.0.{30 + number}]", attach="direct"),
        "real01": guest_yaml(
            "real01", 4 + 16 * number, "[10.0.0.40]", more=f"autostart: {'true' if number else 'false'}"
        ),
        **{name: guest_yaml(name, place, f"[10.0.0.{50 + place}]") for name, place in OTHERS.items()},
    }


def write_state(host: Host, number: int) -> None:
    host.write(site_of(number))
    assert host.settings.site is not None
    for name in TWO_FILTERS:
        text = (EXAMPLE / "filters" / f"{name}.xml").read_text()
        path = host.settings.site / "filters" / f"{name}.xml"
        path.write_text(text.replace("</filter>", ADDED) if number else text)
    extra = host.settings.site / "filters/extra.xml"
    if number:
        extra.write_text("<filter name='extra'><rule action='accept' direction='out'/></filter>")
    else:
        extra.unlink(missing_ok=True)


def spoil(host: Host) -> None:
    """Rules that nobody asks for, and one that is missing."""
    ebtables = ["ebtables", "-t", "nat"]
    host.lab.run([*ebtables, "-I", "PREROUTING", "-i", host.port("swap02"), "-p", "0x88cc", "-j", "ACCEPT"])
    host.lab.run([*ebtables, "-N", "libvirt-I-vnet77"], check=False)
    host.lab.run([*ebtables, "-F", f"libvirt-O-{host.port('swap01')}"], check=False)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, guest_image: GuestImage) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("cut")
    write_site(folder / "site", site_of(0), TEXT)
    with labs.lab() as lab:
        host = Host(lab, folder)
        for number, name in enumerate(GUESTS, 1):
            nics = [NicSpec(mac(number))]
            xml = domain_xml(name, guest_image, nics) if name == "real01" else tiny_domain_xml(name, nics)
            (folder / f"{name}.xml").write_text(xml)
            host.virsh("define", str(folder / f"{name}.xml"))
            host.virsh("start", name)
        host.converge()
        yield host


FORGED = {
    "swap01": udp_frame(mac(1), "10.0.0.66"),
    "direct01": udp_frame(mac(3), "10.0.0.66"),
}


@contextmanager
def probed(host: Host, folder: Path, number: int) -> Iterator[None]:
    """Forged frames of one of two guests, in turn, all the while; none may be heard."""
    folder.mkdir(parents=True)
    guest = sorted(FORGED)[number % len(FORGED)]
    with stream(host.lab, host.port(guest), {"forged": FORGED[guest]}, folder, rate=500) as counted:
        yield
    assert counted.arrived("forged") == 0 < counted.sent("forged")


def assert_whole(host: Host) -> None:
    """The next run finishes, and nothing of the one before is left."""
    host.converge()
    assert set(host.virsh("list", "--name").split()) == set(GUESTS)
    names = host.virsh("nwfilter-list")
    assert ".next-" not in names and ".scratch" not in names
    assert "reconciler" not in host.lab.run(["nft", "list", "tables"]).stdout
    assert app.interrupted_runs(host.settings) == ()


def command(host: Host, *before: str) -> subprocess.CompletedProcess[str]:
    where = ["--connect", host.lab.uri, "--site", str(host.settings.site), "--var", str(host.settings.var)]
    argv = [*before, sys.executable, "-m", "reconciler", *where, "--host", "kvm01", "apply", "--yes"]
    return subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def killed_at(number: int) -> tuple[str, ...]:
    """The program dies in its n-th fsync: the journal's line may be on disk or not, nothing after it is."""
    inject = f"inject=fsync:signal=KILL:when={number}"
    return ("strace", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", inject)


def kill_points(sample: int) -> Iterator[int]:
    """All of them with `--full`, else every so many."""
    return itertools.count(1) if examples(0, 1) else itertools.count(2, sample)


def test_killed_at_any_line_of_the_journal(host: Host, tmp_path: Path) -> None:
    killed = 0
    for number in kill_points(16):
        write_state(host, (killed + 1) % 2)
        spoil(host)
        with probed(host, tmp_path / str(number), number):
            ended = command(host, *killed_at(number))
            assert_whole(host)
        if ended.returncode not in (-9, 137):
            assert ended.returncode == 0, ended.stderr
            break
        killed += 1
    assert killed > examples(1, 30)


def test_without_its_daemon_at_any_step(host: Host, tmp_path: Path) -> None:
    for number in kill_points(9):
        write_state(host, number % 2)
        spoil(host)
        killer = Killer(host, number)
        with probed(host, tmp_path / str(number), number):
            ended = attempt(host, killer)
            if host.lab.daemon_pid is None:
                host.lab.start_daemon()
                host.lab.wait_until_ready()
            assert_whole(host)
        if killer.began < number:
            assert isinstance(ended, app.Application)
            break
    assert number > examples(1, 15)


@dataclass
class Killer:
    """Kills libvirtd when the n-th step begins."""

    host: Host
    at: int
    began: int = 0

    def __call__(self, event: str, _step: Step) -> None:
        self.began += event == "start"
        if event == "start" and self.began == self.at:
            self.host.lab.kill_daemon()


def attempt(host: Host, killer: Killer) -> app.Application | ReconcilerError:
    try:
        return app.apply(host.settings, killer)
    except ReconcilerError as error:
        return error


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[None]:
    """A state folder on a disk of its own, with only so much room left."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_takes_nothing_that_is_not_taken_back(host: Host, tmp_path: Path) -> None:
    failed = 0
    for number, kib in enumerate(range(4, examples(40, 100), examples(12, 4))):
        write_state(host, number % 2)
        var = tmp_path / f"var{kib}"
        before = sorted(host.virsh("nwfilter-list").split()), host.virsh("dumpxml", "direct01")
        with small_disk(var, kib):
            ended = command_with(host, var)
            if ended.returncode != 0:
                failed += 1
                assert "Traceback" not in ended.stderr, ended.stderr
                assert "journal" in ended.stderr or "state folder" in ended.stderr or "record" in ended.stderr
                assert (sorted(host.virsh("nwfilter-list").split()), host.virsh("dumpxml", "direct01")) == before
        assert_whole(host)
    assert failed


def command_with(host: Host, var: Path) -> subprocess.CompletedProcess[str]:
    where = ["--connect", host.lab.uri, "--site", str(host.settings.site), "--var", str(var), "--host", "kvm01"]
    argv = [sys.executable, "-m", "reconciler", *where, "apply", "--yes"]
    return subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_going_back_to_an_earlier_run(host: Host) -> None:
    write_state(host, 0)
    host.converge()
    before = sorted(host.virsh("nwfilter-list").split()), rules_of(host)
    write_state(host, 1)
    host.converge()
    where = ["--connect", host.lab.uri, "--site", str(host.settings.site), "--var", str(host.settings.var)]
    base = [sys.executable, "-m", "reconciler", *where, "--host", "kvm01"]
    told = subprocess.run([*base, "--output", "json", "history"], check=True, capture_output=True, text=True)
    last = json.loads(told.stdout)["runs"][0]
    assert last["outcome"] == "applied"
    back = subprocess.run(
        [*base, "rollback", last["run"], "--itself", "--yes"], check=False, capture_output=True, text=True
    )
    assert back.returncode == 0, back.stderr
    assert (sorted(host.virsh("nwfilter-list").split()), rules_of(host)) == before
    write_state(host, 0)
    host.converge()


def rules_of(host: Host) -> list[list[str]]:
    """Of the guests that keep their ports."""
    return [sorted(host.rules(host.port(name))) for name in GUESTS if name != "real01"]
