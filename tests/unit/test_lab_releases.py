"""Which libvirt a lab may be asked for, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.errors import UsageError
from reconciler.lab import releases
from reconciler.lab.releases import choose
from reconciler.model.kernel import Backend


@pytest.fixture(autouse=True)
def a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that runs bookworm, whose libvirt has one backend."""
    (tmp_path / "etc").mkdir()
    (tmp_path / releases.OS_RELEASE).write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    monkeypatch.setattr(releases, "MACHINE", tmp_path)
    for name in (releases.RELEASE_ENVIRONMENT, releases.BACKEND_ENVIRONMENT):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_machines_own_release_needs_no_tree(a_machine: Path) -> None:
    assert choose() == choose("bookworm") == releases.System("bookworm", Backend.IPTABLES, a_machine)


def test_an_unknown_release_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no tree of a release 'trixi'") as raised:
        choose("trixi")
    assert raised.value.hint == "did you mean trixie?"


@pytest.mark.parametrize("release", ["", "trixie"])
def test_a_backend_that_a_release_does_not_have_is_refused(release: str) -> None:
    with pytest.raises(UsageError, match="with ebtables and iptables only"):
        choose(release, "nftables")


def test_a_machine_whose_libvirt_has_both_may_choose(a_machine: Path) -> None:
    (a_machine / releases.DRIVER_SETTINGS).parent.mkdir(parents=True)
    (a_machine / releases.DRIVER_SETTINGS).write_text("")
    assert choose("", "nftables").of_nft
