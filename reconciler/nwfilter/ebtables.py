"""Read what ebtables-save(8) prints into the rule model.

Both ebtables over nftables (1.8) and the older ebtables print one rule a line as `-A CHAIN -p IPv4 --ip-src
10.0.0.1 -j ACCEPT`; a `!` stands before or after the option that it inverts.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.kernel import Condition, KernelChain, KernelRule, Ruleset

_SHORT = {"-i": "in-interface", "-o": "out-interface", "-p": "protocol", "-s": "source", "-d": "destination"}


def parse_ebtables(text: str, table: str = "nat") -> Ruleset:
    """The chains of one table, in the order of the text; other tables, comments and counters are left out."""
    policies: dict[str, str] = {}
    rules: dict[str, list[KernelRule]] = {}
    for line in _lines_of_table(text, table):
        if line.startswith(":"):
            name, policy = line[1:].split()[:2]
            policies[name] = policy
            rules.setdefault(name, [])
        elif line.startswith("-A "):
            chain, rule = _rule(line)
            rules.setdefault(chain, []).append(rule)
    return Ruleset(tuple(KernelChain(name, policies.get(name, "ACCEPT"), tuple(rules[name])) for name in rules))


def _lines_of_table(text: str, table: str) -> Iterator[str]:
    current = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("*"):
            current = line[1:]
        elif line and current == table:
            yield line


def _rule(line: str) -> tuple[str, KernelRule]:
    words = line.split()
    conditions: list[Condition] = []
    target = "CONTINUE"
    position = 2
    while position < len(words):
        option, negated, value, position = _option(words, position)
        if option == "-j":
            target = value
        elif option != "-c":
            conditions.append(Condition(_SHORT.get(option, option.lstrip("-")), value, negated))
    return words[1], KernelRule(tuple(conditions), target, line)


def _option(words: list[str], position: int) -> tuple[str, bool, str, int]:
    negated = words[position] == "!"
    position += negated
    option = words[position]
    position += 1
    if position < len(words) and words[position] == "!":
        negated = True
        position += 1
    taken: list[str] = []
    while position < len(words) and not words[position].startswith("-") and words[position] != "!":
        taken.append(words[position])
        position += 1
    return option, negated, " ".join(taken), position
