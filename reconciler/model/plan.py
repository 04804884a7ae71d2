"""A plan: frozen steps, each with its reason, cost, disruption and revert. Data only; `execute` acts on it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.model.filter import FilterRef
from reconciler.model.kernel import Family, ForeignRule
from reconciler.model.site import Disruption


@dataclass(frozen=True, slots=True)
class DefineFilter:
    """Define a filter, new or in place of `previous_xml`. libvirt builds new rules before it drops the old."""

    name: str
    xml: str
    previous_xml: str | None

    kind = "define-filter"

    @property
    def target(self) -> str:
        return f"filter/{self.name}"

    def describe(self) -> str:
        return f"{'redefine' if self.previous_xml else 'define'} filter {self.name}"

    def inverse(self) -> Action:
        if self.previous_xml is None:
            return UndefineFilter(self.name, self.xml)
        return DefineFilter(self.name, self.previous_xml, self.xml)


@dataclass(frozen=True, slots=True)
class UndefineFilter:
    """Undefine a filter of ours that nothing reaches any more."""

    name: str
    previous_xml: str

    kind = "undefine-filter"

    @property
    def target(self) -> str:
        return f"filter/{self.name}"

    def describe(self) -> str:
        return f"undefine filter {self.name}"

    def inverse(self) -> Action:
        return DefineFilter(self.name, self.previous_xml, None)


@dataclass(frozen=True, slots=True)
class ChangeLiveFilterref:
    """Change the filter of a running guest's interface behind the closed gate of its port.

    `bridge` and `previous_bridge` are None where it stays on its bridge.
    """

    guest: str
    mac: str
    port: str
    filterref: FilterRef | None
    previous: FilterRef | None
    bridge: str | None = None
    previous_bridge: str | None = None

    kind = "change-live-filterref"

    @property
    def target(self) -> str:
        return f"guest/{self.guest}"

    def describe(self) -> str:
        new = self.filterref.filter if self.filterref else "no filter"
        moves = f" and move it to {self.bridge}" if self.bridge else ""
        return f"switch {self.guest}'s port {self.port} to {new}{moves}, closed meanwhile"

    def inverse(self) -> Action:
        return ChangeLiveFilterref(
            self.guest, self.mac, self.port, self.previous, self.filterref, self.previous_bridge, self.bridge
        )


@dataclass(frozen=True, slots=True)
class DefineGuest:
    """Replace a guest's persistent definition; the running guest is not touched."""

    guest: str
    xml: str
    previous_xml: str

    kind = "define-guest"

    @property
    def target(self) -> str:
        return f"guest/{self.guest}"

    def describe(self) -> str:
        return f"write {self.guest}'s persistent definition"

    def inverse(self) -> Action:
        return DefineGuest(self.guest, self.previous_xml, self.xml)


@dataclass(frozen=True, slots=True)
class SetAutostart:
    guest: str
    autostart: bool

    kind = "set-autostart"

    @property
    def target(self) -> str:
        return f"guest/{self.guest}"

    def describe(self) -> str:
        return f"turn autostart of {self.guest} {'on' if self.autostart else 'off'}"

    def inverse(self) -> Action:
        return SetAutostart(self.guest, not self.autostart)


