"""The service of a host: what install writes is what systemd accepts, and is hardened."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from reports import DRIFT, NOON, report

from reconciler.host.journald import is_ours, send
from reconciler.host.wake import take_knocks, wake
from reconciler.model.disruption import Disruption
from reconciler.model.outcome import Case, InterfaceProof
from reconciler.model.plan import Plan, Waiting, WaitReason
from reconciler.model.report import Outcome
from reconciler.report.metrics import metrics
from reconciler.settings import Settings
from reconciler.stories.telling import log, write_metrics

pytestmark = pytest.mark.server

UNITS = ("reconciler.service", "reconciler.timer", "reconciler-wake.socket")


def command(*words: str, expected: int = 0) -> str:
    argv = [sys.executable, "-m", "reconciler", *words]
    ended = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert ended.returncode == expected, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    command("install", "--prefix", str(tmp_path))
    return tmp_path


def units(root: Path) -> list[str]:
    return [str(root / "etc/systemd/system" / name) for name in UNITS]


def test_a_configuration_that_the_units_would_not_read_is_refused(tmp_path: Path) -> None:
    command("--config", str(tmp_path / "own.yaml"), "install", "--prefix", str(tmp_path / "root"), expected=2)
    assert not (tmp_path / "root").exists()


def test_systemd_finds_nothing_wrong_with_the_units(root: Path) -> None:
    words = ["systemd-analyze", "verify", "--recursive-errors=no", *units(root)]
    ended = subprocess.run(words, check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


def test_the_service_is_exposed_no_more_than_it_must_be(root: Path) -> None:
    words = ["systemd-analyze", "security", "--offline=true", units(root)[0]]
    text = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    [level] = re.findall(r"Overall exposure level for .*: ([\d.]+)", text)
    assert float(level) <= 2.0


def test_the_service_starts_this_installation_whatever_path_says(root: Path) -> None:
    text = Path(units(root)[0]).read_text()
    [line] = re.findall("^ExecStart=(.*)$", text, re.MULTILINE)
    assert line == f"{Path(sys.executable).with_name('reconciler')} --config /etc/reconciler/config.yaml run"
    assert "@" not in re.sub(r"=[@~].*|#.*", "", text)


def test_install_says_what_it_did_and_does_nothing_twice(tmp_path: Path) -> None:
    first = command("install", "--prefix", str(tmp_path)).splitlines()
    assert [line.split()[0] for line in first] == ["wrote"] * 5 + ["made", "next:"]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    second = command("install", "--prefix", str(tmp_path)).splitlines()
    assert {line.split()[0] for line in second[:-1]} == {"kept"}
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}


def test_the_state_is_for_root_alone_and_the_configuration_too(root: Path) -> None:
    assert (root / "var/lib/reconciler").stat().st_mode & 0o777 == 0o700
    assert (root / "etc/reconciler/config.yaml").stat().st_mode & 0o777 == 0o600


def test_what_the_operator_wrote_stays(root: Path) -> None:
    config = root / "etc/reconciler/config.yaml"
    config.write_text("host: kvm09\n")
    (root / "var/lib/reconciler/applied.json").write_text("{}")
    command("install", "--prefix", str(root))
    told = command("uninstall", "--prefix", str(root))
    assert config.read_text() == "host: kvm09\n"
    assert (root / "var/lib/reconciler/applied.json").exists()
    assert f"kept {config}" in told
    assert not any(Path(unit).exists() for unit in units(root))
    assert not (root / "etc/tmpfiles.d/reconciler.conf").exists()
    assert command("uninstall", "--prefix", str(root)).count("removed") == 0


def test_the_configuration_that_is_written_can_be_read(root: Path, tmp_path: Path) -> None:
    config = root / "etc/reconciler/config.yaml"
    command("--config", str(config), "--site", "state", "check")
    told = "".join(re.sub(r"^#(?=[a-z_]+:)", "", line) for line in config.read_text().splitlines(keepends=True))
    config.write_text(told.replace("token_file: /etc/reconciler/token\n", ""))
    command("--config", str(config), "--site", "state", "check")


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("not a folder")
    command("install", "--prefix", str(tmp_path), expected=1)


def test_a_knock_starts_a_run_that_takes_it(tmp_path: Path) -> None:
    """systemd's own socket activation hands the socket over, as it would for the unit."""
    path, site = tmp_path / "wake.sock", tmp_path / "absent"
    run = [sys.executable, "-m", "reconciler", "--site", str(site), "--var", str(tmp_path / "var"), "run"]
    keep = ["-E", "PATH", "-E", "PYTHONPATH"]
    activate = ["systemd-socket-activate", "--listen", str(path), *keep, *run]
    with subprocess.Popen(activate, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        while not path.exists():
            assert waiting.poll() is None
        command("wake", "--socket", str(path))
        out, err = waiting.communicate(timeout=20)
    assert "is not a site" in err and waiting.returncode == 1, out + err


def test_a_knock_is_taken_where_the_run_itself_cannot_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else systemd starts the service again and again, until a limit closes the socket."""
    from reconciler import cli
    from reconciler.verbs import run

    taken: list[str] = []
    monkeypatch.setattr(run, "take_knocks", lambda: taken.append("knock"))
    assert cli.main(["--config", str(tmp_path / "absent.yaml"), "run"]) == 2
    assert taken == ["knock"]


def test_knocks_are_taken_once_and_later_ones_wait_for_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "wake.sock"
    child = f"""
import os, socket, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from reconciler.host.wake import take_knocks, wake
from pathlib import Path
listener = socket.socket(socket.AF_UNIX); listener.bind({str(path)!r}); listener.listen()
os.dup2(listener.fileno(), 3)
told = {{"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}}
wake(Path({str(path)!r})); wake(Path({str(path)!r}))
print(take_knocks(told), take_knocks(told)); wake(Path({str(path)!r})); print(take_knocks(told))
"""
    ended = subprocess.run([sys.executable, "-c", child], check=True, capture_output=True, text=True)
    assert ended.stdout == "2 0\n1\n"


@pytest.mark.parametrize("told", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_FDS": "1"}])
def test_descriptors_of_another_process_are_left_alone(told: dict[str, str]) -> None:
    assert take_knocks(told) == 0


def test_a_knock_that_nobody_hears_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="nobody listens"):
        wake(tmp_path / "absent")
    command("wake", "--socket", str(tmp_path / "absent"), expected=1)


# What the machine is told.


def read_fields(data: bytes) -> dict[str, str]:
    """The native protocol of systemd's journal."""
    fields = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, separator, value = line.partition(b"=")
        if not separator:
            (size,) = struct.unpack("<Q", data[:8])
            value, data = data[8 : 8 + size], data[9 + size :]
        fields[name.decode()] = value.decode()
    return fields


def test_a_run_is_one_message_of_the_journal_with_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reconciler.host import journald

    path = tmp_path / "journal"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(path))
        monkeypatch.setattr(journald, "is_ours", lambda: True)
        monkeypatch.setattr(journald.send, "__defaults__", (path,))
        log(report(Outcome.FAILED, found=(DRIFT,)))
        found = read_fields(journal.recv(1 << 16))
    assert (found["RECONCILER_HOST"], found["RECONCILER_OUTCOME"], found["PRIORITY"]) == ("kvm01", "failed", "4")
    assert found["RECONCILER_COMMIT"] == "c" * 40 and found["RECONCILER_DRIFT"] == "guest/web01"
    assert "RECONCILER_ERROR" not in found


def test_a_value_with_line_ends_is_no_field_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(path))
        send({"MESSAGE": "a\nPRIORITY=0\nMESSAGE=forged", "X": "y"}, path)
        assert read_fields(journal.recv(1 << 16)) == {"MESSAGE": "a\nPRIORITY=0\nMESSAGE=forged", "X": "y"}
        send({"MESSAGE": "short", "X": "y" * 100_000}, path)
        assert read_fields(journal.recv(1 << 16)) == {"MESSAGE": "short"}
    send({"MESSAGE": "nobody listens"}, tmp_path / "absent")


def test_fields_go_to_the_journal_only_when_it_reads_standard_error() -> None:
    status = os.fstat(2)
    assert is_ours({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    assert not is_ours({"JOURNAL_STREAM": "1:2"}) and not is_ours({})


SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[\d.]+(?:e[+-]\d+)?)')


def samples(text: str) -> dict[str, float]:
    """Every line in Prometheus' text format, or an assertion."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            assert re.fullmatch(r"# (HELP reconciler_[a-z_]+ [^\n]+|TYPE reconciler_[a-z_]+ gauge)", line)
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, line
        found[line.rpartition(" ")[0]] = float(sample[3])
    assert text.endswith("\n")
    return found


def test_the_metrics_say_what_a_run_found_did_and_left() -> None:
    waits = Waiting("guest/web01", "restart", WaitReason.POLICY, "", Disruption.GUEST_RESTART)
    cases = (Case("m", "a", "pass", "pass"), Case("m", "b", "drop", "pass"))
    proofs = (InterfaceProof("web01", "52:54:00:00:00:01", "vnet0", cases),)
    told = report(
        Outcome.WAITING, seconds=1.5, found=(DRIFT, DRIFT), drift=(DRIFT,), proofs=proofs,
        plan=Plan("c", "kvm01", waiting=(waits,)), stale_since=NOON,
    )  # fmt: skip
    found = samples(metrics(told, NOON))
    assert found["reconciler_run_duration_seconds"] == 1.5
    assert found["reconciler_last_success_timestamp_seconds"] == NOON.timestamp()
    assert found[f'reconciler_commit_info{{commit="{"c" * 40}"}}'] == 1
    assert found['reconciler_drift{object="guest/web01"}'] == 1 and found["reconciler_drift_found"] == 2
    assert found['reconciler_interfaces{proof="absent"}'] == 0 and found['reconciler_interfaces{proof="present"}'] == 1
    assert found['reconciler_coverage_ratio{guest="web01",mac="52:54:00:00:00:01"}'] == 0.5
    assert found['reconciler_pending_disruptive_steps{disruption="guest-restart"}'] == 1
    assert found['reconciler_run_outcome{outcome="waiting"}'] == 1
    assert found["reconciler_rebuilds"] == 0
    assert "reconciler_source_stale_since_timestamp_seconds" in found


def test_no_name_breaks_out_of_its_label() -> None:
    from dataclasses import replace

    told = report(drift=(replace(DRIFT, object='guest/x"} 1\nreconciler_forged 1\\'),))
    assert "reconciler_forged" not in samples(metrics(told, None))


def test_every_metric_is_in_the_documentation() -> None:
    names = re.findall(r"^# TYPE reconciler(\w+) ", metrics(report(), NOON), re.MULTILINE)
    page = (Path(__file__).parents[2] / "docs/gitops.md").read_text(encoding="utf-8")
    assert names and [name for name in names if not re.search(rf"`(reconciler)?{name}[`{{]", page)] == []


def test_the_metrics_file_is_replaced_whole_and_others_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics/reconciler.prom"
    settings = Settings(var=tmp_path / "var", metrics=path)
    write_metrics(settings, report(Outcome.FAILED))
    assert "reconciler_last_success_timestamp_seconds" not in path.read_text()
    write_metrics(settings, report())
    write_metrics(settings, report(Outcome.FAILED))
    assert samples(path.read_text())["reconciler_last_success_timestamp_seconds"] > 0
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]
