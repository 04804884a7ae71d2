"""Guests that have to be shut down: for good, or to be started again with what only a start brings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from reconciler.domain.match import copies, match_nics
from reconciler.model.actions import ShutDownGuest, StartGuest
from reconciler.model.disruption import Disruption
from reconciler.model.drift import Layer
from reconciler.model.filter import FilterRef
from reconciler.model.guest import Guest, Power
from reconciler.model.live import Domain
from reconciler.model.plan import Step
from reconciler.model.site import OnTimeout
from reconciler.plan.ground import Ground


def _needs_restart(ground: Ground, guest: Guest, domain: Domain) -> str:
    """Why a running guest has to be started again, empty where it has not."""
    if not (domain.active and domain.persistent) or guest.power is Power.STOPPED:
        return ""
    wanted = [interface.mac for interface in guest.interfaces]
    running, stored = match_nics(wanted, domain.live), match_nics(wanted, domain.persistent)
    for mac in wanted:
        nic = running.get(mac)
        if (
            not copies(domain.live, mac)
            and nic is None
            and mac in stored
            and not ground.ignores(guest, mac, Layer.LIVE)
        ):
            return f"it runs without the interface {mac} that its definition has"
        if nic is not None and nic.mac != mac and not ground.ignores(guest, f"{mac}.mac", Layer.LIVE):
            return f"it runs with the MAC {nic.mac} in place of {mac}"
    return ""


def goes_down(ground: Ground, guest: Guest, domain: Domain) -> bool:
    """Whether this plan stops a running guest: then nothing of what runs needs to be changed."""
    if guest.hold or not ground.allows(Disruption.GUEST_RESTART):
        return False
    return _is_to_stop(ground, guest, domain) or bool(_needs_restart(ground, guest, domain))


def _is_to_stop(ground: Ground, guest: Guest, domain: Domain) -> bool:
    return domain.active and guest.power is Power.STOPPED and ground.acts_on_power(guest)


def shut_down(ground: Ground, guest: Guest) -> ShutDownGuest:
    """As the policy says."""
    policy = ground.desired.policy
    return ShutDownGuest(guest.name, policy.shutdown_seconds, policy.on_timeout is OnTimeout.DESTROY)


def down_and_up(
    ground: Ground, guest: Guest, domain: Domain, references: Iterable[FilterRef], before: tuple[str, ...]
) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Steps that shut a guest down, and that start it again with what is stored by then; none where it need not.

    The filters that it will have are there before it goes down; one that stays down waits for none.
    """
    reason = _needs_restart(ground, guest, domain)
    stays_down = _is_to_stop(ground, guest, domain)
    if not reason and not stays_down:
        return (), ()
    action = shut_down(ground, guest)
    needed = () if stays_down else references
    stop = ground.step(f"stop:{guest.name}", action, reason or "the site wants it stopped", needed, before)
    stop = replace(stop, disruption=Disruption.GUEST_RESTART, seconds=ground.rates.shutdown)
    if stays_down:
        return (stop,), ()
    again = StartGuest(guest.name, action, again=True)
    start = ground.step(f"start:{guest.name}", again, "it ran before", (), (stop.id,))
    return (stop,), (replace(start, disruption=Disruption.GUEST_RESTART, seconds=ground.rates.start),)


def one_after_another(steps: tuple[Step, ...], guests: Iterable[Guest], most_down: int) -> tuple[Step, ...]:
    """Restarts in such an order that no more guests are down at once than is allowed, and no two of one group.

    Guests that an interrupted run left down are started before another one goes down to come back.
    """
    starts = {s.action.target: s for s in steps if isinstance(s.action, StartGuest) and s.action.again}
    owed = [step.id for step in starts.values() if isinstance(step.action, StartGuest) and step.action.undo is None]
    groups = {f"guest/{guest.name}": guest.group for guest in guests if guest.group}
    stops = [step for step in steps if isinstance(step.action, ShutDownGuest)]
    back = [step for step in stops if step.action.target in starts]
    later: dict[str, list[str]] = {step.id: list(owed) for step in back}
    for place, step in enumerate(back):
        earlier = back[:place]
        waits = {starts[each.action.target].id for each in earlier[: max(0, place - most_down + 1)]}
        group = groups.get(step.action.target)
        waits |= {starts[e.action.target].id for e in earlier if group and groups.get(e.action.target) == group}
        later[step.id].extend(sorted(waits))
    return tuple(replace(step, after=(*step.after, *later.get(step.id, ()))) for step in steps)


def starts_last(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Guests that the site wants running are started when all else has gone well, as far as the order is free."""
    last = [step for step in steps if isinstance(step.action, StartGuest) and not step.action.again]
    return (*(step for step in steps if step not in last), *last)


def with_owed(steps: tuple[Step, ...], owed: Iterable[str], ground: Ground) -> tuple[Step, ...]:
    """Also start the guests that an interrupted run shut down (promise P5), and leave them up whatever comes later."""
    wanted = set(_still_down(owed, ground))
    planned = {step.id for step in steps}
    others = tuple(step for step in steps if step.id not in {f"start:{name}" for name in wanted})
    return (*others, *(_owed_start(name, planned, ground) for name in sorted(wanted)))


def _still_down(owed: Iterable[str], ground: Ground) -> Iterator[str]:
    stopped = {guest.name for guest in ground.desired.guests if guest.power is Power.STOPPED}
    for name in owed:
        domain = ground.live.domain(name)
        if name not in stopped and domain is not None and not domain.active:
            yield name


def _owed_start(name: str, planned: set[str], ground: Ground) -> Step:
    before = tuple(id for id in (f"guest:{name}", f"saved:{name}") if id in planned)
    action = StartGuest(name, again=True)
    return Step(f"start:{name}", action, "an interrupted run shut it down", seconds=ground.rates.start, after=before)
