"""What goes wrong is said in one sentence with a hint, never a traceback, and nothing was done (promise P8)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from sites import EXAMPLE


def command(*arguments: str, var: Path) -> subprocess.CompletedProcess[str]:
    argv = [
        sys.executable,
        "-m",
        "reconciler",
        "--site",
        str(EXAMPLE),
        "--host",
        "kvm01",
        "--var",
        str(var),
        *arguments,
    ]
    return subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def refused(ended: subprocess.CompletedProcess[str], exit_code: int, *words: str) -> None:
    assert ended.returncode == exit_code, ended.stdout + ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line]
    assert lines[0].startswith("error: ") and lines[-1].startswith("hint: "), ended.stderr
    assert "Traceback" not in ended.stderr
    assert "nothing was done" in ended.stderr
    for word in words:
        assert word in ended.stderr, ended.stderr


@pytest.mark.parametrize(("verb", "exit_code"), [("diff", 2), ("plan", 1), ("apply", 1), ("verify", 1)])
def test_an_absent_socket(tmp_path: Path, verb: str, exit_code: int) -> None:
    uri = f"qemu+unix:///system?socket={tmp_path}/libvirt-sock"
    refused(command("--connect", uri, verb, var=tmp_path), exit_code, "does not exist", "start libvirtd")


def test_a_socket_behind_which_nobody_listens(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "libvirt-sock"))
    uri = f"qemu+unix:///system?socket={tmp_path}/libvirt-sock"
    refused(command("--connect", uri, "diff", var=tmp_path), 2, "does not answer", "libvirtd is not running")


@pytest.mark.parametrize(
    "uri", ["qemu+ssh://root@elsewhere/system", "qemu+tcp://10.0.0.1/system", "qemu://other/system"]
)
def test_a_daemon_of_another_machine_whose_rules_cannot_be_read(tmp_path: Path, uri: str) -> None:
    refused(command("--connect", uri, "diff", var=tmp_path), 2, "another machine", "on that host itself")


@pytest.mark.parametrize("uri", ["test:///default", "qemu:///session", "nonsense", "qemu://["])
def test_a_uri_of_no_system_daemon(tmp_path: Path, uri: str) -> None:
    ended = command("--connect", uri, "diff", var=tmp_path)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr and ended.stderr.startswith("error: ")


def test_a_host_that_the_site_does_not_have(tmp_path: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "reconciler",
        "--site",
        str(EXAMPLE),
        "--host",
        "kvm99",
        "--var",
        str(tmp_path),
        "diff",
    ]
    ended = subprocess.run(argv, check=False, capture_output=True, text=True)
    refused(ended, 2, "'kvm99'", "kvm01")


def test_a_folder_that_is_no_site(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "reconciler", "--site", str(tmp_path), "check"]
    refused(subprocess.run(argv, check=False, capture_output=True, text=True), 1, "site.yaml")


def test_an_unusable_configuration_is_named_with_its_place(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("connect: qemu:///system\nbranhc: main\n")
    argv = [sys.executable, "-m", "reconciler", "--config", str(config), "diff"]
    ended = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert ended.returncode == 2
    assert f"{config}:2:1" in ended.stderr and "'branhc'" in ended.stderr


def test_a_reader_of_json_gets_the_error_as_json(tmp_path: Path) -> None:
    uri = f"qemu+unix:///system?socket={tmp_path}/libvirt-sock"
    ended = command("--connect", uri, "--output", "json", "plan", var=tmp_path)
    found = json.loads(ended.stdout)
    assert found["schema"] == 1
    assert "does not exist" in found["error"]["message"]
    assert found["error"]["hint"]


def test_problems_of_the_site_stop_every_verb_before_the_host_is_asked(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "guests").mkdir(parents=True)
    (site / "site.yaml").write_text("hosts: {kvm01: {}}\n")
    (site / "guests/a.yaml").write_text("name: b\ninterfaces: []\n")
    argv = [sys.executable, "-m", "reconciler", "--site", str(site), "--var", str(tmp_path / "var"), "apply"]
    ended = subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert ended.returncode == 1
    assert "guests/a.yaml:1:7" in ended.stderr and "nothing was applied" in ended.stderr


def test_a_broken_pipe_is_no_error(tmp_path: Path) -> None:
    argv = f"{sys.executable} -m reconciler schema guest | head -1"
    ended = subprocess.run(argv, shell=True, check=False, capture_output=True, text=True)
    assert "Traceback" not in ended.stderr


def test_an_answer_that_finds_no_room_is_an_error_in_one_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        argv = [sys.executable, "-m", "reconciler", "schema", "guest"]
        ended = subprocess.run(argv, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: standard output: No space left on device"), ended.stderr
    assert "Traceback" not in ended.stderr


TELLS = """
import sys
from reconciler.model.actions import StartGuest
from reconciler.model.plan import Step
from reconciler.verbs.common import tell_progress
step = Step("1", StartGuest("web01"), "it was stopped")
for event in ("start", "done"):
    tell_progress(event, step)
