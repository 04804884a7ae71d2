"""Walk a frame through chains of rules, predicted or read back, and say which rule decided.

Semantics are those of ebtables(8), iptables(8) and nft(8): rules in order, `RETURN` goes back to the caller, a chain's
policy applies after its last rule. A match or target that is not known is an error, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reconciler.model.kernel import KernelChain, KernelRule, Ruleset, RuleSource
from reconciler.nwfilter.frame import Flow, Frame
from reconciler.nwfilter.matches import Test, UnknownMatch, View, compile_conditions

__all__ = ["UnknownMatch", "Verdict", "Walker", "verdict"]

_MAXIMUM_DEPTH = 32
_FINAL = {"ACCEPT": True, "DROP": False, "REJECT": False}
_RETURNING_POLICIES = ("RETURN", "-")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`passes`, and the rule that decided: None when a chain's policy did."""

    passes: bool
    chain: str
    rule: KernelRule | None = None

    @property
    def source(self) -> RuleSource | None:
        """The filter's rule behind a predicted rule."""
        return self.rule.source if self.rule else None

    def __str__(self) -> str:
        """Why: the filter's rule, else the kernel's, else the chain whose policy it was."""
        if self.rule is None:
            return f"policy of {self.chain}"
        return f"{self.rule.source}: {self.rule.text}" if self.rule.source else self.rule.text


def verdict(ruleset: Ruleset, frame: Frame, port: str, hook: str = "PREROUTING") -> Verdict:
    """What the kernel does with a frame that enters the bridge at a port. Raises UnknownMatch."""
    return Walker(ruleset).verdict(frame, port, hook)


_Decided = Verdict | None
_Action = Callable[[View, int], _Decided]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A rule ready to run: what to ask, and what then happens; `leaves` ends its chain also without a verdict."""

    tests: tuple[Test, ...]
    action: _Action
    leaves: bool


class Walker:
    """The chains of one ruleset, compiled when they are first reached."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._family = ruleset.family
        self._chains = {chain.name: chain for chain in ruleset.chains}
        self._compiled: dict[str, tuple[Compiled, ...]] = {}
        self._ends: dict[str, _Decided] = {}

    def verdict(
        self, frame: Frame, port: str | None, hook: str, *, out_port: str | None = None, flow: Flow | None = None
    ) -> Verdict:
        """The fate of a frame at a hook. `port` is where it came in, `out_port` where it would leave.

        Without rules at the hook it passes. Raises UnknownMatch when the fate hangs on what cannot be judged.
        """
        chain = self._chains.get(hook)
        if chain is None:
            return Verdict(passes=True, chain=hook)
        decided = self._walk(hook, View(frame, port, out_port, flow or Flow()), 0)
        return decided or Verdict(chain.policy in ("ACCEPT", *_RETURNING_POLICIES), hook)

    def _walk(self, name: str, view: View, depth: int) -> _Decided:
        rules = self._compiled.get(name)
        if rules is None:
            rules = self._compile(name)
        if depth > _MAXIMUM_DEPTH:
            raise UnknownMatch(f"the chain {name!r} is nested deeper than {_MAXIMUM_DEPTH} jumps")
        for rule in rules:
            for test in rule.tests:
                if not test(view):
                    break
            else:
                decided = rule.action(view, depth + 1)
                if decided is not None or rule.leaves:
                    return decided
        return self._ends[name]

    def _compile(self, name: str) -> tuple[Compiled, ...]:
        chain = self._chains.get(name)
        if chain is None:
            raise UnknownMatch(f"a rule jumps to the chain {name!r}, which does not exist")
        self._ends[name] = _end(chain)
        compiled = tuple(self._compile_rule(chain, rule) for rule in chain.rules if rule.target != "CONTINUE")
        self._compiled[name] = compiled
        return compiled

    def _compile_rule(self, chain: KernelChain, rule: KernelRule) -> Compiled:
        tests = compile_conditions(rule.conditions, self._family)
        if rule.target == "RETURN":
            return Compiled(tests, lambda _view, _depth: None, leaves=True)
        if rule.target in _FINAL:
            final = Verdict(_FINAL[rule.target], chain.name, rule)
            return Compiled(tests, lambda _view, _depth: final, leaves=True)
        return Compiled(tests, lambda view, depth: self._walk(rule.target, view, depth), leaves=rule.goto)


def _end(chain: KernelChain) -> _Decided:
    """What a chain's policy says after its last rule; None goes back to the caller."""
    return None if chain.policy in _RETURNING_POLICIES else Verdict(chain.policy == "ACCEPT", chain.name)
