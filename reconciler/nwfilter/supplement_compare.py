"""Where our own table is not what the site wants of it: by set and guest's MAC, by chain, and what is not ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from reconciler.model.site import Desired
from reconciler.model.supplement import Element, Supplement
from reconciler.nwfilter.supplement import OBJECT

Texts = list[str]


@dataclass(frozen=True, slots=True)
class SupplementDifference:
    """What is lacking and what is too much, in a field; of one interface, or of the whole table where `mac` is None."""

    mac: str | None
    field: str
    lacks: Texts | str | None
    extra: Texts | str | None

    def place(self, owners: Mapping[str, str]) -> tuple[str, str]:
        """Object and field of drift: what concerns an interface of the site is its guest's, the rest the table's."""
        if self.mac is None:
            return OBJECT, self.field
        owner = owners.get(self.mac)
        return (f"guest/{owner}", f"{self.mac}.{self.field}") if owner else (OBJECT, f"{self.field}.{self.mac}")


def owners_of(desired: Desired, host: str) -> dict[str, str]:
    """Guests by their MACs."""
    return {interface.mac: guest.name for guest in desired.guests_on(host) for interface in guest.interfaces}


def supplement_differences(wanted: Supplement | None, found: Supplement | None) -> Iterator[SupplementDifference]:
    if wanted is None or found is None:
        if wanted != found:
            words = ("present" if each else None for each in (wanted, found))
            yield SupplementDifference(None, "supplement", *words)
        return
    yield from _elements(set(wanted.elements), set(found.elements))
    for chain in dict.fromkeys(name for side in (wanted, found) for name, _ in side.rules):
        asked, there = ([rule.text for rule in each.chain(chain)] for each in (wanted, found))
        if wanted.chain(chain) != found.chain(chain):
            lacks, extra = _minus(asked, there), _minus(there, asked)
            is_order = not lacks and not extra
            yield SupplementDifference(
                None, f"supplement.rules.{chain}", asked if is_order else lacks, there if is_order else extra
            )
    if found.others:
        yield SupplementDifference(None, "supplement.others", [], list(found.others))


def _minus(these: Iterable[str], those: Iterable[str]) -> Texts:
    without = set(those)
    return [each for each in these if each not in without]


def _elements(wanted: set[Element], found: set[Element]) -> Iterator[SupplementDifference]:
    for mac, name in sorted({(each.mac, each.set) for each in wanted ^ found}):
        lacks, extra = (
            sorted(each.value or each.mac for each in side if (each.mac, each.set) == (mac, name))
            for side in (wanted - found, found - wanted)
        )
        yield SupplementDifference(mac, f"supplement.{name}", lacks, extra)
