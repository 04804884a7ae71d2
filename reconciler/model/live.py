"""What a host really has: libvirt's definitions and bindings, and the kernel's rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from reconciler.model.account import Account
from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.kernel import KernelRules

FILTERED_KINDS = frozenset({"bridge", "network", "ethernet"})
"""Only these can have a filter (domain_conf.c, virDomainNetDefParseXML; qemuDomainChangeNetFilter)."""


@dataclass(frozen=True, slots=True)
class Nic:
    """One `<interface>` of a guest's XML. `port` is the host's device, known only while the guest runs.

    `settings` is all the rest of it as `path@attribute`, sorted: VLAN tags, bandwidth, mtu, link state, model, boot
    order and what else there is; without what libvirt gives a device by itself (its alias, its address on a bus).
    `trusts_guest`: libvirt follows on the host what the guest says of its MACs (`trustGuestRxFilters`).
    """

    mac: str
    kind: str
    source: str | None = None
    port: str | None = None
    filterref: FilterRef | None = None
    settings: tuple[tuple[str, str], ...] = ()
    trusts_guest: bool = False


@dataclass(frozen=True, slots=True)
class SavedState:
    """A definition that may come back: of a managed-save image, or of a snapshot.

    `name` is `managed-save` or `snapshot/NAME`. Only a managed-save image's `xml` can be replaced.
    """

    name: str
    nics: tuple[Nic, ...] = ()
    xml: str = field(default="", repr=False)

    @property
    def can_be_rewritten(self) -> bool:
        return self.name == MANAGED_SAVE


MANAGED_SAVE = "managed-save"


@dataclass(frozen=True, slots=True)
class Domain:
    """A guest as libvirt has it. The XML texts are kept because changes are made in them, and nowhere else.

    `persistent` is empty for a transient guest, `live` is empty for one that does not run. `saved` are definitions that
    a managed-save image or a snapshot may bring back. `busy` while it is migrated, saved or dumped.
    """

    name: str
    uuid: str
    active: bool
    autostart: bool = False
    persistent: tuple[Nic, ...] = ()
    live: tuple[Nic, ...] = ()
    persistent_xml: str = field(default="", repr=False)
    live_xml: str = field(default="", repr=False)
    saved: tuple[SavedState, ...] = ()
    busy: bool = False

    @property
    def nics(self) -> tuple[Nic, ...]:
        """Of every definition that the guest has or may get back."""
        return (*self.persistent, *self.live, *(nic for state in self.saved for nic in state.nics))

    @property
    def managed_save(self) -> SavedState | None:
        return next((state for state in self.saved if state.name == MANAGED_SAVE), None)


@dataclass(frozen=True, slots=True)
class Binding:
    """libvirt's instance of a filter on one port; parameters without those that libvirt adds itself."""

    port: str
    owner: str
    mac: str
    filterref: FilterRef


class FilterFile(StrEnum):
    """libvirt's own file of a filter, which it reads at its next start or reload, beside what it holds now."""

    SAME = "same"
    ABSENT = "absent"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class LiveFilter:
    """A filter that libvirt holds. `owned` says that it carries our mark: only then it may be deleted.

    `temporary` ones carry the mark of a copy that lives for one roll-out.
    """

    definition: NwFilter
    uuid: str
    owned: bool
    xml: str = field(default="", repr=False)
    file: FilterFile = FilterFile.SAME
    temporary: bool = False


@dataclass(frozen=True)
class Live:
    """One inspection of a host. `gated` are the ports that our gate holds closed, `devices` the network's devices.

    `account` says what the host was asked and told, where somebody kept it.
    """

    domains: tuple[Domain, ...] = ()
    filters: tuple[LiveFilter, ...] = ()
    bindings: tuple[Binding, ...] = ()
    kernel: KernelRules = KernelRules()
    gated: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()
    account: Account | None = field(default=None, compare=False)

    def domain(self, name: str) -> Domain | None:
        return self._domain_by_name.get(name)

    def filter(self, name: str) -> LiveFilter | None:
        return self._filter_by_name.get(name)

    def has_lost(self, nic: Nic) -> bool:
        """Whether a running interface's port is no device of the host: renamed by hand, so that no rule meets it.

        A host without any device is one that was not asked for them.
        """
        is_filtered = nic.port is not None and nic.kind in FILTERED_KINDS
        return bool(self.devices) and is_filtered and nic.port not in self.devices

    @property
    def known_ports(self) -> frozenset[str]:
        """The host's devices, and what libvirt takes for the ports of its guests."""
        return self.devices | {nic.port for domain in self.domains for nic in domain.live if nic.port}

    def binding(self, port: str) -> Binding | None:
        return self._binding_by_port.get(port)

    @cached_property
    def _domain_by_name(self) -> dict[str, Domain]:
        return {domain.name: domain for domain in self.domains}

    @cached_property
    def _filter_by_name(self) -> dict[str, LiveFilter]:
        return {held.definition.name: held for held in self.filters}

    @cached_property
    def _binding_by_port(self) -> dict[str, Binding]:
        return {binding.port: binding for binding in self.bindings}