print("all steps were taken")
"""


def test_steps_go_on_when_nobody_hears_of_them_any_more() -> None:
    """Else a guest that was shut down for a change would stay down because a terminal was closed."""
    reader, gone = os.pipe()
    os.close(reader)
    with Path("/dev/full").open("w") as full, os.fdopen(gone, "w") as pipe:
        for stderr in (full, pipe):
            argv = [sys.executable, "-c", TELLS]
            ended = subprocess.run(argv, check=False, stdout=subprocess.PIPE, stderr=stderr, text=True)
            assert (ended.returncode, ended.stdout) == (0, "all steps were taken\n")


def test_who_has_no_standard_input_is_not_asked(tmp_path: Path) -> None:
    uri = f"qemu+unix:///system?socket={tmp_path}/libvirt-sock"
    argv = f"{sys.executable} -m reconciler --connect '{uri}' --site {EXAMPLE} --var {tmp_path} --host kvm01 apply <&-"
    refused(subprocess.run(argv, shell=True, check=False, capture_output=True, text=True), 1, "does not exist")


@pytest.mark.parametrize("words", [["--host", "kvm99", "plan"], ["plan", "--nonsense"]])
def test_an_error_is_no_change_for_who_asks_a_plan_by_its_exit_code(tmp_path: Path, words: list[str]) -> None:
    argv = [sys.executable, "-m", "reconciler", "--site", str(EXAMPLE), "--var", str(tmp_path), *words]
    ended = subprocess.run([*argv, "--detailed-exitcode"], check=False, capture_output=True, text=True)
    assert ended.returncode == 1 and "error: " in ended.stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["check", "--output", "json"], "hint: --output before the verb, as in `reconciler --output … check`"),
        (["check", "--site=x", "--nonsense"], "hint: --site before the verb"),
        (["chekc"], "hint: did you mean check?"),
    ],
)
def test_words_in_a_wrong_place_get_a_hint(words: list[str], hint: str) -> None:
    ended = subprocess.run([sys.executable, "-m", "reconciler", *words], check=False, capture_output=True, text=True)
    assert ended.returncode == 2 and hint in ended.stderr


FAULTY = """
import sys
from reconciler import cli
from reconciler.verbs import check
def schema(arguments):
    raise KeyError("nobody thought of it")
check.schema = schema
sys.exit(cli.main(["schema", "guest"]))
"""


def test_a_fault_of_the_program_itself_is_one_sentence_too_and_whole_on_request() -> None:
    argv = [sys.executable, "-c", FAULTY]
    ended = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: the reconciler itself has a fault: KeyError: 'nobody thought of it', in ")
    assert "Traceback" not in ended.stderr and "hint: what was begun is in the journal" in ended.stderr
    whole = {**os.environ, "RECONCILER_TRACEBACK": "1"}
    assert "Traceback" in subprocess.run(argv, check=False, capture_output=True, text=True, env=whole).stderr


def test_a_terminal_without_the_letters_ends_no_verb(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "reconciler", "--site", str(EXAMPLE), "--var", str(tmp_path), "trace", "web01", "ip"]
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = subprocess.run(argv, check=False, capture_output=True, text=True, env=environment)
    assert (ended.returncode, ended.stderr) == (0, "") and "\\u2192 I-port-ipv4" in ended.stdout


@pytest.mark.parametrize("words", [["status", "--desired"], ["--output", "json", "--host", "kvm99", "plan"]])
def test_an_output_that_is_full_is_one_sentence(tmp_path: Path, words: list[str]) -> None:
    argv = [sys.executable, "-m", "reconciler", "--site", str(EXAMPLE), "--var", str(tmp_path), *words]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(argv, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 1
    assert "error: standard output: No space left on device" in ended.stderr and "Traceback" not in ended.stderr
