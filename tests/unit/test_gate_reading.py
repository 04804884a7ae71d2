"""Whether a port is closed is read or not known: an answer that never came is not "none is" (P3)."""

import subprocess

import pytest

from reconciler.errors import HostError
from reconciler.host.kernel import Kernel
from reconciler.host.processes import Namespaces
from reconciler.nwfilter.ebtables import parse_ebtables
from reconciler.nwfilter.prove import jumps_of
from reconciler.nwfilter.sleeping import as_met, sleeping_tables, waking


def test_gates_of_a_daemon_that_is_gone_are_not_said_to_be_open() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with pytest.raises(HostError):
        Kernel(Namespaces(gone.pid)).gated()


@pytest.mark.parametrize(
    ("flags", "sleeps"),
    [
        ("", False),
        (', "flags": "dormant"', True),
        (', "flags": ["owner", "dormant"]', True),
        (', "flags": "any text, by nft 1.0.6"', True),
        (', "flags": ["owner", "persist"]', False),
    ],
)
def test_a_table_that_sleeps_leads_no_frame_into_its_chains(flags: str, *, sleeps: bool) -> None:
    listed = '{"nftables": [{"table": {"family": "bridge", "name": "nat", "handle": 1%s}}]}' % flags  # noqa: UP031
    asleep = sleeping_tables(listed)
    met = as_met(parse_ebtables("*nat\n:PREROUTING DROP\n-A PREROUTING -i vnet0 -j libvirt-I-vnet0\n"), asleep)
    assert bool(asleep) == sleeps == (jumps_of(met, "vnet0") == ())
    assert waking(asleep) == ("add table bridge nat\n" if sleeps else "")
