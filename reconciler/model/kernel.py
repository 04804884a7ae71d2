"""Rules that the kernel runs, in one form for every tool that prints them, read back or predicted."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.model.supplement import Supplement


class Backend(StrEnum):
    """The programs by which libvirt makes rules: ebtables and iptables, or nft."""

    IPTABLES = "iptables"
    NFTABLES = "nftables"


class Family(StrEnum):
    """Whose rules: of frames (`ebtables-save`, table nat), of packets (`ip[6]tables-save`, table filter), or of nft.

    `nft -j list ruleset` has two tables of libvirt's: of rules of frames, and of those that iptables would have.
    The supplement is in a table of our own.
    """

    ETHERNET = "ethernet"
    IPV4 = "ipv4"
    IPV6 = "ipv6"
    NFT_ETHERNET = "nft-ethernet"
    NFT_INET = "nft-inet"
    SUPPLEMENT = "supplement"

    @property
    def of_nft(self) -> bool:
        return self in (Family.NFT_ETHERNET, Family.NFT_INET)


@dataclass(frozen=True, slots=True)
class RuleSource:
    """The `<rule>` of a filter that a predicted rule comes from; rules count from 1, references left out."""

    filter: str
    rule: int
    path: str = ""

    def __str__(self) -> str:
        return f"{self.path or self.filter}, rule {self.rule}"


@dataclass(frozen=True, slots=True)
class Condition:
    """One match of a rule, as the tool prints it: option without dashes, value, and whether it is inverted."""

    option: str
    value: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class KernelRule:
    """One rule: all conditions must hold, then `target` (a chain, ACCEPT, DROP, REJECT, RETURN, CONTINUE).

    With `goto` the target chain returns to the caller of this rule's chain. `source` is known of predicted rules.
    """

    conditions: tuple[Condition, ...]
    target: str
    text: str = field(default="", compare=False)
    goto: bool = False
    source: RuleSource | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class KernelChain:
    """A chain with its rules in order; `policy` is what happens after the last one."""

    name: str
    policy: str
    rules: tuple[KernelRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Ruleset:
    """The rules of one family in a host's network namespace."""

    chains: tuple[KernelChain, ...] = ()
    family: Family = Family.ETHERNET

    def chain(self, name: str) -> KernelChain | None:
        return next((chain for chain in self.chains if chain.name == name), None)


@dataclass(frozen=True, slots=True)
class ForeignRule:
    """A rule that libvirt does not ask for, as its tool prints it: `-A PREROUTING -i vnet0 -j ACCEPT`.

    `removable`: it names a managed port, or it lets frames pass the port's own chains by.
    """

    family: Family
    chain: str
    text: str
    removable: bool


@dataclass(frozen=True, slots=True)
class KernelRules:
    """One reading of a host. `ipv4` and `ipv6` are None where no filter in use has packet-level rules.

    `unheeded` are the families whose packet-level rules no bridged packet meets: br_netfilter is off for them.
    Where libvirt uses nft, `ethernet` and `inet` are its two tables, and `ipv4` and `ipv6` are None.
    `supplement` is what our own table has beside the gate, None where it has nothing, or nobody looked.
    """

    ethernet: Ruleset = Ruleset()
    ipv4: Ruleset | None = None
    ipv6: Ruleset | None = None
    inet: Ruleset | None = None
    unheeded: frozenset[Family] = frozenset()
    supplement: Supplement | None = None

    @property
    def backend(self) -> Backend:
        """The programs whose rules these are."""
        return Backend.NFTABLES if self.ethernet.family.of_nft else Backend.IPTABLES

    @property
    def rulesets(self) -> tuple[Ruleset, ...]:
        """All that were read."""
        return tuple(each for each in (self.ethernet, self.ipv4, self.ipv6, self.inet) if each is not None)
