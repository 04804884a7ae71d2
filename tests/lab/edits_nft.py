"""The same careless administrator on a host whose libvirt uses nft: what he does to the kernel's rules there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from edits import Edit, Hand
from installed import nft

from reconciler.model.kernel import Family
from reconciler.nwfilter.nftables import TABLES

ETHERNET, INET = TABLES[Family.NFT_ETHERNET], TABLES[Family.NFT_INET]


class NftHand(Hand):
    """Deletes, inserts and flushes in libvirt's tables of nft."""

    def _listed(self, table: str, chains: str) -> list[tuple[str, int]]:
        """The rules of a table, each by its chain and its handle."""
        listed: list[dict[str, Any]] = json.loads(nft(self._lab, "-j", "list", "table", "bridge", table).stdout)[
            "nftables"
        ]
        rules = (each["rule"] for each in listed if "rule" in each)
        return [(rule["chain"], rule["handle"]) for rule in rules if re.fullmatch(chains, rule["chain"])]

    def _nft(self, *words: str) -> Callable[[], object]:
        return lambda: nft(self._lab, *words)

    def _rule_of_port(self) -> tuple[str, str, int]:
        domain = self._random.choice(self._domains())
        _, port, _ = self._interface(domain)
        return (domain.name(), *self._random.choice(self._listed(ETHERNET, rf"{port}-.*")))

    def _edit(self, name: str, *words: str) -> Edit:
        return Edit(f"nft {' '.join(words)}", self._nft(*words), f"guest/{name}", "kernel", "52:54:")

    def _rule_deleted(self) -> Edit:
        name, chain, handle = self._rule_of_port()
        return self._edit(name, "delete", "rule", "bridge", ETHERNET, chain, "handle", str(handle))

    def _rule_inserted(self) -> Edit:
        name, chain, _ = self._rule_of_port()
        asked = self._random.choice(("", "ip saddr 10.0.0.66", "ether saddr 02:00:00:00:00:66", "ether type 0x88cc"))
        verdict = self._random.choice(("accept", "drop"))
        return self._edit(name, "insert", "rule", "bridge", ETHERNET, chain, *asked.split(), verdict)

    def _chain_flushed(self) -> Edit:
        name, chain, _ = self._rule_of_port()
        return self._edit(name, "flush", "chain", "bridge", ETHERNET, chain)

    def _jump_deleted(self) -> Edit:
        domain = self._random.choice(self._domains())
        _, port, _ = self._interface(domain)
        table, way = self._random.choice((ETHERNET, INET)), self._random.choice(("vmap-iif", "vmap-oif"))
        return self._edit(domain.name(), "delete", "element", "bridge", table, way, f'{{ "{port}" }}')

    def _rule_before(self) -> Edit:
        domain = self._random.choice(self._domains())
        _, port, _ = self._interface(domain)
        asked = self._random.choice((f'iifname "{port}"', "ether saddr 52:54:00:00:00:66", "ether type ip", ""))
        words = ("insert", "rule", "bridge", ETHERNET, "prerouting", *asked.split(), "accept")
        return self._edit(domain.name(), *words)

    def _packet_rule(self) -> Edit:
        """The one guest with packet-level rules has them in chains of its own."""
        chain, handle = self._random.choice(self._listed(INET, r"vnet.*"))
        words = self._random.choice(
            (
                ("delete", "rule", "bridge", INET, chain, "handle", str(handle)),
                ("flush", "chain", "bridge", INET, chain),
                ("insert", "rule", "bridge", INET, chain, "accept"),
                ("insert", "rule", "bridge", INET, "prerouting", "accept"),
            )
        )
        return self._edit("fw01", *words)

    def _strange_rules(self) -> Edit:
        words = self._random.choice(
            (
                ("add", "table", "inet", "somebody"),
                ("add", "table", "bridge", "somebody"),
                ("add", "rule", "bridge", ETHERNET, "prerouting", "accept"),
                ("insert", "rule", "bridge", ETHERNET, "prerouting", "counter"),
                ("insert", "rule", "bridge", ETHERNET, "prerouting", "iifname", "eth9", "accept"),
            )
        )
        return Edit(f"nft {' '.join(words)}", self._nft(*words))

    def _unused_chain(self) -> Edit:
        name = f"mine{self._random.randrange(10**6)}"
        return Edit(f"a chain {name} that nobody jumps to", self._nft("add", "chain", "bridge", ETHERNET, name))
