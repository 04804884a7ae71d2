"""Exact (promise P2): every change that matters is found on its layer and put right, none that does not is reported."""

from __future__ import annotations

import random
from collections.abc import Iterator

import libvirt
import pytest
from edits import Edit, Hand
from edits_nft import NftHand
from installed import of_nft
from settled import Host, write_site
from sites import guest_yaml, mac
from sizes import examples

from reconciler.host.glance import is_as_before
from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.labs import lab as new_lab
from reconciler.model.account import Account
from reconciler.model.drift import Drift
from reconciler.model.outcome import Proof

pytestmark = pytest.mark.lab

GUESTS = {
    "web01": guest_yaml("web01", 1, "[10.0.0.10]", '["2001:db8::10"]'),
    "db01": guest_yaml("db01", 2, "[10.0.0.20, 10.0.0.32/29]", '["2001:db8::20"]', attach="direct"),
    "seg01": guest_yaml("seg01", 3, "[10.0.0.64/28]", "none"),
    "fw01": guest_yaml("fw01", 4, "[10.0.0.40]", "none").replace(b"    segment", b"    filter: walled\n    segment"),
}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("edits")
    write_site(folder / "site", GUESTS)
    with new_lab(bridges=("br0", "br1")) as lab:
        connection = libvirt.open(lab.uri)
        for number, name in enumerate(GUESTS, 1):
            connection.defineXML(tiny_domain_xml(name, [NicSpec(mac(number))])).create()
        connection.close()
        running = Host(lab, folder)
        assert running.apply().drift == ()
        yield running


def hand(host: Host, seed: int) -> Iterator[Hand]:
    rng = random.Random(seed)
    connection = libvirt.open(host.lab.uri)
    try:
        while True:
            yield (NftHand if of_nft(host.lab) else Hand)(host.lab, connection, rng)
    finally:
        connection.close()


def test_every_change_that_matters_is_found_on_its_layer_and_put_right(host: Host) -> None:
    hands = hand(host, 20261125)
    for number in range(examples(18, 200)):
        edit = next(hands).telling()
        before = account(host)
        edit.make()
        assert not is_as_before(host.lab.uri, before), f"{number}: {edit.words}"
        drift = host.drift()
        assert found(edit, drift), f"{number}: {edit.words} is not among {drift}"
        assert all(each.desired != each.actual for each in drift)
        done = host.apply()
        assert done.execution is not None and done.execution.ok, f"{number}: {edit.words}: {done.execution}"
        assert done.drift == (), f"{number}: {edit.words}"
        assert done.plan.waiting == (), f"{number}: {edit.words}"
        assert {proof.proof for proof in done.proofs} == {Proof.ENFORCED}, f"{number}: {edit.words}"


def account(host: Host) -> Account:
    """Of a look at the host, which is as it was looked at."""
    found = host.survey().live.account
    assert found is not None
    assert is_as_before(host.lab.uri, found)
    return found


def found(edit: Edit, drift: tuple[Drift, ...]) -> bool:
    return any(
        (each.object, str(each.layer)) == (edit.object, edit.layer) and each.field.startswith(edit.field)
        for each in drift
    )


def test_no_change_that_does_not_matter_is_reported(host: Host) -> None:
    hands = hand(host, 20261126)
    for number in range(examples(30, 200)):
        edit = next(hands).idle()
        edit.make()
        assert host.drift() == (), f"{number}: {edit.words}"
