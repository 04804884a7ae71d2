"""Steps that define filters: shared ones by the cheapest way, then guards; and what is deleted at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from reconciler.model.actions import DefineFilter, RestartDaemon, ShutDownGuest, UndefineFilter
from reconciler.model.disruption import Disruption
from reconciler.model.filter import NwFilter
from reconciler.model.live import FilterFile, Live, LiveFilter
from reconciler.model.plan import Step, Way
from reconciler.model.site import Desired
from reconciler.nwfilter.tolerance import Tolerance
from reconciler.nwfilter.variables import closure
from reconciler.nwfilter.wanted import wanted_filters
from reconciler.plan.rates import Rates
from reconciler.plan.reach import Reach
from reconciler.plan.readying import Readied, readied
from reconciler.plan.rollout import Change, choose, original_name, ways
from reconciler.plan.simulated import Simulated, renamed

_NEW = "the site has it, libvirt does not"
_DIFFERS = "its definition differs from the site"


@dataclass(frozen=True, slots=True)
class FilterPlan:
    """All definitions. `redefined` says of each filter whether libvirt then rebuilds ports.

    `aliases` say which step stands for a filter's definition, `rollout` are the steps of the way that was chosen.
    """

    steps: tuple[Step, ...]
    redefined: Mapping[str, bool]
    rollout: frozenset[str] = frozenset()
    ways: tuple[Way, ...] = ()
    aliases: Mapping[str, str] | None = None
    ready: Readied = Readied(Live())

    def follow(self, step: Step) -> Step:
        """A step that follows those that stand for the definitions which it follows."""
        aliases = self.aliases or {}
        return replace(step, after=tuple(aliases.get(id, id) for id in step.after)) if aliases else step


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filters that a site wants on a host, made once for all parts of a plan: a site has a guard for every NIC.

    `tolerated` are the same as its ignored differences leave them.
    """

    of_site: tuple[NwFilter, ...]
    tolerated: tuple[NwFilter, ...]


def wanted_on(desired: Desired, live: Live, host: str) -> Wanted:
    of_site = wanted_filters(desired, host)
    return Wanted(of_site, Tolerance(desired.ignore).filters(of_site, live))


def plan_filters(
    desired: Desired,
    live: Live,
    host: str,
    all_wanted: Wanted,
    most: Disruption,
    rates: Rates,
    back: Iterable[str] = (),
) -> FilterPlan:
    """Steps of all filters. Guards of `back` leave the copies on which a cut roll-out left them before all else."""
    wanted = (*all_wanted.tolerated, *_restored(all_wanted, live))
    shared_names = {definition.name for definition in desired.filters}
    shared = tuple(definition for definition in wanted if definition.name in shared_names)
    ready = readied(desired, live, host, {definition.name: definition for definition in wanted}, rates)
    live = ready.live
    change = Change(shared, live, rates)
    compared = ways(change) if change.changed else ()
    simulated = Simulated(live, rates)
    steps: list[Step] = []
    chosen = None
    if compared:
        chosen, told = choose(compared, desired.policy, most)
        simulated = chosen.after or simulated
        steps.extend(chosen.steps)
    rollout = frozenset(step.id for step in steps)
    backs = tuple(_back_steps(back, live, simulated, rollout, {definition.name: definition for definition in wanted}))
    steps.extend(backs)
    aliases = chosen.aliases if chosen else {}
    done = rollout | aliases.keys() | {step.id for step in backs}
    steps.extend(_plain_steps(wanted, live, simulated, done))
    steps = [*ready.steps, *_files_first(steps, live, aliases)]
    plan = FilterPlan(tuple(steps), _redefined(steps, aliases), rollout, told if compared else (), aliases, ready)
    return replace(plan, steps=tuple(plan.follow(step) for step in steps))


