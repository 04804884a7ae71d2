"""Limits on floods of what a guest may say: rules of the supplement that the site asks for with `policy.flood_limit`.

A guest may ask for addresses and report its groups as often as it likes: ARP, IGMP and ICMPv6's own messages pass
however many there are. Each is counted for each guest at each port in one set that the kernel fills; what is over the
limit is dropped. One frame alone is never over it, so the verdicts on single frames stay what they are.

The rules come after libvirt's, which have dropped whatever bears a foreign MAC: no guest can use up another's limit.
"""

from __future__ import annotations

import re

from reconciler.model.kernel import Condition, KernelRule
from reconciler.model.outcome import Case
from reconciler.model.supplement import FloodLimit, Supplement

FLOODS = "supplement-floods"
LIMITED, COUNTERS = "limited", "floods"
SETS = {
    LIMITED: "type ether_addr;",
    # A counter that nobody needs for a minute is forgotten; a limit's burst may not be more than a minute's frames.
    COUNTERS: "typeof meta iif . ether saddr . ether type; size 65535; flags dynamic,timeout; timeout 1m;",
}
KEY = "iif . ether saddr . ether type"
COUNT = f"update @{COUNTERS}"
CASE = "flood"
_WORDS = re.compile(r"limit rate over (\d+)/second burst (\d+) packets")
_KINDS = ("ether type 0x0806", "ip protocol 2", "icmpv6 type >= 130")
"""ARP, IGMP, and what ICMPv6 has for neighbours alone: from the multicast listeners' on, without errors and echoes."""


def flood_rules(limit: FloodLimit) -> tuple[KernelRule, ...]:
    return tuple(_rule(kind, limit) for kind in _KINDS)


def _rule(kind: str, limit: FloodLimit) -> KernelRule:
    counted = Condition(COUNT, counting(f"over {limit.rate}/second burst {limit.burst} packets"))
    pairs = (words.rsplit(" ", 1) for words in (kind, f"ether saddr @{LIMITED}"))
    asked = tuple(Condition(option, value) for option, value in pairs)
    text = " ".join(f"{each.option} {each.value}" for each in (*asked, counted))
    return KernelRule((*asked, counted), "DROP", f"{text} drop")


def counting(limit: str) -> str:
    """What the set's statement says between its name and the verdict."""
    return f"{{ {KEY} limit rate {limit} }}"


def limit_in(supplement: Supplement | None) -> FloodLimit | None:
    """The limit by which the rules that were found are ours, None where they are not, or there are none."""
    rules = supplement.chain(FLOODS) if supplement else ()
    said = _WORDS.search(rules[0].text) if rules else None
    limit = FloodLimit(*map(int, said.groups())) if said else None
    return limit if limit and rules == flood_rules(limit) else None


def flood_cases(supplement: Supplement | None, mac: str, wanted: FloodLimit | None) -> tuple[Case, ...]:
    """Whether a guest's floods are cut as the site says: one case where it wants that, none where it does not."""
    if wanted is None:
        return ()
    is_counted = supplement is not None and (LIMITED, mac, "") in supplement.elements
    is_cut = is_counted and limit_in(supplement) == wanted
    return (Case(mac, CASE, "drop", "drop" if is_cut else "pass", f"{FLOODS}: {wanted}" if is_cut else ""),)
