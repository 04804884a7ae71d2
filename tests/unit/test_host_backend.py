"""Which programs make a host's rules: found from libvirt's settings and from the rules that there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.host.backend import backend_of_rules, said_backend
from reconciler.host.daemon_settings import SETTINGS
from reconciler.model.kernel import Backend

IPTABLES, NFTABLES = Backend.IPTABLES, Backend.NFTABLES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('#firewall_backend = "nftables"\nfirewall_backend = "iptables"\n', IPTABLES),
        ('  firewall_backend="nftables"\n', NFTABLES),
        ('#firewall_backend = "nftables"\n', None),
        ('firewall_backend = "pf"\n', None),
        ("", None),
    ],
)
def test_the_settings_say_a_backend_or_leave_it_to_the_daemon(tmp_path: Path, text: str, said: Backend | None) -> None:
    (tmp_path / SETTINGS).parent.mkdir(parents=True)
    (tmp_path / SETTINGS).write_text(text)
    assert said_backend(tmp_path) is said


def test_a_libvirt_without_the_choice_has_no_settings(tmp_path: Path) -> None:
    assert said_backend(tmp_path) is None


@pytest.mark.parametrize(
    ("said", "ports_of_nft", "ports_of_ebtables", "backend"),
    [
        (None, False, False, IPTABLES),
        (None, True, False, NFTABLES),
        (None, False, True, IPTABLES),
        (None, True, True, NFTABLES),
        (NFTABLES, False, False, NFTABLES),
        (IPTABLES, False, False, IPTABLES),
        (NFTABLES, True, True, NFTABLES),
        (IPTABLES, True, True, IPTABLES),
    ],
)
def test_without_rules_or_with_both_the_settings_decide(
    said: Backend | None, ports_of_nft: bool, ports_of_ebtables: bool, backend: Backend
) -> None:
    assert backend_of_rules(said, ports_of_nft=ports_of_nft, ports_of_ebtables=ports_of_ebtables) is backend


@pytest.mark.parametrize("said", [IPTABLES, NFTABLES])
def test_rules_that_are_there_say_more_than_settings_which_take_effect_later(said: Backend) -> None:
    assert backend_of_rules(said, ports_of_nft=True, ports_of_ebtables=False) is NFTABLES
    assert backend_of_rules(said, ports_of_nft=False, ports_of_ebtables=True) is IPTABLES
