"""Read what iptables-save(8) and ip6tables-save(8) print into the rule model.

One rule a line, `-A CHAIN -s 10.0.0.1/32 -p tcp -m tcp --dport 22 -m comment --comment "a b" -j RETURN`; a `!` stands
before the option that it inverts, text with blanks or quotes stands in double quotes with backslashes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from reconciler.model.kernel import Condition, Family, KernelChain, KernelRule, Ruleset

_SHORT = {"-i": "in-interface", "-o": "out-interface", "-p": "protocol", "-s": "source", "-d": "destination"}
_JUMPS = ("-j", "-g")
_MODULE = "-m"
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_ESCAPE = re.compile(r"\\(.)")

_Word = tuple[str, bool]
"""A word and whether it stood in quotes: then it is no option, whatever it looks like."""


def parse_iptables(text: str, family: Family, table: str = "filter") -> Ruleset:
    """The chains of one table, in the order of the text; other tables, comments and counters are left out."""
    policies: dict[str, str] = {}
    rules: dict[str, list[KernelRule]] = {}
    current = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("*"):
            current = line[1:]
        elif current == table and line.startswith(":"):
            name, policy = line[1:].split()[:2]
            policies[name] = policy
            rules.setdefault(name, [])
        elif current == table and line.startswith("-A "):
            chain, rule = _rule(line)
            rules.setdefault(chain, []).append(rule)
    chains = (KernelChain(name, policies.get(name, "-"), tuple(rules[name])) for name in rules)
    return Ruleset(tuple(chains), family)


def _rule(line: str) -> tuple[str, KernelRule]:
    words = list(_words(line))
    conditions: list[Condition] = []
    target, goto = "CONTINUE", False
    position = 2
    while position < len(words):
        option, negated, value, position = _option(words, position)
        if option in _JUMPS:
            target, goto = value, option == "-g"
        elif option != _MODULE:
            conditions.append(Condition(_SHORT.get(option, option.lstrip("-")), value, negated))
    return words[1][0], KernelRule(tuple(conditions), target, line, goto)


def _words(line: str) -> Iterator[_Word]:
    for match in _WORD.finditer(line):
        quoted, plain = match.groups()
        yield (plain, False) if quoted is None else (_ESCAPE.sub(r"\1", quoted), True)


def _option(words: list[_Word], position: int) -> tuple[str, bool, str, int]:
    negated = words[position] == ("!", False)
    position += negated
    option = words[position][0]
    position += 1
    # A comment is one word that may look like anything.
    if option == "--comment":
        return option, negated, words[position][0], position + 1
    taken: list[str] = []
    while position < len(words) and not _is_option(words[position]):
        taken.append(words[position][0])
        position += 1
    return option, negated, " ".join(taken), position


def _is_option(word: _Word) -> bool:
    text, quoted = word
    return not quoted and (text == "!" or text.startswith("-"))
