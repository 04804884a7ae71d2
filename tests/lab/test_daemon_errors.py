"""A daemon that is dead, or that one may not talk to, on the real thing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sites import EXAMPLE

from reconciler.errors import HostError
from reconciler.host.address import daemon_pid, parse_uri
from reconciler.lab.labs import lab

pytestmark = pytest.mark.lab

NOBODY = 65534


def diff(uri: str, var: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "reconciler", "--site", str(EXAMPLE), "--host", "kvm01", "--var", str(var)]
    return subprocess.run([*argv, "--connect", uri, "diff"], check=False, capture_output=True, text=True)


def test_a_dead_daemon_is_one_sentence_and_a_live_one_works_again(tmp_path: Path) -> None:
    with lab() as private:
        assert diff(private.uri, tmp_path).returncode == 1
        private.kill_daemon()
        ended = diff(private.uri, tmp_path)
        assert ended.returncode == 2
        assert ended.stderr.startswith("error: libvirt does not answer"), ended.stderr
        assert "hint: libvirtd is not running" in ended.stderr and "Traceback" not in ended.stderr
        private.start_daemon()
        private.wait_until_ready()
        assert diff(private.uri, tmp_path).returncode == 1


def test_no_permission_is_said_as_such() -> None:
    with lab() as private:
        address = parse_uri(private.uri)
        private.folder.chmod(0o755)
        (private.folder / "run").chmod(0o755)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            try:
                daemon_pid(address)
                os.write(writing, b"it was let in")
            except HostError as error:
                os.write(writing, f"{error.message}|{error.hint}".encode())
            os._exit(0)
        os.close(writing)
        os.waitpid(child, 0)
        said = os.read(reading, 4096).decode()
        os.close(reading)
        assert "no permission to connect" in said and "as root" in said, said
