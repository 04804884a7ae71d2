"""What a host can do, whoever answers: libvirt, or the in-memory host of the tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from reconciler.model.filter import FilterRef, NwFilter
from reconciler.model.kernel import Family, ForeignRule, KernelRules
from reconciler.model.live import Binding, Domain, Live, LiveFilter
from reconciler.model.probe import Probe
from reconciler.model.supplement import Supplement


class Host(Protocol):
    """Reads return what is there now; writes return when libvirt has answered. All raise `HostError`."""

    def inspect(self, filters: Iterable[str] = ()) -> Live:
        """Everything at once: all guests and bindings, the named filters and all that they or guests reach."""

    def find_filter(self, name: str) -> LiveFilter | None: ...

    def find_domain(self, name: str) -> Domain | None: ...

    def find_binding(self, port: str) -> Binding | None: ...

    def packaged_filters(self) -> tuple[NwFilter, ...]:
        """The filters that libvirt's package brought, as it brought them; none where it does not keep them."""

    def rules(self, packets: bool = False) -> KernelRules:
        """The kernel's rules: of frames, and with `packets` of packets too."""

    def gated(self) -> frozenset[str]: ...

    def define_filter(self, xml: str) -> None: ...

    def undefine_filter(self, name: str) -> None: ...

    def define_domain(self, xml: str) -> None: ...

    def set_autostart(self, guest: str, autostart: bool) -> None: ...

    def start_domain(self, guest: str) -> None: ...

    def shut_down_domain(self, guest: str, seconds: float) -> bool:
        """Ask a guest to shut down; whether it was down within that time. Waits no longer than it takes."""

    def destroy_domain(self, guest: str) -> None: ...

    def write_filter_files(self, files: Iterable[tuple[str, str]]) -> None:
        """Put these texts in the place of libvirt's files of filters, each by a rename."""

    def restart_daemon(self) -> None:
        """Restart the daemon that has the filters, and wait until it answers; raises `HostError` if it does not."""

    def devices(self) -> frozenset[str]:
        """The network devices of the daemon's network namespace."""

    def set_live_filterref(self, guest: str, mac: str, filterref: FilterRef | None, bridge: str | None = None) -> None:
        """Change the filter of a running guest's interface, and its bridge where one is given.

        libvirt takes its rules away meanwhile.
        """

    def answering(self, probes: Iterable[Probe], most_seconds: float) -> frozenset[Probe]:
        """Those that are answered, each within its own seconds, or `most_seconds` where that is less."""

    def define_managed_save(self, guest: str, xml: str) -> None:
        """Replace the definition in a guest's managed-save image."""

    def remove_rules(self, rules: Iterable[ForeignRule]) -> None:
        """Delete these rules, one of each; one that is gone is no error."""

    def raise_links(self, families: Iterable[Family]) -> None:
        """Put libvirt's jumps first in the hooks of iptables, so that no packet misses one meanwhile."""

    def sweep_port(self, port: str) -> None:
        """Delete every chain of libvirt's for a port, and the jumps to it."""

    def rebuild_binding(self, port: str, owner: str, filterref: FilterRef) -> None:
        """Delete the binding of a port, where there is one, and create it again with this filter."""

    def supplement(self) -> Supplement | None:
        """What our own table has beside the gate."""

    def set_supplement(self, wanted: Supplement | None, *, keep_rules: bool = False) -> None:
        """Replace it in one instant; None takes it away. With `keep_rules` only what stands in its sets is changed."""

    def close_gate(self, port: str) -> None: ...

    def open_gate(self, port: str) -> None: ...
