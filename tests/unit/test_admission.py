"""libvirt's hook: what a guest's XML and filters must be, judged without libvirt, and never in the way by accident."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sites import SITE, domain_xml, guest_yaml, host_as_wanted, site

from reconciler.admission import hook
from reconciler.admission.judge import digest, interfaces, objections
from reconciler.app import Survey
from reconciler.model.guest import Attach
from reconciler.nwfilter.guard import interface_filterref
from reconciler.nwfilter.wanted import wanted_filters
from reconciler.stories.admitting import admission_record

HOOK = Path(__file__).parents[2] / "hooks/qemu"
GUESTS = {
    "web01": guest_yaml("web01", 1, "[10.0.0.10]"),
    "db01": guest_yaml("db01", 2, "[10.0.0.20]", attach="direct"),
    "far01": guest_yaml("far01", 3, "[10.0.0.30]", more="hosts: [kvm02]"),
}


class Verified:
    """A host as it was verified: what was written down, libvirt's files, and each guest's XML."""

    def __init__(self) -> None:
        self.desired = site(GUESTS, SITE + b"hosts: {kvm01: {}, kvm02: {}}\n")
        host = host_as_wanted(site({name: text for name, text in GUESTS.items() if name != "far01"}))
        live = host.inspect(definition.name for definition in wanted_filters(self.desired, "kvm01"))
        self.record = admission_record("refuse", Survey(self.desired, live, "kvm01", ()))
        self.files = {
            each.definition.name: f"<!--\nWARNING: do not edit\n-->\n\n{each.xml}\n".encode() for each in live.filters
        }

    def xml(self, name: str, *, filterref: str | None = None) -> bytes:
        guest = next(guest for guest in self.desired.guests if guest.name == name)
        [interface] = guest.interfaces
        reference = interface_filterref(name, interface)
        parameters = "".join(f"<parameter name='{key}' value='{value}'/>" for key, value in reference.parameters)
        told = f"<filterref filter='{reference.filter}'>{parameters}</filterref>" if filterref is None else filterref
        return domain_xml(guest).replace("</interface>", f"{told}</interface>").encode()

    def objections(self, name: str, xml: bytes) -> list[str]:
        return list(objections(name, interfaces(xml), self.record, self.files.get))


@pytest.fixture(scope="module")
def _verified() -> Verified:
    return Verified()


@pytest.fixture
def verified(_verified: Verified) -> Verified:
    fresh = Verified.__new__(Verified)
    fresh.desired, fresh.record, fresh.files = (
        _verified.desired,
        json.loads(json.dumps(_verified.record)),
        dict(_verified.files),
    )
    return fresh


@pytest.mark.parametrize("name", ["web01", "db01"])
def test_a_guest_as_it_was_verified_may_start(verified: Verified, name: str) -> None:
    assert verified.objections(name, verified.xml(name)) == []


def test_under_guard_the_xml_holds_no_address_so_the_filters_are_looked_at(verified: Verified) -> None:
    [web01] = [guest for guest in verified.desired.guests if guest.name == "web01"]
    assert web01.interfaces[0].attach is Attach.GUARD and b"10.0.0" not in verified.xml("web01")
    guard = verified.record["guests"]["web01"]["interfaces"][web01.interfaces[0].mac]["filter"]
    verified.files[guard] = verified.files[guard].replace(b"10.0.0.10", b"10.0.0.66")
    assert verified.objections("web01", verified.xml("web01")) == [
        f"the filter {guard} was changed since it was verified"
    ]


@pytest.mark.parametrize("change", ["edited", "gone"])
def test_a_filter_anywhere_below_counts(verified: Verified, change: str) -> None:
    if change == "gone":
        del verified.files["guest-arp"]
    else:
        verified.files["guest-arp"] += b"<!-- x -->"
    [told] = verified.objections("web01", verified.xml("web01"))
    assert "guest-arp" in told
    assert len(verified.objections("db01", verified.xml("db01"))) == 1


def test_a_filter_of_somebody_else_does_not_count(verified: Verified) -> None:
    guard = next(name for name in verified.files if name.startswith("guard-web01"))
    verified.files[guard] += b"changed"
    verified.files["unrelated"] = b"<filter/>"
    assert verified.objections("db01", verified.xml("db01")) == []


@pytest.mark.parametrize(
    ("filterref", "told"),
    [
        ("", "has no filter"),
        ("<filterref filter='clean-traffic'/>", "has the filter clean-traffic, not guard-web01-000001"),
        (
            "<filterref filter='guard-web01-000001'><parameter name='IP' value='10.0.0.66'/></filterref>",
            "variables of the interface 52:54:00:00:00:01 of guest web01 are others",
        ),
        ("<filterref filter='guard-db01-000002'/>", "has the filter guard-db01-000002, not"),
    ],
)
def test_another_filterref_than_the_verified_one_is_told(verified: Verified, filterref: str, told: str) -> None:
    [found] = verified.objections("web01", verified.xml("web01", filterref=filterref))
    assert told in found


def test_a_missing_ban_on_learning_alone_is_nothing(verified: Verified) -> None:
    assert (
        verified.objections("web01", verified.xml("web01", filterref="<filterref filter='guard-web01-000001'/>")) == []
    )


def test_an_interface_that_the_site_does_not_mention_is_told(verified: Verified) -> None:
    xml = verified.xml("web01").replace(b"52:54:00:00:00:01", b"52:54:00:00:00:99")
    assert verified.objections("web01", xml) == [
        "the site does not mention the interface 52:54:00:00:00:99 of guest web01"
    ]


def test_a_guest_of_another_host_is_told(verified: Verified) -> None:
    assert "does not have guest far01 on this host" in verified.objections("far01", verified.xml("far01"))[0]


def stranger(mac: str, filterref: str = "") -> bytes:
    nic = f"<interface type='bridge'><mac address='{mac}'/>{filterref}</interface>"
    return f"<domain><name>new</name><devices>{nic}</devices></domain>".encode()


@pytest.mark.parametrize(
    ("xml", "told"),
    [
        (stranger("52:54:00:00:00:01"), "has the MAC 52:54:00:00:00:01, which is web01's"),
        (stranger("52:54:00:aa:00:01", "<filterref filter='guard-web01-000001'/>"), "which is web01's"),
        (
            stranger(
                "52:54:00:aa:00:01",
                "<filterref filter='x'><parameter name='IP' value='10.0.0.16'/>"
                "<parameter name='IPMASK' value='28'/></filterref>",
            ),
            "would hold 10.0.0.16/28, which is db01's",
        ),
        (
            stranger("52:54:00:aa:00:01", "<filterref filter='x'><parameter name='IP' value='10.0.0.30'/></filterref>"),
            "would hold 10.0.0.30/32, which is far01's",
        ),
    ],
)
def test_a_guest_that_the_site_does_not_have_must_not_take_what_belongs_to_another(
    verified: Verified, xml: bytes, told: str
) -> None:
    found = verified.objections("new", xml)
    assert found and told in found[0]


def test_a_guest_that_the_site_does_not_have_and_that_takes_nothing_may_start(verified: Verified) -> None:
    harmless = "<filterref filter='clean-traffic'><parameter name='IP' value='10.9.9.9'/></filterref>"
    assert verified.objections("new", stranger("52:54:00:aa:00:01", harmless)) == []
    assert verified.objections("new", stranger("52:54:00:aa:00:01")) == []


def test_a_name_of_an_element_elsewhere_is_no_interface() -> None:
    inside = "<metadata><interface><mac address='1'/></interface></metadata><devices><x><interface/></x></devices>"
    assert interfaces(f"<domain>{inside}</domain>".encode()) == []


def test_libvirts_warning_is_no_part_of_a_filter() -> None:
    assert digest(b"<!--\nWARNING\n-->\n\n<filter/>\n") == digest(b"<filter/>") != digest(b"<filter />")


# The program and its script


@pytest.fixture
def var(verified: Verified, tmp_path: Path) -> Path:
    folder = tmp_path / "var"
    folder.mkdir()
    (folder / "admission.json").write_text(json.dumps(verified.record))
    return folder


def run_hook(
    var: Path, xml: bytes, *words: str, command: str | None = None, config: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """The script as libvirt runs it, with a stand-in for this machine's filters."""
    admit = command or str(Path(sys.executable).with_name("reconciler-admit"))
    environment = {"PATH": os.environ["PATH"], "RECONCILER_VAR": str(var), "RECONCILER_ADMIT": admit}
    environment |= {"RECONCILER_CONFIG": str(config)} if config else {}
    return subprocess.run([str(HOOK), *words], check=False, input=xml, capture_output=True, env=environment)


