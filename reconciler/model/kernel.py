"""Rules that the kernel runs, read back, in one form for every tool that prints them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Condition:
    """One match of a rule, as the tool prints it: option without dashes, value, and whether it is inverted."""

    option: str
    value: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class KernelRule:
    """One rule: all conditions must hold, then `target` (a chain, ACCEPT, DROP, RETURN, CONTINUE)."""

    conditions: tuple[Condition, ...]
    target: str
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class KernelChain:
    """A chain with its rules in order; `policy` is what happens after the last one."""

    name: str
    policy: str
    rules: tuple[KernelRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Ruleset:
    """The ethernet-level rules of a host's network namespace (`ebtables-save`, table nat)."""

    chains: tuple[KernelChain, ...] = ()

    def chain(self, name: str) -> KernelChain | None:
        return next((chain for chain in self.chains if chain.name == name), None)
