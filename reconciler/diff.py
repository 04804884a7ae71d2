"""Where a host differs from its desired state, field by field, on every layer.

The only importer of deepdiff. Values are compared as plain trees; DeepDiff is asked only about trees that are
not equal, because it costs a thousand times what `==` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reconciler.domain.match import copies, match_nics
from reconciler.model.change import Change
from reconciler.model.disruption import Disruption
from reconciler.model.drift import Drift, Layer
from reconciler.model.filter import Entry, FilterRef, NwFilter
from reconciler.model.guest import Guest, Interface, Power
from reconciler.model.ignore import Ignore, ignored_because
from reconciler.model.kernel import ForeignRule
from reconciler.model.live import Binding, Domain, FilterFile, Live, Nic, SavedState
from reconciler.model.site import Desired, Policy
from reconciler.nwfilter.compare_rules import RuleDifference
from reconciler.nwfilter.guard import wanted_filterref
from reconciler.nwfilter.installed import Installed, are_all_missing
from reconciler.nwfilter.leftovers import leftover_ports
from reconciler.nwfilter.supplement import supplement_of
from reconciler.nwfilter.supplement_compare import owners_of, supplement_differences
from reconciler.nwfilter.tolerance import Tolerance
from reconciler.nwfilter.variables import closure
from reconciler.nwfilter.wanted import wanted_filters

Tree = dict[str, Any]
Known = Mapping[str, NwFilter]

_ADDRESS_VARIABLES = ("IP", "IPMASK", "IPV6", "IPV6MASK")


def diff(desired: Desired, live: Live, host: str) -> tuple[Drift, ...]:
    """All drift of one host, sorted by object, layer and field. Guests that are not defined here are no drift.

    What the site ignores is there with its reason, and what depends on it is judged by what the host has.
    """
    wanted = wanted_filters(desired, host)
    found = [drift for definition in wanted for drift in _filter_drift(definition, live)]
    tolerance = Tolerance(desired.ignore)
    lookup = {definition.name: definition for definition in tolerance.filters(wanted, live)}
    known = {f.definition.name: f.definition for f in live.filters} | lookup
    installed = Installed(live.kernel)
    for guest in desired.guests_on(host):
        domain = live.domain(guest.name)
        if domain is not None:
            found.extend(_guest_drift(guest, domain, live, host, known, tolerance))
            found.extend(_kernel_drift(guest, domain, live, known, installed, tolerance))
    found.extend(
        Drift(f"port/{port}", "rules", Layer.KERNEL, None, "present")
        for port in (leftover_ports(live.kernel, live.known_ports) if live.devices else ())
    )
    found.extend(_supplement_drift(desired, live, host))
    marked = (_marked(drift, desired.ignore) for drift in found)
    return tuple(sorted(marked, key=lambda drift: (drift.object, drift.layer, drift.field)))


def _marked(drift: Drift, rules: tuple[Ignore, ...]) -> Drift:
    reason = ignored_because(rules, drift.object, drift.field, drift.layer)
    return drift if reason is None else replace(drift, ignored=reason)


def changes(before: Desired, after: Desired) -> tuple[Change, ...]:
    """What a commit changes: fields of guests and shared filters, sorted by object and field."""
    used = _used_filters(before) | _used_filters(after)
    found: list[Change] = []
    for name, (old, new) in _pairs(_site_trees(before), _site_trees(after)).items():
        if old is None or new is None:
            was, will_be = ("absent" if tree is None else "present" for tree in (old, new))
            found.append(Change(name, "definition", was, will_be, _change_disruption(name, "", used)))
        else:
            found.extend(
                Change(name, drift.field, drift.actual, drift.desired, _change_disruption(name, drift.field, used))
                for drift in _fields(name, Layer.PERSISTENT, new, old)
            )
    return tuple(sorted(found, key=lambda change: (change.object, change.field)))


def _pairs(before: dict[str, Tree], after: dict[str, Tree]) -> dict[str, tuple[Tree | None, Tree | None]]:
    return {name: (before.get(name), after.get(name)) for name in before | after}


def _site_trees(desired: Desired) -> dict[str, Tree]:
    trees = {f"filter/{definition.name}": filter_tree(definition) for definition in desired.filters}
    trees |= {f"guest/{guest.name}": _guest_tree(guest) for guest in desired.guests}
    return trees | {"site": {"ignore": [_ignore_text(rule) for rule in desired.ignore], **_policy_tree(desired.policy)}}


def _policy_tree(policy: Policy) -> Tree:
    """What of the policy decides on frames."""
    return {
        "policy.supplement": "nftables" if policy.supplement else "off",
        "policy.flood_limit": str(policy.flood_limit) if policy.flood_limit else "none",
    }


def _ignore_text(rule: Ignore) -> str:
    return f"{rule.field} of {rule.object} ({rule.layer or 'every layer'}): {rule.reason}"


def _guest_tree(guest: Guest) -> Tree:
    interfaces = {interface.mac: _interface_tree(interface) for interface in guest.interfaces}
    return {"hosts": list(guest.hosts), "power": str(guest.power), "autostart": guest.autostart, **interfaces}


def _interface_tree(interface: Interface) -> Tree:
    return {
        "filter": interface.filter,
        "ipv4": [str(network) for network in interface.ipv4] or "none",
        "ipv6": [str(network) for network in interface.ipv6] or "none",
        "attach": str(interface.attach),
        "bridge": interface.bridge,
        "roles": sorted(interface.roles),
        "parameters": {
            k: v
            for k, v in filterref_tree(FilterRef("", interface.parameters))["parameters"].items()
            if k not in _ADDRESS_VARIABLES
        },
    }


def _used_filters(desired: Desired) -> frozenset[str]:
    definitions = {definition.name: definition for definition in desired.filters}
    roots = {interface.filter for guest in desired.guests for interface in guest.interfaces}
    return frozenset(name for root in roots for name in closure(definitions.get, root))


def _change_disruption(name: str, field: str, used: frozenset[str]) -> Disruption:
    """Of the field that changes: rules are rebuilt for addresses and used filters, a NIC needs a guest's restart."""
    kind, _, short = name.partition("/")
    if kind == "filter":
        return Disruption.REBUILD if short in used else Disruption.NONE
    if field.endswith(".bridge") or (field.count(":") == 5 and "." not in field):
        return Disruption.GUEST_RESTART
    touches_rules = field == "" or (":" in field and not field.endswith(".roles"))
    return Disruption.REBUILD if touches_rules else Disruption.NONE


