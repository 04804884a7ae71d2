"""A daemon with a root of its own, as in a container: guests are asked from its network, by programs that it lacks."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from reconciler.host.probes import answering
from reconciler.host.processes import Namespaces
from reconciler.model.probe import Probe, ProbeKind

pytestmark = pytest.mark.lab

PINGED = Probe("web01", ProbeKind.PING, ip_address("127.0.0.77"))
SILENT = Probe("db01", ProbeKind.PING, ip_address("192.0.2.1"))


@pytest.fixture
def contained(tmp_path: Path) -> Iterator[Namespaces]:
    """The namespaces of a process whose root has nothing but one program, in a network of its own."""
    shutil.copy2("/bin/busybox", tmp_path / "busybox")
    words = ["unshare", "--net", f"--root={tmp_path}", "/busybox", "sh", "-c", "echo ready; exec /busybox cat"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        yield Namespaces(process.pid, ("net", "root"))
        process.stdin.close()


def test_guests_are_asked_in_its_network(contained: Namespaces) -> None:
    assert answering([PINGED], 1, contained, lambda _guest: False) == frozenset()
    up = contained.network.wrap(["ip", "link", "set", "lo", "up"])
    subprocess.run(up, check=True)
    assert answering([PINGED, SILENT], 1, contained, lambda _guest: False) == {PINGED}
