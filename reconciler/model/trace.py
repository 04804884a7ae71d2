"""The way of one frame through the kernel's chains."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.kernel import Family, RuleSource


@dataclass(frozen=True, slots=True)
class PathStep:
    """A rule that held, or a chain's policy where none of its rules decided: then `rule` is None.

    `target` is the chain that is entered next, or ACCEPT, DROP, REJECT or RETURN. `source` is the filter's rule
    behind the kernel's; jumps and policies are libvirt's own and have none.
    """

    family: Family
    chain: str
    target: str
    rule: str | None = None
    source: RuleSource | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """What becomes of a frame: `got` is pass, drop or unknown; `why` is the rule, the policy, or what is unknown."""

    got: str
    why: str
    path: tuple[PathStep, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """One frame on one interface; `layer` says on which rules: of the site, foretold, or of the kernel, read back."""

    guest: str
    mac: str
    frame: str
    to_guest: bool
    layer: str
    way: Way