def _filter_drift(wanted: NwFilter, live: Live) -> Iterator[Drift]:
    held = live.filter(wanted.name)
    name = f"filter/{wanted.name}"
    if held is None:
        yield Drift(name, "definition", Layer.PERSISTENT, "present", None)
    elif held.definition != wanted:
        yield from _fields(name, Layer.PERSISTENT, filter_tree(wanted), filter_tree(held.definition))
    if held is not None and held.file is not FilterFile.SAME:
        yield Drift(name, "file", Layer.PERSISTENT, str(FilterFile.SAME), str(held.file))


def _guest_drift(
    guest: Guest, domain: Domain, live: Live, host: str, known: Known, tolerance: Tolerance
) -> Iterator[Drift]:
    name = f"guest/{guest.name}"
    if domain.persistent:
        yield from _fields(name, Layer.PERSISTENT, *_persistent_trees(guest, domain, known))
    if domain.active:
        yield from _fields(name, Layer.LIVE, *_live_trees(guest, domain, live, known, tolerance))
    for state in domain.saved:
        yield from _fields(name, Layer.SAVED, *_saved_trees(guest, state, known))
    if guest.power is not Power.LEAVE and acts_on_power(guest, host):
        running = Power.RUNNING if domain.active else Power.STOPPED
        if running is not guest.power:
            yield Drift(name, "power", Layer.LIVE, str(guest.power), str(running))


def acts_on_power(guest: Guest, host: str) -> bool:
    """`power` acts on the first of a guest's hosts alone."""
    return not guest.hosts or guest.hosts[0] == host


def _persistent_trees(guest: Guest, domain: Domain, known: Known) -> tuple[Tree, Tree]:
    desired, actual = _interface_trees(guest, domain.persistent, known)
    if guest.autostart is not None:
        desired["autostart"], actual["autostart"] = guest.autostart, domain.autostart
    return desired, actual