START = ("web01", "prepare", "begin", "-")


def log(var: Path) -> list[dict[str, Any]]:
    path = var / "admission.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def with_policy(var: Path, policy: str) -> None:
    record = json.loads((var / "admission.json").read_text())
    (var / "admission.json").write_text(json.dumps(record | {"policy": policy}))


def test_a_foreign_address_is_refused_with_the_reason(var: Path, verified: Verified) -> None:
    ended = run_hook(var, verified.xml("web01", filterref="<filterref filter='clean-traffic'/>"), *START)
    assert ended.returncode == 1
    assert b"web01 is refused: the interface 52:54:00:00:00:01" in ended.stderr
    assert [(each["guest"], each["refused"]) for each in log(var)] == [("web01", True)]


@pytest.mark.parametrize("text", ["var: {}\n", 'admission: refuse\nvar:   "{}"\n', "var: '{}'  # a disk of its own\n"])
def test_the_state_folder_is_where_the_configuration_says(
    var: Path, verified: Verified, tmp_path: Path, text: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(text.format(var))
    admit = str(Path(sys.executable).with_name("reconciler-admit"))
    environment = {"PATH": os.environ["PATH"], "RECONCILER_ADMIT": admit, "RECONCILER_CONFIG": str(config)}
    xml = verified.xml("web01", filterref="<filterref filter='clean-traffic'/>")
    ended = subprocess.run([str(HOOK), *START], check=False, input=xml, capture_output=True, env=environment)
    assert ended.returncode == 1 and b"web01 is refused" in ended.stderr


@pytest.mark.parametrize("text", ["admission: strict\n", 'admission: "strict"\n', "admission:  'strict' # always\n"])
def test_strict_is_strict_in_quotes_too(var: Path, tmp_path: Path, text: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(text)
    assert run_hook(var, b"no xml", *START, command="false", config=config).returncode == 1


def test_under_warn_it_starts_and_is_told(var: Path, verified: Verified) -> None:
    with_policy(var, "warn")
    ended = run_hook(var, verified.xml("web01", filterref=""), *START)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert [(each["guest"], each["refused"]) for each in log(var)] == [("web01", False)]


def test_while_a_run_is_at_work_it_is_only_told(var: Path, verified: Verified) -> None:
    with (var / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run_hook(var, verified.xml("web01", filterref=""), *START).returncode == 0
    assert log(var)[0]["refused"] is False
    assert run_hook(var, verified.xml("web01", filterref=""), *START).returncode == 1


@pytest.mark.parametrize(
    "words",
    [("web01", "started", "begin", "-"), ("web01", "release", "end", "-"), ("web01", "reconnect", "begin", "-")],
)
def test_other_operations_are_none_of_its_business(var: Path, words: tuple[str, ...]) -> None:
    assert run_hook(var, b"no xml at all", *words).returncode == 0
    assert log(var) == []


@pytest.mark.parametrize("words", [("web01", "migrate", "begin", "-"), ("web01", "restore", "begin", "-")])
def test_a_guest_that_comes_in_is_looked_at_too(var: Path, verified: Verified, words: tuple[str, ...]) -> None:
    assert run_hook(var, verified.xml("web01", filterref=""), *words).returncode == 1


def test_where_nothing_was_verified_yet_nothing_is_judged(tmp_path: Path) -> None:
    assert run_hook(tmp_path, b"<domain/>", *START).returncode == 0


BREAKS = {
    "record": lambda var: (var / "admission.json").write_text("{"),
    "shape": lambda var: (var / "admission.json").write_text("[]"),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_hook_does_not_keep_a_guest_from_starting_and_says_that_it_is_broken(var: Path, broken: str) -> None:
    BREAKS[broken](var)
    ended = run_hook(var, b"<domain/>", *START)
    assert ended.returncode == 0 and b"the hook is broken" in ended.stderr


def test_the_systems_log_says_that_it_is_broken(var: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """logger(1) is a stand-in that writes down what it is told."""
    stand_in = tmp_path / "bin/logger"
    stand_in.parent.mkdir()
    stand_in.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/logged\n')
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    run_hook(var, b"<domain", *START)
    told = (tmp_path / "logged").read_text()
    assert "--priority daemon.err" in told and "guest web01 is not looked at" in told


@pytest.mark.parametrize("command", ["/absent", "/bin/false", "sh"])
def test_a_program_that_is_gone_or_fails_does_not_either(var: Path, command: str) -> None:
    ended = run_hook(var, b"<domain", "web01", "prepare", "begin", "-", command=command)
    assert ended.returncode == 0 and b"the hook is broken" in ended.stderr


def test_xml_that_is_none_does_not_either(var: Path) -> None:
    ended = run_hook(var, b"<domain", *START)
    assert ended.returncode == 0 and b"the hook is broken" in ended.stderr


def test_under_strict_it_does(var: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("host: kvm01\nadmission: strict\n")
    assert run_hook(var, b"<domain", *START, config=config).returncode == 1


def test_it_takes_no_longer_than_a_tenth_of_a_second(var: Path, verified: Verified) -> None:
    """Of the processor, with all its processes: what else the machine does is not the hook's."""
    xml = verified.xml("web01", filterref="")
    measured = []
    for _ in range(7):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run_hook(var, xml, *START)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        measured.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert sorted(measured)[len(measured) // 2] <= 0.1, measured


def test_it_imports_nothing_but_what_it_needs() -> None:
    program = "import sys; from reconciler.admission import hook; print(' '.join(sys.modules))"
    names = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    heavy = {"libvirt", "lxml", "yaml", "pydantic", "git", "deepdiff", "rich", "argparse", "subprocess", "asyncio"}
    assert not heavy & {name.partition(".")[0] for name in names}


def test_its_log_does_not_grow_for_ever(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "MOST_LOG_BYTES", 10)
    for number in range(3):
        hook._tell(var, f"g{number}", "prepare", ["x"], refused=False)
    assert [each["guest"] for each in log(var)] == ["g2"]