def _files_first(steps: list[Step], live: Live, aliases: Mapping[str, str]) -> Iterator[Step]:
    """A restarted daemon reads its folder anew: files that are gone or astray are put right before."""
    mended = {
        step.id
        for step in steps
        if isinstance(step.action, DefineFilter)
        and (held := live.filter(step.action.name)) is not None
        and held.file is not FilterFile.SAME
    }
    for step in steps:
        if step.id in mended:
            yield replace(step, after=tuple(id for id in step.after if id not in aliases))
        elif isinstance(step.action, RestartDaemon):
            yield replace(step, after=(*step.after, *sorted(mended)))
        else:
            yield step


def _restored(all_wanted: Wanted, live: Live) -> Iterator[NwFilter]:
    """Guards that the site has no more, and that an interrupted roll-out left with copies: with the originals again."""
    originals = _originals(live)
    wanted = {definition.name for definition in all_wanted.of_site} if originals else set()
    for held in live.filters if originals else ():
        definition = held.definition
        if held.owned and definition.name not in wanted and not originals.keys().isdisjoint(definition.references):
            yield renamed(definition, definition.name, _by_name(originals, live))


def on_copies(names: Iterable[str], live: Live) -> frozenset[str]:
    """Those of our filters that refer to copies which an interrupted roll-out left behind."""
    copies = _originals(live).keys()
    found = (live.filter(name) for name in names) if copies else ()
    return frozenset(
        f.definition.name for f in found if f and f.owned and not copies.isdisjoint(f.definition.references)
    )


def _back_steps(
    names: Iterable[str], live: Live, simulated: Simulated, rollout: frozenset[str], wanted: Mapping[str, NwFilter]
) -> Iterator[Step]:
    originals = _originals(live)
    for name in sorted(names):
        held = live.filter(name)
        if held is not None and f"back:{name}" not in rollout:
            definition = renamed(held.definition, name, _by_name(originals, live))
            changed = (each for each in closure(wanted.get, name) if f"filter:{each}" in rollout)
            after = tuple(f"filter:{each}" for each in changed)
            yield simulated.define(f"back:{name}", definition, _LEFT_ON_COPIES, after)


_LEFT_ON_COPIES = "an interrupted roll-out left it on temporary copies, and its own change waits"


def _originals(live: Live) -> dict[str, str]:
    """Copies that an interrupted roll-out left, and what each one's name says that it stands for."""
    return {f.definition.name: original_name(f.definition.name) for f in live.filters if f.temporary}


def _by_name(originals: dict[str, str], live: Live) -> dict[str, str]:
    """The filter that each copy stands for; a long name is cut in that of its copy."""
    names = [f.definition.name for f in live.filters if not f.temporary]
    found = {copy: next((n for n in names if n[: len(name)] == name), name) for copy, name in originals.items()}
    return {copy: originals[copy] if originals[copy] in names else name for copy, name in found.items()}


def _plain_steps(
    wanted: tuple[NwFilter, ...], live: Live, simulated: Simulated, rollout: frozenset[str]
) -> Iterator[Step]:
    """Definitions that are new, that nobody uses, whose file is not as libvirt holds them, and guards.

    A guard follows the filter that it refers to only where that changes itself: not where a roll-out of something
    inside it switches it to copies and back, which may wait for other guests.
    """
    by_name = {definition.name: definition for definition in wanted}

    def changes(name: str) -> bool:
        held = live.filter(name)
        return held is None or (name in by_name and held.definition != by_name[name])

    for definition in wanted:
        held = live.filter(definition.name)
        is_same = simulated.held(definition.name) == definition
        id = f"filter:{definition.name}"
        if id in rollout or (is_same and (held is None or held.file is FilterFile.SAME)):
            continue
        after = (f"filter:{name}" for name in definition.references if changes(name))
        last = f"back:{definition.name}"
        yield simulated.define(id, definition, _reason(held, is_same=is_same), (*after, *({last} & rollout)))


def _redefined(steps: list[Step], aliases: Mapping[str, str]) -> dict[str, bool]:
    found: dict[str, bool] = dict.fromkeys((alias.removeprefix("filter:") for alias in aliases), True)
    for step in steps:
        if isinstance(step.action, DefineFilter):
            found[step.action.name] = found.get(step.action.name, False) or bool(step.rebuilds)
    return found


