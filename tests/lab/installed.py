"""The rules that a lab's kernel has, of whichever backend, read and spoiled by the programs that made them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from extension_headers import UNSEEN_BY_NFT

from reconciler.host import processes
from reconciler.host.address import namespaces_of, parse_uri
from reconciler.host.backend import said_backend
from reconciler.host.kernel import Kernel
from reconciler.host.processes import Completed, Namespaces
from reconciler.lab.handle import Lab
from reconciler.model.kernel import Backend, Family, KernelRules
from reconciler.nwfilter.nftables import TABLES

EBTABLES = ("ebtables", "-t", "nat")


def of_nft(lab: Lab) -> bool:
    return lab.system.backend is Backend.NFTABLES


def tools(lab: Lab) -> Namespaces | None:
    """Where the programs that make and read rules run: with the daemon's own files."""
    pid = lab.daemon_pid
    assert pid, "the daemon does not run"
    return namespaces_of(pid, parse_uri(lab.uri))


def read_rules(lab: Lab) -> KernelRules:
    """As the reader of a host has them."""
    found = Kernel(tools(lab), said_backend(Path(f"/proc/{lab.daemon_pid}/root"))).rules(packets=True)
    assert found.backend is lab.system.backend
    return found


def rule_lines(lab: Lab, word: str = "") -> list[str]:
    """Every rule of frames, and of nft those of packets too, by its chain; those in which a word stands."""
    rules = read_rules(lab)
    rulesets = rules.rulesets if of_nft(lab) else (rules.ethernet,)
    lines = [f"{chain.name}: {rule.text}" for each in rulesets for chain in each.chains for rule in chain.rules]
    return [line for line in lines if word in line]


def out_chain(lab: Lab, port: str, chain: str = "") -> str:
    """The name of a chain for what a port sends; the root one by default."""
    middle = f"-{chain}" if chain else ""
    if of_nft(lab):
        return f"{port}{middle}-out"
    return f"I-{port}{middle}" if chain else f"libvirt-I-{port}"


def flush_port(lab: Lab, port: str) -> None:
    """Empty the root chain for what a port sends: then it may send anything."""
    if of_nft(lab):
        nft(lab, "flush", "chain", "bridge", TABLES[Family.NFT_ETHERNET], out_chain(lab, port))
    else:
        lab.run([*EBTABLES, "-F", out_chain(lab, port)])


def delete_jump(lab: Lab, port: str) -> None:
    """Let nothing that a port sends meet its chains."""
    if of_nft(lab):
        for table in TABLES.values():
            nft(lab, "delete", "element", "bridge", table, "vmap-iif", f'{{ "{port}" }}')
    else:
        lab.run([*EBTABLES, "-D", "PREROUTING", "-i", port, "-j", out_chain(lab, port)])


def nft(lab: Lab, *words: str) -> Completed:
    return processes.run(["nft", *words], within=tools(lab))


def delete_rule(lab: Lab, chain: str, words: str) -> None:
    """Delete the only rule of a chain of frames in whose text some words stand."""
    found = read_rules(lab).ethernet.chain(chain)
    assert found, chain
    [place] = [place for place, rule in enumerate(found.rules) if words in rule.text]
    if not of_nft(lab):
        lab.run([*EBTABLES, "-D", chain, str(place + 1)])
        return
    table = TABLES[Family.NFT_ETHERNET]
    name = chain.lower() if chain in ("PREROUTING", "POSTROUTING") else chain
    listed = json.loads(nft(lab, "-j", "list", "chain", "bridge", table, name).stdout)["nftables"]
    handles = [each["rule"]["handle"] for each in listed if "rule" in each]
    nft(lab, "delete", "rule", "bridge", table, name, "handle", str(handles[place]))


def gated(lab: Lab) -> frozenset[str]:
    """Ports that the reconciler's gate holds closed."""
    return Kernel(tools(lab)).gated()


def proof(lab: Lab) -> str:
    """How well the shared filters hold a guest with IPv6, told from its whole battery."""
    return "present" if of_nft(lab) else "enforced"


def assert_proven(lab: Lab, verified: Any) -> None:
    """All cases of a `verify` hold, on nft but for what its rules do not see."""
    cases = verified["cases"]
    wrong = {case["case"] for case in cases if case["got"] != case["expected"] and not case["inexpressible"]}
    assert wrong == (UNSEEN_BY_NFT if of_nft(lab) else set())
    assert {each["proof"] for each in verified["interfaces"]} == {proof(lab)}


def leave_behind(lab: Lab, port: str) -> None:
    """Chains of a port that is no device, as libvirt leaves them when it is killed."""
    if of_nft(lab):
        for table in TABLES.values():
            for chain in (f"{port}-in", f"{port}-out", *([f"{port}-mac-out"] if "ethernet" in table else [])):
                nft(lab, "add", "chain", "bridge", table, chain)
        nft(lab, "add", "rule", "bridge", TABLES[Family.NFT_ETHERNET], f"{port}-out", "jump", f"{port}-mac-out")
        return
    root, below = f"libvirt-I-{port}", f"I-{port}-mac"
    for words in (
        ["-N", root], ["-N", below], ["-A", root, "-j", below], ["-A", below, "-j", "DROP"],
        ["-A", "PREROUTING", "-i", port, "-j", root],
    ):  # fmt: skip
        lab.run([*EBTABLES, *words])


def drop_for_all(lab: Lab, *, undo: bool = False) -> None:
    """A rule of an administrator before all ports' own: no frame of LLDP passes."""
    if not of_nft(lab):
        lab.run([*EBTABLES, "-D" if undo else "-I", "PREROUTING", "-p", "0x88cc", "-j", "DROP"])
    elif undo:
        delete_rule(lab, "PREROUTING", "0x88cc")
    else:
        nft(
            lab,
            "insert",
            "rule",
            "bridge",
            TABLES[Family.NFT_ETHERNET],
            "prerouting",
            "ether",
            "type",
            "0x88cc",
            "drop",
        )