def _live_trees(guest: Guest, domain: Domain, live: Live, known: Known, tolerance: Tolerance) -> tuple[Tree, Tree]:
    desired, actual = _interface_trees(guest, domain.live, known)
    for interface in guest.interfaces:
        nic = nic_of(domain.live, interface.mac)
        if nic is None or nic.port is None or copies(domain.live, interface.mac) > 1:
            continue
        reference = tolerance.interface(guest.name, interface, Layer.LIVE, nic.filterref, known.get)
        if nic.filterref != reference:
            continue
        desired[interface.mac]["binding"] = filterref_tree(reference)
        actual[interface.mac]["binding"] = binding_tree(live.binding(nic.port))
    return desired, actual


def _saved_trees(guest: Guest, state: SavedState, known: Known) -> tuple[Tree, Tree]:
    """Of what would come back: only interfaces that the image has, since it is older than the site."""
    desired: Tree = {}
    actual: Tree = {}
    for interface in guest.interfaces:
        nic = nic_of(state.nics, interface.mac)
        if nic is not None:
            reference = wanted_filterref(guest.name, interface, nic.filterref, known.get)
            desired[interface.mac] = {"filterref": filterref_tree(reference)}
            actual[interface.mac] = {"filterref": filterref_tree(nic.filterref) if nic.filterref else None}
    return {state.name: desired}, {state.name: actual}


def _interface_trees(guest: Guest, nics: tuple[Nic, ...], known: Known) -> tuple[Tree, Tree]:
    desired: Tree = {}
    actual: Tree = {}
    matched = match_nics((interface.mac for interface in guest.interfaces), nics)
    for interface in guest.interfaces:
        nic, found = matched.get(interface.mac), copies(nics, interface.mac)
        if found > 1:
            desired[interface.mac], actual[interface.mac] = "one interface", f"{found} interfaces"
            continue
        if nic is None:
            desired[interface.mac] = "present"
            continue
        reference = wanted_filterref(guest.name, interface, nic.filterref, known.get)
        desired[interface.mac] = {"mac": interface.mac, "filterref": filterref_tree(reference)}
        actual[interface.mac] = {
            "mac": nic.mac,
            "filterref": filterref_tree(nic.filterref) if nic.filterref else None,
        }
        if interface.bridge is not None and nic.kind == "bridge":
            desired[interface.mac]["bridge"], actual[interface.mac]["bridge"] = interface.bridge, nic.source
    return desired, actual


def _kernel_drift(
    guest: Guest, domain: Domain, live: Live, known: Known, installed: Installed, tolerance: Tolerance
) -> Iterator[Drift]:
    name = f"guest/{guest.name}"
    for interface in guest.interfaces:
        nic = nic_of(domain.live, interface.mac)
        if nic is None or nic.port is None:
            continue
        mac, port = interface.mac, nic.port
        if live.has_lost(nic):
            yield Drift(name, f"{mac}.port", Layer.KERNEL, port, None)
            continue
        if port in live.gated:
            yield Drift(name, f"{mac}.gate", Layer.KERNEL, "open", "closed")
        if tolerance.leaves_unfiltered(guest.name, interface, Layer.LIVE, nic.filterref):
            continue
        reference = tolerance.interface(guest.name, interface, Layer.LIVE, nic.filterref, known.get)
        reference = tolerance.bound(guest.name, mac, reference, live.binding(port))
        differences = installed.differences(known.get, reference, mac, port)
        if are_all_missing(differences):
            yield Drift(name, f"{mac}.rules", Layer.KERNEL, "present", None)
        else:
            yield from (_rule_drift(name, mac, difference) for difference in differences)
        shown = {rule for difference in differences for rule in difference.actual or ()}
        yield from _foreign_drift(name, mac, installed.foreign(port, nic.source), shown)
        for family in installed.unheeded(known.get, reference.filter):
            yield Drift(name, f"{mac}.rules.br_netfilter.{family}", Layer.KERNEL, "on", "off")


def _supplement_drift(desired: Desired, live: Live, host: str) -> Iterator[Drift]:
    owners = owners_of(desired, host)
    for each in supplement_differences(supplement_of(desired, host), live.kernel.supplement):
        yield Drift(*each.place(owners), Layer.KERNEL, each.lacks, each.extra)


