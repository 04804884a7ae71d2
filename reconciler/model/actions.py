"""What a step does to a host: frozen data that says what it replaces and how it is taken back."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.filter import FilterRef
from reconciler.model.kernel import Family, ForeignRule
from reconciler.model.supplement import Element, FloodLimit


@dataclass(frozen=True, slots=True)
class _OfGuest:
    guest: str

    @property
    def target(self) -> str:
        return f"guest/{self.guest}"


@dataclass(frozen=True, slots=True)
class DefineFilter:
    """Define a filter, new or in place of `previous_xml`. libvirt builds new rules before it drops the old.

    `withdraws` is a guard that gives up addresses first, and gets its new ones by a later step.
    """

    name: str
    xml: str
    previous_xml: str | None
    withdraws: bool = False

    kind = "define-filter"

    @property
    def target(self) -> str:
        return f"filter/{self.name}"

    def describe(self) -> str:
        less = " without the addresses that it gives up" if self.withdraws else ""
        return f"{'redefine' if self.previous_xml else 'define'} filter {self.name}{less}"

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
class ChangeLiveFilterref(_OfGuest):
    """Change the filter of a running guest's interface behind the closed gate of its port.

    `bridge` and `previous_bridge` are None where it stays on its bridge. With `closed_before` an earlier step has
    closed the gate, because somebody else gets its addresses: on failure it stays closed until that is taken back.
    `stays_closed` is the same the other way round.
    """

    mac: str
    port: str
    filterref: FilterRef | None
    previous: FilterRef | None
    bridge: str | None = None
    previous_bridge: str | None = None
    closed_before: bool = False
    stays_closed: bool = False

    kind = "change-live-filterref"

    def describe(self) -> str:
        port = f"{self.guest}'s port {self.port}"
        if self.filterref is None:
            return f"take the filter from {port}, closed meanwhile"
        if self.bridge and self.filterref == self.previous:
            return f"move {port} to {self.bridge}, closed meanwhile"
        is_same = self.previous is not None and self.previous.filter == self.filterref.filter
        change = "give {} other values for {}" if is_same else "switch {} to {}"
        moves = f" and move it to {self.bridge}" if self.bridge else ""
        return f"{change.format(port, self.filterref.filter)}{moves}, closed meanwhile"

    def inverse(self) -> Action:
        return ChangeLiveFilterref(
            self.guest,
            self.mac,
            self.port,
            self.previous,
            self.filterref,
            self.previous_bridge,
            self.bridge,
            closed_before=self.stays_closed,
            stays_closed=self.closed_before,
        )


@dataclass(frozen=True, slots=True)
class DefineGuest(_OfGuest):
    """Replace a guest's persistent definition; the running guest is not touched.

    On other `ports` than these, none of one that is down, it was started meanwhile with the old one. None: no matter.
    """

    xml: str
    previous_xml: str
    ports: tuple[str, ...] | None = None

    kind = "define-guest"

    def describe(self) -> str:
        return f"write {self.guest}'s persistent definition"

    def inverse(self) -> Action:
        return DefineGuest(self.guest, self.previous_xml, self.xml)


@dataclass(frozen=True, slots=True)
class SetAutostart(_OfGuest):
    autostart: bool

    kind = "set-autostart"

    def describe(self) -> str:
        return f"turn autostart of {self.guest} {'on' if self.autostart else 'off'}"

    def inverse(self) -> Action:
        return SetAutostart(self.guest, not self.autostart)


@dataclass(frozen=True, slots=True)
class StartGuest(_OfGuest):
    """Start a guest: one that the site wants running, or one that we stopped (`again`).

    `undo` is how it is stopped when a later step fails, since it was down before; without it the guest stays up.
    """

    undo: ShutDownGuest | None = None
    again: bool = False

    kind = "start-guest"

    def describe(self) -> str:
        return f"start guest {self.guest}{' again' if self.again else ''}"

    def inverse(self) -> Action | None:
        return self.undo


@dataclass(frozen=True, slots=True)
class ShutDownGuest(_OfGuest):
    """Ask a guest to shut down, and wait `seconds` for it. `destroy` kills it then; else the step fails: it runs on."""

    seconds: int
    destroy: bool = False

    kind = "shut-down-guest"

    def describe(self) -> str:
        killed = ", or kill it" if self.destroy else ""
        return f"shut guest {self.guest} down within {self.seconds} s{killed}"

    def inverse(self) -> Action:
        return StartGuest(self.guest)


@dataclass(frozen=True, slots=True)
class CloseGate(_OfGuest):
    """Close a running guest's port until its new filterref is proven: meanwhile it owns no address."""

    mac: str
    port: str

    kind = "close-gate"

    def describe(self) -> str:
        return f"close {self.guest}'s port {self.port}, so that it gives up its addresses"

    def inverse(self) -> Action:
        return OpenGate(self.port, self.guest)


