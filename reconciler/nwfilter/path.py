"""The way of a frame through the chains: every rule that held, with the filter's rule that it comes from.

Only who asks for a path pays for it: a recording walker is the plain one with a note taken at each rule that holds.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from reconciler.model.kernel import Family, KernelChain, KernelRule, KernelRules, Ruleset, RuleSource
from reconciler.model.supplement import Supplement
from reconciler.model.trace import PathStep, Way
from reconciler.nwfilter.battery import Direction
from reconciler.nwfilter.canonical_rules import canonical_rule
from reconciler.nwfilter.evaluate import OUTSIDE, Evaluator
from reconciler.nwfilter.expand import Expected
from reconciler.nwfilter.frame import Flow, Frame
from reconciler.nwfilter.matches import View
from reconciler.nwfilter.walk import Compiled, UnknownMatch, Verdict, Walker


class _Recorder(Walker):
    def __init__(self, steps: list[PathStep], ruleset: Ruleset) -> None:
        super().__init__(ruleset)
        self._steps = steps

    def verdict(
        self, frame: Frame, port: str | None, hook: str, *, out_port: str | None = None, flow: Flow | None = None
    ) -> Verdict:
        found = super().verdict(frame, port, hook, out_port=out_port, flow=flow)
        if found.rule is None and found.chain in self._chains:
            self._steps.append(PathStep(self._family, found.chain, "ACCEPT" if found.passes else "DROP"))
        return found

    def _compile_rule(self, chain: KernelChain, rule: KernelRule) -> Compiled:
        compiled = super()._compile_rule(chain, rule)
        step = PathStep(self._family, chain.name, rule.target, rule.text, rule.source)

        def noted(view: View, depth: int) -> Verdict | None:
            self._steps.append(step)
            return compiled.action(view, depth)

        return replace(compiled, action=noted)


def way(rules: KernelRules, frame: Frame, direction: Direction, port: str) -> Way:
    """What becomes of a frame, and through which chains; as far as its way can be judged."""
    steps: list[PathStep] = []
    ends = (OUTSIDE, port) if direction is Direction.IN else (port, OUTSIDE)

    def note(chain: str, rule: KernelRule) -> None:
        steps.append(PathStep(Family.SUPPLEMENT, chain, rule.target, rule.text))

    try:
        decided = Evaluator.on(rules, partial(_Recorder, steps), note).forwarded(frame, *ends)
    except UnknownMatch as unknown:
        return Way("unknown", unknown.message, tuple(steps))
    return Way("pass" if decided.passes else "drop", str(decided), tuple(steps))


def rules_of(expected: Expected, supplement: Supplement | None = None) -> KernelRules:
    """What is foretold for a port, as if it were read back."""
    return replace(expected.rules, supplement=supplement)


def with_sources(rules: KernelRules, expected: Expected) -> KernelRules:
    """Rules read back, those of one port with the filter's rule that asked for them, where any did."""
    sourced = {each.family: _with_sources(each, expected.of(each.family)) for each in rules.rulesets}
    ipv4, ipv6, inet = (sourced.get(family) for family in (Family.IPV4, Family.IPV6, Family.NFT_INET))
    return replace(rules, ethernet=sourced[rules.ethernet.family], ipv4=ipv4, ipv6=ipv6, inet=inet)


_Sources = dict[KernelRule, RuleSource]


def _with_sources(ruleset: Ruleset, expected: Ruleset) -> Ruleset:
    sources = {chain.name: _sources(chain) for chain in expected.chains}
    chains = (_sourced(chain, sources.get(chain.name, {}), ruleset.family) for chain in ruleset.chains)
    return replace(ruleset, chains=tuple(chains))


def _sources(chain: KernelChain) -> _Sources:
    """Where each rule is from; of equal ones the first, since only it ever decides."""
    found: _Sources = {}
    for rule in chain.rules:
        if rule.source:
            found.setdefault(rule, rule.source)
    return found


def _sourced(chain: KernelChain, sources: _Sources, family: Family) -> KernelChain:
    if not sources:
        return chain
    rules = (replace(rule, source=sources.get(_canonical(rule, family))) for rule in chain.rules)
    return replace(chain, rules=tuple(rules))


def _canonical(rule: KernelRule, family: Family) -> KernelRule:
    try:
        return canonical_rule(rule, family)
    except ValueError:
        return rule
