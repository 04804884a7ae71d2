"""The kernel's rules as the daemon's network namespace has them, and the gate that closes a port.

libvirt's rules are those of ebtables and iptables, or of nft: which, is found out at each reading.
The gate is one nftables set of port names in a table of our own; a frame from a port in it is dropped before
libvirt's rules see it. nft(8) applies each change as one transaction, so a port is never half closed.
"""

from __future__ import annotations

import json

from reconciler.errors import HostError
from reconciler.host.backend import backend_of_rules
from reconciler.host.processes import Namespaces, run
from reconciler.model.kernel import Backend, Family, KernelRules, Ruleset
from reconciler.nwfilter.ebtables import parse_ebtables
from reconciler.nwfilter.iptables import parse_iptables
from reconciler.nwfilter.nft_leftovers import clearing
from reconciler.nwfilter.nftables import has_tables, parse_nftables

TABLE = "reconciler"
_SET = "closed"

# Before libvirt's rules: ebtables' nat PREROUTING is at -300.
_GATE = f"""
add table bridge {TABLE}
add set bridge {TABLE} {_SET} {{ type ifname; }}
add chain bridge {TABLE} gate {{ type filter hook prerouting priority -350; policy accept; }}
flush chain bridge {TABLE} gate
add rule bridge {TABLE} gate iifname @{_SET} drop
add element bridge {TABLE} {_SET} {{ "PORT" }}
"""


class Kernel:
    """Reads and gates in one network namespace; `within` None means our own. `said` is what libvirt's settings say."""

    def __init__(self, within: Namespaces | None, said: Backend | None = None) -> None:
        self._within = within
        self._said = said

    def rules(self, packets: bool) -> KernelRules:
        """The ethernet-level rules, and with `packets` those of iptables and ip6tables too; of nft always both."""
        of_nft = self._rules_of_nft()
        ports_of_nft = of_nft is not None and _has_ports(of_nft.ethernet)
        if of_nft is not None and ports_of_nft and self._said is Backend.NFTABLES:
            return of_nft
        ethernet = parse_ebtables(self._saved("ebtables-save"))
        backend = backend_of_rules(self._said, ports_of_nft=ports_of_nft, ports_of_ebtables=_has_ports(ethernet))
        if backend is Backend.NFTABLES:
            return of_nft or KernelRules(Ruleset(family=Family.NFT_ETHERNET), inet=Ruleset(family=Family.NFT_INET))
        if not packets:
            return KernelRules(ethernet)
        ipv4 = parse_iptables(self._saved("iptables-save"), Family.IPV4)
        ipv6 = parse_iptables(self._saved("ip6tables-save"), Family.IPV6)
        return KernelRules(ethernet, ipv4, ipv6)

    def _listed_tables_of_nft(self) -> str | None:
        """The rules of bridges where libvirt has both its tables of nft. To look for tables is cheaper than to list."""
        if not has_tables(run(["nft", "-j", "list", "tables"], within=self._within).stdout):
            return None
        return run(["nft", "-j", "list", "ruleset", "bridge"], within=self._within).stdout

    def _rules_of_nft(self) -> KernelRules | None:
        listed = self._listed_tables_of_nft()
        if listed is None:
            return None
        try:
            ethernet, inet = parse_nftables(listed)
        except (ValueError, KeyError) as error:
            message = f"what nft lists of libvirt's rules is not understood: {error!r}; nothing was done"
            raise HostError(message) from error
        return KernelRules(ethernet, inet=inet)

    def sweep(self, port: str) -> None:
        """Remove what a failed build of a port's rules left of nft: libvirt would build the next ones into it.

        The port's gate must be closed, and nobody else may build its rules meanwhile.
        """
        listed = self._listed_tables_of_nft()
        if listed is not None and (commands := clearing(listed, port)):
            run(["nft", "-f", "-"], stdin="\n".join(commands) + "\n", within=self._within)

    def _saved(self, program: str) -> str:
        return run([program], within=self._within).stdout

    def gated(self) -> frozenset[str]:
        """Ports that the gate holds closed, read back from the kernel."""
        listed = run(["nft", "-j", "list", "table", "bridge", TABLE], check=False, within=self._within)
        if not listed.ok:
            return frozenset()
        objects = json.loads(listed.stdout)["nftables"]
        sets = (item["set"] for item in objects if "set" in item)
        return frozenset(port for found in sets if found["name"] == _SET for port in found.get("elem", ()))

    def close_gate(self, port: str) -> None:
        """Drop every frame from a port, from now until `open_gate`; read back before it returns."""
        run(["nft", "-f", "-"], stdin=_GATE.replace("PORT", port), within=self._within)
        if port not in self.gated():
            raise HostError(f"the gate of port {port} did not close; its filter was not touched")

    def open_gate(self, port: str) -> None:
        """Let frames of a port reach libvirt's rules again; the table goes with its last port."""
        closed = self.gated()
        if port not in closed:
            return
        if closed == {port}:
            command = f"delete table bridge {TABLE}"
        else:
            command = f'delete element bridge {TABLE} {_SET} {{ "{port}" }}'
        run(["nft", "-f", "-"], stdin=command + "\n", within=self._within)


def _has_ports(ruleset: Ruleset) -> bool:
    """Whether a rule of frames sends what enters at a port into chains of libvirt's."""
    hook = ruleset.chain("PREROUTING")
    targets = (rule.target for rule in hook.rules) if hook else ()
    return any(target.startswith("libvirt-I-") or target.endswith("-out") for target in targets)
