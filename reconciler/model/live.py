"""What a host really has: libvirt's definitions and bindings, and the kernel's rules."""

from __future__ import annotations

from dataclasses import dataclass, field

from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.kernel import KernelRules

FILTERED_KINDS = frozenset({"bridge", "network", "ethernet"})
"""libvirt changes the filter of a running interface only on these (qemuDomainChangeNetFilter)."""


@dataclass(frozen=True, slots=True)
class Nic:
    """One `<interface>` of a guest's XML. `port` is the host's device, known only while the guest runs."""

    mac: str
    kind: str
    source: str | None = None
    port: str | None = None
    filterref: FilterRef | None = None


@dataclass(frozen=True, slots=True)
class Domain:
    """A guest as libvirt has it. The XML texts are kept because changes are made in them, and nowhere else.

    `persistent` is empty for a transient guest, `live` is empty for one that does not run. `saved` says that a
    managed-save image or a snapshot may bring an older definition back.
    """

    name: str
    uuid: str
    active: bool
    autostart: bool = False
    saved: bool = False
    persistent: tuple[Nic, ...] = ()
    live: tuple[Nic, ...] = ()
    persistent_xml: str = field(default="", repr=False)
    live_xml: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Binding:
    """libvirt's instance of a filter on one port; parameters without those that libvirt adds itself."""

    port: str
    owner: str
    mac: str
    filterref: FilterRef


@dataclass(frozen=True, slots=True)
class LiveFilter:
    """A filter that libvirt holds. `owned` says that it carries our mark: only then it may be deleted."""

    definition: NwFilter
    uuid: str
    owned: bool
    xml: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Live:
    """One inspection of a host. `gated` are the ports that our gate holds closed."""

    domains: tuple[Domain, ...] = ()
    filters: tuple[LiveFilter, ...] = ()
    bindings: tuple[Binding, ...] = ()
    kernel: KernelRules = KernelRules()
    gated: frozenset[str] = frozenset()

    def domain(self, name: str) -> Domain | None:
        return next((domain for domain in self.domains if domain.name == name), None)

    def filter(self, name: str) -> LiveFilter | None:
        return next((f for f in self.filters if f.definition.name == name), None)

    def binding(self, port: str) -> Binding | None:
        return next((binding for binding in self.bindings if binding.port == port), None)
