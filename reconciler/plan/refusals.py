"""Why a step waits: the policy, a guest on hold, or something that nothing but a person can put right."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from reconciler.model.actions import DefineFilter, RestartDaemon, UndefineFilter
from reconciler.model.disruption import Disruption
from reconciler.model.guest import guard_name
from reconciler.model.live import Binding
from reconciler.model.plan import Step, Waiting, WaitReason
from reconciler.nwfilter.guard import learns_addresses
from reconciler.nwfilter.variables import Lookup, closure, required_variables
from reconciler.plan.allowance import waiting_window
from reconciler.plan.filters import FilterPlan
from reconciler.plan.ground import Ground
from reconciler.plan.handover import kept_elsewhere
from reconciler.plan.holding import Holds, held_steps, is_suspended
from reconciler.plan.learning import learners
from reconciler.plan.order import StepCycle, ordered
from reconciler.plan.reach import Reach

_Reason = tuple[WaitReason, str]
_FOLLOWS: _Reason = (WaitReason.POLICY, "it follows a step that waits")
_CIRCLE: _Reason = (
    WaitReason.UNSUPPORTED,
    "addresses are exchanged in a circle, and none of its guests can give one up first: withdraw one in a commit",
)


class Refusals:
    """The reasons of one plan's steps."""

    def __init__(
        self,
        steps: tuple[Step, ...],
        filters: FilterPlan,
        ground: Ground,
        reach: Reach,
        most: Disruption,
        holds: Holds = MappingProxyType({}),
    ) -> None:
        self._most = most
        self._policy = ground.desired.policy
        args = (ground.desired, ground.live, ground.host)
        ready = filters.ready.ports.keys() - filters.ready.unready(steps)
        self._reasons: dict[str, _Reason] = {
            **dict.fromkeys(_circles(steps), _CIRCLE),
            **{step: _kept(held) for step, held in kept_elsewhere(steps, *args).items()},
            **dict(_stuck(steps, filters, ground, reach)),
            **{
                step: _learned(guest)
                for step, guest in learners(filters.steps, ground.live, ground.lookup, reach, ready).items()
            },
            **dict(_unbuildable(steps, ground)),
            **dict(_on_hold(steps, filters, ground, reach, holds)),
            **dict(_busy(steps, ground, reach)),
            **held_steps(steps, ground.desired, ground.host, holds),
        }

    def of(self, step: Step) -> _Reason | None:
        if step.disruption > self._most:
            window = waiting_window(self._policy, step.disruption)
            when = f", and so does the window {window}" if window else ""
            return WaitReason.POLICY, f"`apply --allow {step.disruption}` does it{when}"
        return self._reasons.get(step.id)

    def waiting(self, step: Step) -> Waiting:
        why, hint = self.of(step) or _FOLLOWS
        return Waiting(step.action.target, step.action.describe(), why, hint, step.disruption)


def _kept(held: str) -> _Reason:
    return WaitReason.UNSUPPORTED, f"{held}: release it there first"


def _learned(guest: str) -> _Reason:
    hint = (
        f"libvirt would let guest {guest} choose its own IP, which its filterref does not set: give the new rules to "
    )
    return WaitReason.UNSUPPORTED, hint + "a filter of another name, and choose that one"


def _circles(steps: tuple[Step, ...]) -> frozenset[str]:
    """Ids of all steps that wait for each other in a circle."""
    found: set[str] = set()
    while True:
        try:
            ordered(step for step in steps if step.id not in found)
        except StepCycle as cycle:
            found.update(cycle.ids)
        else:
            return frozenset(found)


def _on_hold(
    steps: tuple[Step, ...], filters: FilterPlan, ground: Ground, reach: Reach, holds: Holds
) -> Iterator[tuple[str, _Reason]]:
    """Steps of guests on hold or suspended, and changes of filters that would rebuild their rules."""
    guests = ground.desired.guests_on(ground.host)
    suspended = {guest.name for guest in guests if is_suspended(guest.name, holds)}
    held = {guest.name: guest for guest in guests if guest.hold or guest.name in suspended}
    if not held:
        return
    guards = {guard_name(name, i.mac): name for name, guest in held.items() for i in guest.interfaces}
    users = [binding for binding in ground.live.bindings if binding.owner in held]
    reached = {name: b.owner for b in users for name in reach.closure(b.filterref.filter)}
    of_rollout = next((reached[name] for name in sorted(_names(steps, filters.rollout)) if name in reached), None)
    for step in steps:
        guest = next((name for name in held if step.action.target == f"guest/{name}"), None)
        if guest is None and isinstance(step.action, DefineFilter | UndefineFilter):
            guest = guards.get(step.action.name) or (reached.get(step.action.name) if _rebuilds(step) else None)
        if guest is None and step.id in filters.rollout:
            guest = of_rollout
        if guest is not None:
            on_hold = (WaitReason.POLICY, f"guest {guest} is on hold")
            yield step.id, holds[f"guest/{guest}"] if guest in suspended else on_hold