def _reason(held: LiveFilter | None, *, is_same: bool) -> str:
    if held is None:
        return _NEW
    if not is_same:
        return _DIFFERS
    if held.file is FilterFile.ABSENT:
        return "its file is gone: libvirt would lose it at its next start"
    return "its file is not what libvirt holds, and comes into force at its next start"


def lost_first(steps: tuple[Step, ...], reach: Reach) -> tuple[Step, ...]:
    """Filters that libvirt has lost and that ports use are defined before any other is changed: it refuses that else.

    Their own definition builds nothing, so it need not wait; who follows it waits for what it would have waited for.
    """
    new = {
        step.id: step.action for step in steps if isinstance(step.action, DefineFilter) and not step.action.previous_xml
    }
    lost = {id for id, action in new.items() if reach.bindings(action.name)}
    dropped = {step.id: tuple(id for id in step.after if id not in new) for step in steps if step.id in lost}

    def placed(step: Step) -> Step:
        if step.id in lost:
            return replace(step, after=tuple(id for id in step.after if id in new))
        later = tuple(id for each in step.after for id in dropped.get(each, ()))
        changes = isinstance(step.action, DefineFilter | UndefineFilter) and step.id not in new
        return replace(step, after=(*step.after, *later, *(sorted(lost) if changes else ())))

    return tuple(placed(step) for step in steps) if lost else steps


def prune_steps(
    desired: Desired, live: Live, all_wanted: Wanted, changes: tuple[Step, ...], reach: Reach
) -> Iterator[Step]:
    """What the site has no more, where it says so; and copies that an interrupted roll-out left behind."""
    before = tuple(step.id for step in changes)
    dropped = {step.action.name for step in changes if isinstance(step.action, UndefineFilter)}
    stopped = {step.action.guest for step in changes if isinstance(step.action, ShutDownGuest)}
    texts = {step.action.name: step.action.xml for step in changes if isinstance(step.action, DefineFilter)}
    for name in sorted(_orphans(desired, live, all_wanted, reach, stopped) - dropped):
        held = live.filter(name)
        referrers = (f"prune:{f.definition.name}" for f in live.filters if name in f.definition.references)
        if held is not None:
            reason = "an interrupted roll-out left it behind" if held.temporary else _PRUNED
            earlier = _releasing(name, live, changes) if held.temporary else before
            yield Step(
                f"prune:{name}", UndefineFilter(name, texts.get(name, held.xml)), reason, after=(*earlier, *referrers)
            )


def _releasing(copy: str, live: Live, changes: tuple[Step, ...]) -> tuple[str, ...]:
    """Steps that change what refers to a copy; where nobody does, it goes whatever else has to wait."""
    referrers = {f"filter/{f.definition.name}" for f in live.filters if copy in f.definition.references}
    users = {
        f"guest/{d.name}" for d in live.domains for nic in d.nics if nic.filterref and nic.filterref.filter == copy
    }
    having = [step for step in changes if not _changed_by(step).isdisjoint(referrers | users)]
    back = {step.action.target for step in having if step.id.startswith("back:")}
    return tuple(step.id for step in having if step.id.startswith("back:") or step.action.target not in back)


def _changed_by(step: Step) -> set[str]:
    """What a step changes, as drift names it: a restart of the daemon all filters whose files it reads."""
    files = step.action.files if isinstance(step.action, RestartDaemon) else ()
    return {step.action.target, *(f"filter/{name}" for name, _ in files)}


_PRUNED = "it carries our mark, and the site has it no more"


def _orphans(desired: Desired, live: Live, all_wanted: Wanted, reach: Reach, stopped: set[str]) -> frozenset[str]:
    of_site = {definition.name: definition for definition in all_wanted.of_site}
    wanted = of_site | {definition.name: definition for definition in _restored(all_wanted, live)}
    gone = frozenset(
        f.definition.name
        for f in live.filters
        if f.definition.name not in of_site and (f.temporary or (f.owned and desired.policy.prune))
    )
    while kept := {name for name in gone if reach.needed_by(name, desired, gone, wanted, stopped)}:
        gone -= kept
    return gone