def _foreign_drift(name: str, mac: str, rules: Iterable[ForeignRule], shown: set[str]) -> Iterator[Drift]:
    """Rules of others before a port's chains, a list a chain; those that name the port are shown already."""
    chains: dict[str, list[str]] = {}
    for rule in rules:
        if rule.text not in shown:
            chains.setdefault(f"{mac}.rules.before.{rule.chain}", []).append(rule.text)
    for field, texts in chains.items():
        yield Drift(name, field, Layer.KERNEL, [], texts)


def _rule_drift(name: str, mac: str, difference: RuleDifference) -> Drift:
    """A chain's drift: the rules that it lacks, and those that it should not have; all of them if the order differs."""
    field = f"{mac}.rules.{difference.chain}"
    wanted, found = difference.expected, difference.actual
    if wanted is None or found is None:
        words = ("present" if rules is not None else None for rules in (wanted, found))
        return Drift(name, field, Layer.KERNEL, *words)
    return Drift(name, field, Layer.KERNEL, *_only_differing(wanted, found))


def _only_differing(wanted: Sequence[str], found: Sequence[str]) -> tuple[list[str], list[str]]:
    """What each side has alone; all of both where only the order or a repetition differs."""
    lacks = [each for each in wanted if each not in found]
    foreign = [each for each in found if each not in wanted]
    return (lacks, foreign) if lacks or foreign else (list(wanted), list(found))


def nic_of(nics: tuple[Nic, ...], mac: str) -> Nic | None:
    return next((nic for nic in nics if nic.mac == mac), None)


def filter_tree(definition: NwFilter) -> Tree:
    """A filter as a plain tree. A guard, whose only entry is a filterref, shows its variables at the top."""
    head: Tree = {"chain": definition.chain, "priority": definition.priority}
    match definition.entries:
        case (FilterRef() as only,):
            return {**head, **filterref_tree(only)}
        case entries:
            return {**head, "entries": [_entry_text(entry) for entry in entries]}


def filterref_tree(reference: FilterRef) -> Tree:
    parameters: dict[str, list[str]] = {}
    for name, value in reference.parameters:
        parameters.setdefault(name, []).append(value)
    return {"filter": reference.filter, "parameters": parameters}


def binding_tree(binding: Binding | None) -> Tree | None:
    return filterref_tree(binding.filterref) if binding else None


def _entry_text(entry: Entry) -> str:
    if isinstance(entry, FilterRef):
        parameters = " ".join(f"{name}={value}" for name, value in entry.parameters)
        return f"filterref {entry.filter} {parameters}".strip()
    matches = " ".join(
        " ".join([f"{'not ' if match.negated else ''}{match.protocol}", *(f"{k}={v}" for k, v in match.attributes)])
        for match in entry.matches
    )
    state = "" if entry.statematch else " statematch=false"
    return f"rule {entry.action} {entry.direction} {entry.priority}{state} {matches}".strip()


def _fields(name: str, layer: Layer, desired: Tree, actual: Tree) -> Iterator[Drift]:
    if desired == actual:
        return
    from deepdiff import DeepDiff

    compared = DeepDiff(*_differing(actual, desired), view="tree", threshold_to_diff_deeper=0)
    levels = {_path(level): level for kind in compared.values() for level in map(_field_level, kind)}
    for path, level in levels.items():
        wanted, found = _plain(level.t2), _plain(level.t1)
        if path == "entries":
            wanted, found = _only_differing(wanted, found)
        yield Drift(name, path, layer, wanted, found)


def _differing(one: Tree, other: Tree) -> tuple[Tree, Tree]:
    """Two trees without what both have alike: DeepDiff takes longest to find that nothing is there to be found."""
    alike = {key for key in one.keys() & other.keys() if one[key] == other[key]}
    left = {key: value for key, value in one.items() if key not in alike}
    right = {key: value for key, value in other.items() if key not in alike}
    for key in left.keys() & right.keys():
        if isinstance(left[key], dict) and isinstance(right[key], dict):
            left[key], right[key] = _differing(left[key], right[key])
    return left, right


def _field_level(level: Any) -> Any:
    """A difference inside a list is a difference of the whole list: nobody reads `parameters.IP[1]`."""
    while level.up is not None and isinstance(level.up.t1, list) and isinstance(level.up.t2, list):
        level = level.up
    return level


def _path(level: Any) -> str:
    return ".".join(str(key) for key in level.path(output_format="list"))


def _plain(value: Any) -> Any:
    return None if type(value).__name__ == "NotPresent" else value
