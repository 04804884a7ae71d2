"""Whether a port is closed is read or not known: an answer that never came is not "none is" (P3)."""

import subprocess

import pytest

from reconciler.errors import HostError
from reconciler.host.kernel import Kernel
from reconciler.host.processes import Namespaces


def test_gates_of_a_daemon_that_is_gone_are_not_said_to_be_open() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with pytest.raises(HostError):
        Kernel(Namespaces(gone.pid)).gated()