def _rebuilds(step: Step) -> bool:
    return bool(step.rebuilds)


def _names(steps: tuple[Step, ...], ids: frozenset[str]) -> set[str]:
    chosen = [step.action for step in steps if step.id in ids]
    staged = {name for action in chosen if isinstance(action, RestartDaemon) for name, _ in action.files}
    return staged | {action.name for action in chosen if isinstance(action, DefineFilter)}


def _busy(steps: tuple[Step, ...], ground: Ground, reach: Reach) -> Iterator[tuple[str, _Reason]]:
    """While a guest is migrated or saved, nothing that its rules hang on is changed."""
    busy = {domain.name: domain for domain in ground.live.domains if domain.busy}
    if not busy:
        return
    # A guest that is being migrated to us gets its ports, and their bindings, at some moment of it.
    roots = [(nic.filterref.filter, name) for name, each in busy.items() for nic in each.live if nic.filterref]
    roots += [(each.filterref.filter, each.owner) for each in ground.live.bindings if each.owner in busy]
    reached = {name: owner for root, owner in roots for name in reach.closure(root)}
    for step in steps:
        guest = step.action.target.removeprefix("guest/")
        if isinstance(step.action, DefineFilter | UndefineFilter):
            guest = reached.get(step.action.name, "")
        if isinstance(step.action, RestartDaemon):  # which would break the migration off
            guest = next(iter(busy))
        if guest in busy:
            yield (
                step.id,
                (WaitReason.BUSY, f"guest {guest} is being migrated or saved: apply again when that has ended"),
            )


def _unbuildable(steps: tuple[Step, ...], ground: Ground) -> Iterator[tuple[str, _Reason]]:
    """One binding whose rules libvirt cannot build makes it refuse every change of any filter (virNWFilterBuildAll)."""
    found = _first_unbuildable(ground)
    for step in steps if found else ():
        action = step.action
        if isinstance(action, UndefineFilter) or (isinstance(action, DefineFilter) and action.previous_xml is not None):
            yield step.id, (WaitReason.UNSUPPORTED, f"libvirt refuses every change of a filter as long as {found}")


def _stuck(steps: tuple[Step, ...], filters: FilterPlan, ground: Ground, reach: Reach) -> Iterator[tuple[str, _Reason]]:
    """A changed filter from which some port could not be built any more: libvirt would refuse the change."""
    for port, lack in filters.ready.unready(steps).items():
        binding = ground.live.binding(port)
        if binding is None:
            continue
        owner = f"port {port} of guest {binding.owner}"
        hint = f"libvirt would refuse it as long as {owner} is as it is ({lack}): give it the variable first"
        reached = reach.closure(binding.filterref.filter)
        names = ((s.id, s.action.name) for s in steps if isinstance(s.action, DefineFilter) and s.rebuilds)
        concerned = {id for id, name in names if name in reached}
        if "restart" in filters.rollout or not concerned.isdisjoint(filters.rollout):
            concerned |= filters.rollout
        yield from dict.fromkeys(concerned, (WaitReason.UNSUPPORTED, hint)).items()


def _first_unbuildable(ground: Ground) -> str:
    """What is wrong with a binding now, and stays wrong with all filters as they are wanted."""
    held: Lookup = {f.definition.name: f.definition for f in ground.live.filters}.get
    now, later = _Lacks(held), _Lacks(ground.lookup)
    for binding in ground.live.bindings:
        wrong = now.of(binding)
        if wrong and later.of(binding):
            return (
                f"port {binding.port} of guest {binding.owner} uses {binding.filterref.filter}, and {wrong} is missing"
            )
    return ""


class _Lacks:
    """What a binding needs and has not, each filter looked at once."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._needs: dict[str, tuple[str, frozenset[str]]] = {}

    def of(self, binding: Binding) -> str:
        root = binding.filterref.filter
        if root not in self._needs:
            gone = next((f"filter {name}" for name in closure(self._lookup, root) if self._lookup(name) is None), "")
            self._needs[root] = (gone, required_variables(self._lookup, root))
        gone, needed = self._needs[root]
        given = {name for name, _ in binding.filterref.parameters}
        learned = {"IP"} if learns_addresses(self._lookup, binding.filterref) else set()
        missing = sorted(needed - given - learned)
        return gone or (f"variable {missing[0]}" if missing else "")
