"""A lab leaves nothing behind: after `down`, after Ctrl-C, and after its creator was killed, at any moment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import libvirt
import pytest

from reconciler.lab import guests, labs
from reconciler.lab.guests import NicSpec
from reconciler.lab.handle import Lab

pytestmark = pytest.mark.lab

Eventually = Callable[..., None]

# Signals itself when the given number of lines of the package has run; prints how many there are when none is given.
INTERRUPTED_UP = """
import os, signal, sys
from reconciler.lab import labs
# A shell's background job, and so a CI's, may be started with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
number, at, files = int(sys.argv[1]), int(sys.argv[2]), ("labs.py", "registry.py", "settings.py", "handle.py")
count = 0
def trace(frame, event, argument):
    global count
    if not frame.f_code.co_filename.endswith(files):
        return None
    if event == "line":
        count += 1
        if count == at:
            os.kill(os.getpid(), number)
    return trace
sys.settrace(trace)
labs.up("lab", keep=bool(int(sys.argv[3])))
sys.settrace(None)
print(count)
"""
# Enough to meet every phase; one run has some 200 lines.
SAMPLES = 16
HOLD = """
import sys, time
from reconciler.lab import labs
labs.up("lab", keep=False)
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for this test's labs alone, so that what others do on the machine is not taken for a trace."""
    folder = Path(tempfile.mkdtemp(prefix="labs-"))
    monkeypatch.setenv("RECONCILER_LAB_DIR", str(folder / "root"))
    yield folder / "root"
    for state in labs.listing():
        labs.down(state.name)
    labs.sweep()
    shutil.rmtree(folder)


@dataclass(frozen=True)
class Traces:
    """What a lab may leave: processes in its namespaces or about it, mounts, links of the machine, its folder."""

    processes: frozenset[str]
    mounts: tuple[str, ...]
    links: frozenset[str]
    folder: bool


def traces(root: Path) -> Traces:
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return Traces(
        frozenset(place.name for place in Path("/proc").glob("[0-9]*") if concerns(place, root)),
        tuple(line for line in mounts if str(root) in line),
        frozenset(link.name for link in Path("/sys/class/net").iterdir()),
        root.exists(),
    )


def concerns(process: Path, root: Path) -> bool:
    """Whether a process sees mounts of a lab, or was started for one; a zombie has neither."""
    for file in ("mountinfo", "cmdline"):
        with suppress(OSError):
            if str(root).encode() + b"/" in (process / file).read_bytes():
                return True
    return False


def used_namespaces() -> set[Path]:
    found = set()
    for place in Path("/proc").glob("[0-9]*/ns/*"):
        with suppress(OSError):
            found.add(place.readlink())
    return found


def fill(lab: Lab) -> None:
    opened = libvirt.open(lab.uri)
    nic = NicSpec("52:54:00:00:00:01", filterref_xml="<filterref filter='no-mac-spoofing'/>")
    opened.createXML(guests.tiny_domain_xml("guest", [nic]))
    opened.close()


def namespaces_of(lab: Lab) -> set[Path]:
    places = Path(f"/proc/{lab.init.pid}/ns")
    return {(places / kind).readlink() for kind in ("mnt", "net", "pid", "uts")}


def test_down_leaves_nothing(root: Path) -> None:
    before = traces(root)
    lab = labs.up("lab")
    fill(lab)
    own = namespaces_of(lab)
    assert traces(root).processes and own <= used_namespaces()
    labs.down("lab")
    assert traces(root) == before
    assert not own & used_namespaces()


def test_the_end_of_the_block_leaves_nothing_also_after_an_error(root: Path) -> None:
    before = traces(root)
    with pytest.raises(ZeroDivisionError), labs.lab() as lab:
        fill(lab)
        raise ZeroDivisionError
    assert traces(root) == before


def test_a_lab_that_cannot_start_leaves_nothing(root: Path) -> None:
    before = traces(root)
    with pytest.raises(Exception, match="`ip -batch -` ended with exit code"):
        labs.up("lab", bridges=("lo",))
    assert traces(root) == before


def run_up(number: int, at: int, *, keep: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", INTERRUPTED_UP, str(number), str(at), str(int(keep))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def lines() -> int:
    """How many lines of the package one `up` runs."""
    with tempfile.TemporaryDirectory(prefix="labs-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECONCILER_LAB_DIR", folder + "/root")
        counted = run_up(0, 0)
        labs.down("lab")
    return int(counted.stdout)


@pytest.mark.parametrize("sample", range(SAMPLES))
def test_ctrl_c_during_up_leaves_nothing(root: Path, lines: int, sample: int, eventually: Eventually) -> None:
    before = traces(root)
    ended = run_up(signal.SIGINT, 1 + sample * lines // SAMPLES)
    assert "KeyboardInterrupt" in ended.stderr, ended.stderr
    eventually(lambda: traces(root) == before, "nothing is left")


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("sample", range(SAMPLES))
def test_what_a_killed_up_leaves_is_swept(
    root: Path, lines: int, sample: int, keep: bool, eventually: Eventually
) -> None:
    before = traces(root)
    ended = run_up(signal.SIGKILL, 1 + sample * lines // SAMPLES, keep=keep)
    assert ended.returncode == -signal.SIGKILL
    eventually(lambda: not traces(root).processes, "the lab has ended with its creator")
    labs.sweep()
    assert traces(root) == before


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[str]]:
    """A process that holds a lab which is not to be kept."""
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_lab_ends_with_the_process_that_holds_it(
    root: Path, holder: subprocess.Popen[str], eventually: Eventually
) -> None:
    fill(labs.find("lab"))
    holder.kill()
    holder.wait()
    eventually(lambda: not traces(root).processes, "the lab has ended with its holder")
    assert labs.listing() == ()
    with labs.lab("other"):
        assert [entry.name for entry in root.iterdir()] == ["other"]


def test_another_process_may_take_a_held_lab_down(root: Path, holder: subprocess.Popen[str]) -> None:
    labs.down("lab")
    assert not traces(root).processes
    assert holder.poll() is None


def test_the_end_of_a_block_spares_a_later_lab_of_the_same_name(root: Path) -> None:
    with labs.lab("lab"):
        labs.down("lab")
        later = labs.up("lab")
    assert labs.find("lab") == later


def test_a_kept_lab_outlives_its_creator(root: Path) -> None:
    run_up(0, 0)
    lab = labs.find("lab")
    lab.wait_until_ready()
    labs.down("lab")


def test_a_lab_whose_first_process_died_is_swept(root: Path, eventually: Eventually) -> None:
    before = traces(root)
    lab = labs.up("lab")
    os.kill(lab.init.pid, signal.SIGKILL)
    eventually(lambda: not traces(root).processes, "the lab has ended")
    assert labs.sweep() == ("lab",)
    assert traces(root) == before


def test_rivals_for_one_name_get_one_lab() -> None:
    command = [sys.executable, "-c", "from reconciler.lab import labs; labs.up('lab')"]
    rivals = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ended = [(rival.communicate(timeout=60)[1], rival.returncode) for rival in rivals]
    assert sorted(code for _, code in ended) == [0, 1, 1]
    assert all("is up already" in said or "just being started" in said for said, code in ended if code)
    labs.down("lab")
