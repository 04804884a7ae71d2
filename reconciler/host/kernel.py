"""The kernel's rules as the daemon's network namespace has them, and the gate that closes a port.

libvirt's rules are those of ebtables and iptables, or of nft: which, is found out at each reading.
The gate is one nftables set of port names in a table of our own; a frame from a port in it is dropped before
libvirt's rules see it. nft(8) applies each change as one transaction, so a port is never half closed.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from reconciler.errors import HostError
from reconciler.host.backend import backend_of_rules
from reconciler.host.processes import Namespaces, run
from reconciler.host.rule_programs import Command, ask_program
from reconciler.model.kernel import Backend, Family, ForeignRule, KernelChain, KernelRules, Ruleset
from reconciler.model.supplement import Supplement
from reconciler.nwfilter.ebtables import parse_ebtables
from reconciler.nwfilter.iptables import parse_iptables
from reconciler.nwfilter.leftovers import jumps_to, leftover_chains
from reconciler.nwfilter.nft_leftovers import clearing, deletions
from reconciler.nwfilter.nftables import has_tables, parse_nftables
from reconciler.nwfilter.sleeping import Table, as_met, sleeping_tables, waking
from reconciler.nwfilter.supplement import TABLE, changes, commands
from reconciler.nwfilter.supplement_read import CLOSED, GATE, closed_ports, parse_supplement

# Before libvirt's rules: ebtables' nat PREROUTING is at -300.
_GATE = f"""
add table bridge {TABLE}
add set bridge {TABLE} {CLOSED} {{ type ifname; }}
add chain bridge {TABLE} {GATE} {{ type filter hook prerouting priority -350; policy accept; }}
flush chain bridge {TABLE} {GATE}
add rule bridge {TABLE} {GATE} iifname @{CLOSED} drop
add element bridge {TABLE} {CLOSED} {{ PORTS }}
"""


_PROGRAMS = {Family.ETHERNET: ("ebtables", "-t", "nat"), Family.IPV4: ("iptables",), Family.IPV6: ("ip6tables",)}
_BRIDGE_CALLS = {Family.IPV4: "bridge-nf-call-iptables", Family.IPV6: "bridge-nf-call-ip6tables"}
_LINKS = {"FORWARD": ("libvirt-in", "libvirt-out", "libvirt-in-post"), "INPUT": ("libvirt-host-in",)}


class Kernel:
    """Reads and gates in one network namespace; `within` None means our own. `said` is what libvirt's settings say.

    What programs answer is noted in `noted`, for whoever wants to compare it later.
    """

    def __init__(
        self, within: Namespaces | None, said: Backend | None = None, noted: dict[Command, str | None] | None = None
    ) -> None:
        self._within = within
        self._said = said
        self._noted = {} if noted is None else noted
        self._sleeping: frozenset[Table] = frozenset()

    def rules(self, packets: bool) -> KernelRules:
        """The ethernet-level rules, and with `packets` those of iptables and ip6tables too; of nft always both."""
        rules = self.ethernet_rules()
        return self.with_packets(rules) if packets else rules

    def with_packets(self, rules: KernelRules) -> KernelRules:
        """The same with what iptables and ip6tables hold; nft's are whole already."""
        if rules.ethernet.family is not Family.ETHERNET:
            return rules
        ipv4, ipv6 = self._ruleset(Family.IPV4), self._ruleset(Family.IPV6)
        return replace(rules, ipv4=ipv4, ipv6=ipv6, unheeded=self.unheeded())

    def ethernet_rules(self) -> KernelRules:
        """What ebtables holds; of nft all that there is."""
        of_nft = self._rules_of_nft()
        ports_of_nft = of_nft is not None and _has_ports(of_nft.ethernet)
        if of_nft is not None and ports_of_nft and self._said is Backend.NFTABLES:
            return of_nft
        ethernet = self._ruleset(Family.ETHERNET)
        backend = backend_of_rules(self._said, ports_of_nft=ports_of_nft, ports_of_ebtables=_has_ports(ethernet))
        if backend is Backend.NFTABLES:
            return of_nft or KernelRules(Ruleset(family=Family.NFT_ETHERNET), inet=Ruleset(family=Family.NFT_INET))
        return KernelRules(ethernet)

    def unheeded(self) -> frozenset[Family]:
        """Families whose rules no bridged packet meets: br_netfilter is not loaded, or switched off for them."""
        return frozenset(family for family, name in _BRIDGE_CALLS.items() if not self._is_called(name))

    def _is_called(self, name: str) -> bool:
        told = self._ask("cat", f"/proc/sys/net/bridge/{name}", must=False)
        return told is not None and told.strip() != "0"

    def remove_rules(self, rules: Iterable[ForeignRule]) -> None:
        """Delete rules by their text; one that is gone already is no error."""
        rules = tuple(rules)
        if of_nft := tuple(rule for rule in rules if rule.family.of_nft):
            self._change_nft(lambda listed: deletions(listed, of_nft))
        for rule in (rule for rule in rules if not rule.family.of_nft):
            words = shlex.split(rule.text)[1:]
            run([*_PROGRAMS[rule.family], "-D", *words], check=False, within=self._within)

    def raise_links(self, families: Iterable[Family]) -> None:
        """Each family in one transaction: no packet misses a jump."""
        for family in families:
            present = {chain.name: chain for chain in self._ruleset(family).chains}
            lines = [
                line
                for hook, links in _LINKS.items()
                for place, link in enumerate(links, 1)
                for line in _raised(present.get(hook), link, place)
            ]
            text = "\n".join(("*filter", *lines, "COMMIT", ""))
            run([f"{_PROGRAMS[family][0]}-restore", "--noflush"], stdin=text, within=self._within)

    def sweep_port(self, port: str) -> None:
        """Jumps first, then the chains empty, then the chains."""
        self._change_nft(lambda listed: clearing(listed, port, whole=True))
        for family in _PROGRAMS:
            ruleset = self._ruleset(family)
            chains = leftover_chains(ruleset, port)
            jumps = (shlex.split(text)[1:] for text in jumps_to(ruleset, chains))
            commands = [["-D", *jump] for jump in jumps]
            commands += [[option, chain] for option in ("-F", "-X") for chain in chains]
            for command in commands:
                run([*_PROGRAMS[family], *command], within=self._within)

    def _ruleset(self, family: Family) -> Ruleset:
        if family is Family.ETHERNET:
            return as_met(parse_ebtables(self._print("ebtables-save")), self._sleeping)
        return as_met(parse_iptables(self._print(f"{_PROGRAMS[family][0]}-save"), family), self._sleeping)

    def _listed_tables_of_nft(self) -> str | None:
        """The rules of bridges where libvirt has both its tables of nft. To look for tables is cheaper than to list."""
        tables = self._print("nft", "-j", "list", "tables")
        self._sleeping = sleeping_tables(tables)
        if not has_tables(tables):
            return None
        return self._print("nft", "-j", "list", "ruleset", "bridge")

    def _rules_of_nft(self) -> KernelRules | None:
        listed = self._listed_tables_of_nft()
        if listed is None:
            return None
        try:
            ethernet, inet = parse_nftables(listed)
        except (ValueError, KeyError) as error:
            message = f"what nft lists of libvirt's rules is not understood: {error!r}; nothing was done"
            raise HostError(message) from error
        return KernelRules(as_met(ethernet, self._sleeping), inet=as_met(inet, self._sleeping))

    def sweep(self, port: str) -> None:
        """Remove what a failed build of a port's rules left of nft: libvirt would build the next ones into it.

        The port's gate must be closed, and nobody else may build its rules meanwhile.
        """
        self._change_nft(lambda listed: clearing(listed, port))

    def _change_nft(self, commands_for: Callable[[str], tuple[str, ...]]) -> None:
        """Run what is wanted for the tables as they are now, in one transaction; those that sleep are woken before."""
        listed = self._listed_tables_of_nft()
        if awake := waking(self._sleeping):
            run(["nft", "-f", "-"], stdin=awake, within=self._within)
        if listed is not None and (commands := commands_for(listed)):
            run(["nft", "-f", "-"], stdin="\n".join(commands) + "\n", within=self._within)

    def _print(self, *command: str) -> str:
        return self._ask(*command) or ""

    def _ask(self, *command: str, must: bool = True) -> str | None:
        answer = self._noted[command] = ask_program(command, self._within, must=must)
        return answer

    def gated(self) -> frozenset[str]:
        """Ports that the gate holds closed, read back from the kernel."""
        return self.own_table()[0]

    def own_table(self) -> tuple[frozenset[str], Supplement | None]:
        """The ports that the gate holds closed, and the supplement, by one reading."""
        tables = self._print("nft", "-j", "list", "tables", "bridge")
        if TABLE not in {item["table"]["name"] for item in json.loads(tables)["nftables"] if "table" in item}:
            return frozenset(), None
        listed = self._print("nft", "-j", "list", "table", "bridge", TABLE)
        try:
            asleep = ("bridge", TABLE) in sleeping_tables(tables)
            return closed_ports(listed), None if asleep else parse_supplement(listed)
        except (ValueError, KeyError, TypeError) as error:
            message = f"what nft lists of our own table is not understood: {error!r}; nothing was done"
            raise HostError(message) from error

    def set_supplement(self, wanted: Supplement | None, *, keep_rules: bool = False) -> None:
        """Make it what is wanted, or take it away; with `keep_rules` its rules stay as somebody else made them.

        One transaction: every frame meets the table as it was or as it will be, the gate in both. What stays is not
        touched: a frame that is looked up while a set is replaced would be found in neither.
        """
        closed, found = self.own_table()
        if found and wanted and (keep_rules or (found.rules == wanted.rules and not found.others)):
            text = "\n".join((*changes(found.elements, wanted.elements), ""))
        else:
            text = f"add table bridge {TABLE}\ndelete table bridge {TABLE}\n"
            if wanted is not None:
                text += "\n".join((f"add table bridge {TABLE}", *commands(wanted), ""))
            if closed:
                text += _gate(closed)
        run(["nft", "-f", "-"], stdin=text, within=self._within)

    def close_gate(self, port: str) -> None:
        """Drop every frame from a port, from now until `open_gate`; read back before it returns."""
        run(["nft", "-f", "-"], stdin=_gate({port}), within=self._within)
        if port not in self.gated():
            raise HostError(f"the gate of port {port} did not close; its filter was not touched")

    def open_gate(self, port: str) -> None:
        """Let frames of a port reach libvirt's rules again; it goes with its last port, and the table with it."""
        closed, supplement = self.own_table()
        if port not in closed:
            return
        if closed != {port}:
            command = f'delete element bridge {TABLE} {CLOSED} {{ "{port}" }}'
        elif supplement is None:
            command = f"delete table bridge {TABLE}"
        else:
            gate, ports = f"chain bridge {TABLE} {GATE}", f"set bridge {TABLE} {CLOSED}"
            command = f"flush {gate}\ndelete {gate}\ndelete {ports}"
        run(["nft", "-f", "-"], stdin=command + "\n", within=self._within)


def _gate(ports: Iterable[str]) -> str:
    return _GATE.replace("PORTS", ", ".join(f'"{port}"' for port in sorted(ports)))


def _raised(hook: KernelChain | None, link: str, place: int) -> Iterator[str]:
    """Commands that put a jump at a place of a hook; nothing for one that libvirt has not made."""
    copies = sum(rule.target == link for rule in hook.rules) if hook else 0
    if hook and copies:
        yield from (f"-D {hook.name} -j {link}" for _ in range(copies))
        yield f"-I {hook.name} {place} -j {link}"


def _has_ports(ruleset: Ruleset) -> bool:
    """Whether a rule of frames sends what enters at a port into chains of libvirt's."""
    hook = ruleset.chain("PREROUTING")
    targets = (rule.target for rule in hook.rules) if hook else ()
    return any(target.startswith("libvirt-I-") or target.endswith("-out") for target in targets)