@dataclass(frozen=True, slots=True)
class VerifyPort(_OfGuest):
    """Read a port's rules back and hold them to what its filter asks for, before the next guest gets it too."""

    mac: str
    port: str
    filterref: FilterRef

    kind = "verify-port"

    def describe(self) -> str:
        return f"prove the rules of {self.guest}'s port {self.port}"

    def inverse(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class RestartDaemon:
    """Write filters' files by rename, restart libvirt's daemon, and wait until it answers.

    It then builds the rules of every port of the host once. `files` and `previous` are pairs of name and XML.
    """

    files: tuple[tuple[str, str], ...]
    previous: tuple[tuple[str, str], ...]

    kind = "restart-daemon"

    @property
    def target(self) -> str:
        return "host"

    def describe(self) -> str:
        count = "a filter" if len(self.files) == 1 else f"{len(self.files)} filters"
        names = ", ".join(name for name, _ in self.files[:_MOST_NAMES])
        more = f" and {len(self.files) - _MOST_NAMES} more" if len(self.files) > _MOST_NAMES else ""
        return f"write the files of {count} ({names}{more}), restart libvirt's daemon, and wait for its answers"

    def inverse(self) -> Action:
        return RestartDaemon(self.previous, self.files)


_MOST_NAMES = 4


@dataclass(frozen=True, slots=True)
class RebuildPort(_OfGuest):
    """Have libvirt build a port's rules again behind its closed gate: identical XML alone rebuilds nothing."""

    mac: str
    port: str
    filterref: FilterRef

    kind = "rebuild-port"

    def describe(self) -> str:
        return f"rebuild the rules of {self.guest}'s port {self.port}, closed meanwhile"

    def inverse(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class RewriteSave(_OfGuest):
    """Replace the definition in a guest's managed-save image: what it will start with."""

    xml: str
    previous_xml: str

    kind = "rewrite-save"

    def describe(self) -> str:
        return f"rewrite the definition in {self.guest}'s managed-save image"

    def inverse(self) -> Action:
        return RewriteSave(self.guest, self.previous_xml, self.xml)


@dataclass(frozen=True, slots=True)
class RemoveRules(_OfGuest):
    """Take away rules of others that name a managed port, or let its frames pass its chains by."""

    port: str
    rules: tuple[ForeignRule, ...]

    kind = "remove-rules"

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
        whose = f"{self.guest}'s port" if self.guest else "port"
        return f"open the gate of {whose} {self.port}"

    def inverse(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class SetSupplement:
    """Put the supplement in the place of all that our table has beside the gate, in one transaction of nft.

    `wanted` and `replaced` are its elements, None where there is no supplement; `limit` and `replaced_limit` what it
    allows of floods. With `keeps_rules` only elements are changed, because what differs of the rules is ignored.
    """

    wanted: tuple[Element, ...] | None
    replaced: tuple[Element, ...] | None
    limit: FloodLimit | None = None
    replaced_limit: FloodLimit | None = None
    keeps_rules: bool = False

    kind = "set-supplement"

    @property
    def target(self) -> str:
        return "host"

    def describe(self) -> str:
        return "bring the rules of nft beside libvirt's to what the site says"

    def inverse(self) -> Action:
        return SetSupplement(self.replaced, self.wanted, self.replaced_limit, self.limit, self.keeps_rules)


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
    | ShutDownGuest
    | CloseGate
    | VerifyPort
    | RestartDaemon
    | OpenGate
    | SetSupplement
)
