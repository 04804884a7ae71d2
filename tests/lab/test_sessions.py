"""A connection that was refused leaves nothing behind: a daemon that restarts is asked for one many times."""

from __future__ import annotations

import threading

import libvirt
import pytest

from reconciler.errors import HostUnreachable
from reconciler.host.address import parse_uri
from reconciler.host.session import open_session
from reconciler.lab.handle import Lab

SECONDS = 30


@pytest.mark.lab
def test_a_refused_connection_leaves_no_thread(shared_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_uri: str) -> object:
        raise libvirt.libvirtError("no")

    monkeypatch.setattr(libvirt, "open", refused)
    before = set(threading.enumerate())
    with pytest.raises(HostUnreachable, match="refuses the connection"):
        open_session(parse_uri(shared_lab.uri))
    for thread in set(threading.enumerate()) - before:
        thread.join(SECONDS)
        assert not thread.is_alive()