@dataclass(frozen=True, slots=True)
class StartGuest:
    """Start a guest that the site wants running. It stays up when a later step fails."""

    guest: str

    kind = "start-guest"

    @property
    def target(self) -> str:
        return f"guest/{self.guest}"

    def describe(self) -> str:
        return f"start guest {self.guest}"

    def inverse(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class RebuildPort:
    """Have libvirt build a port's rules again behind its closed gate: identical XML alone rebuilds nothing."""

    guest: str
    mac: str
    port: str
    filterref: FilterRef

    kind = "rebuild-port"

    @property
    def target(self) -> str:
        return f"guest/{self.guest}"

    def describe(self) -> str:
        return f"rebuild the rules of {self.guest}'s port {self.port}, closed meanwhile"

    def inverse(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class RewriteSave:
    """Replace the definition in a guest's managed-save image: what it will start with."""

    guest: str
    xml: str
    previous_xml: str

    kind = "rewrite-save"

    @property
    def target(self) -> str:
        return f"guest/{self.guest}"

    def describe(self) -> str:
        return f"rewrite the definition in {self.guest}'s managed-save image"

    def inverse(self) -> Action:
        return RewriteSave(self.guest, self.previous_xml, self.xml)


@dataclass(frozen=True, slots=True)
class RemoveRules:
    """Take away rules of others that name a managed port, or let its frames pass its chains by."""

    guest: str
    port: str
    rules: tuple[ForeignRule, ...]

    kind = "remove-rules"

    @property
    def target(self) -> str:
        return f"guest/{self.guest}"

    def describe(self) -> str:
        count = "a foreign rule" if len(self.rules) == 1 else f"{len(self.rules)} foreign rules"
        return f"remove {count} before the chains of {self.guest}'s port {self.port}"

    def inverse(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class RaiseLinks:
    """Put libvirt's jumps before all other rules of FORWARD and INPUT, in one transaction."""

    families: tuple[Family, ...]

    kind = "raise-links"

    @property
    def target(self) -> str:
        return "host"

    def describe(self) -> str:
        return f"put libvirt's jumps first in the {' and '.join(self.families)} rules"

    def inverse(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class SweepPort:
    """Delete the chains that libvirt left behind for a port that is gone."""

    port: str

    kind = "sweep-port"

    @property
    def target(self) -> str:
        return f"port/{self.port}"

    def describe(self) -> str:
        return f"delete the rules of port {self.port}, which is gone"

    def inverse(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class OpenGate:
    """Open a port that an interrupted run left closed, once its rules are proven; or forget a port that is gone."""

    port: str
    guest: str | None

    kind = "open-gate"

    @property
    def target(self) -> str:
        return f"guest/{self.guest}" if self.guest else f"port/{self.port}"

    def describe(self) -> str:
        return f"open the gate of port {self.port}"

    def inverse(self) -> None:
        return None


Action = (
    DefineFilter
    | UndefineFilter
    | ChangeLiveFilterref
    | DefineGuest
    | SetAutostart
    | StartGuest
    | RebuildPort
    | RewriteSave
    | RemoveRules
    | RaiseLinks
    | SweepPort
    | OpenGate
)


@dataclass(frozen=True, slots=True)
class Step:
    """One action with what it costs. `after` names steps that must be done before it; `seconds` is an estimate."""

    id: str
    action: Action
    reason: str
    disruption: Disruption = Disruption.NONE
    rebuilds: int = 0
    seconds: float = 0.0
    after: tuple[str, ...] = ()

    @property
    def revert(self) -> str:
        match self.action:
            case DefineFilter(name=name, previous_xml=str()):
                return f"put filter {name} back as it was"
            case DefineGuest(guest=guest):
                return f"put {guest}'s persistent definition back as it was"
            case action:
                inverse = action.inverse()
                return inverse.describe() if inverse else "none needed"


class WaitReason(StrEnum):
    POLICY = "policy"
    UNSUPPORTED = "unsupported"
    SUSPENDED = "suspended"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A difference that this plan leaves: policy forbids its step, this version cannot make it,
    it is suspended, or another host has to release an address first."""

    target: str
    what: str
    why: WaitReason
    hint: str = ""
    disruption: Disruption = Disruption.NONE


@dataclass(frozen=True, slots=True)
class Plan:
    """Ordered steps for one host and one commit. `digest` changes with anything that the steps would do."""

    source: str
    host: str
    steps: tuple[Step, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    notes: tuple[str, ...] = ()
    digest: str = ""

    @property
    def rebuilds(self) -> int:
        return sum(step.rebuilds for step in self.steps)

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)

    @property
    def disruption(self) -> Disruption:
        return max((step.disruption for step in self.steps), default=Disruption.NONE)
