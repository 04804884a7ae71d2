"""A private lab that is as its site says, with as many guests as a row wants."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import libvirt

from bench.measure import process, say
from bench.sites import mac, write_site
from reconciler.host.processes import run
from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.handle import Lab
from reconciler.lab.labs import lab
from reconciler.load import load
from reconciler.model.guest import guard_name
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.guard import mark_uuid
from reconciler.nwfilter.wanted import wanted_filters
from reconciler.source.folder import read_folder

# A lab's libvirtd logs every call of domains and filters, which nobody's own does.
EVERY_CALL, QUIET = "1:libvirt.nwfilter 1:libvirt.domain 3:*", "3:*"
REFERENCE = "<filterref filter='{guard}'><parameter name='CTRL_IP_LEARNING' value='none'/></filterref>"
NAME = "kvm01"


@dataclass(frozen=True, slots=True)
class Host:
    """A lab, and under `folder` its site and the reconciler's state folder."""

    lab: Lab
    folder: Path

    @property
    def site(self) -> Path:
        return self.folder / "site"

    @property
    def var(self) -> Path:
        return self.folder / "var"

    def words(self, *verb: str) -> list[str]:
        """The command line of the reconciler without the Python that runs it."""
        where = ["--connect", self.lab.uri, "--site", str(self.site), "--var", str(self.var), "--host", NAME]
        return [*where, *verb]

    def ours(self, *verb: str) -> list[str]:
        return [sys.executable, "-m", "reconciler", *self.words(*verb)]

    def virsh(self, *words: str, stdin: str | None = None) -> str:
        return run(["virsh", "--quiet", "--connect", self.lab.uri, *words], stdin=stdin, timeout=600).stdout

    def port(self, guest: str) -> str:
        return self.virsh("domiflist", guest).split()[0]


@contextmanager
def host(guests: int, running: int = 0) -> Iterator[Host]:
    """A lab with so many defined guests, the first of them running, in which `diff` finds nothing."""
    with lab() as private, tempfile.TemporaryDirectory() as temporary:
        be_quiet(private)
        made = Host(private, Path(temporary))
        say(f"a lab with {guests} guests, {running} of them running")
        write_site(made.site, guests)
        _define(made, guests)
        for number in range(1, running + 1):
            made.virsh("start", f"g{number}")
        process(made.ours("apply", "--yes"))
        process(made.ours("diff"))
        yield made


def be_quiet(private: Lab) -> None:
    settings = private.folder / "etc/libvirtd.conf"
    settings.write_text(settings.read_text().replace(EVERY_CALL, QUIET))
    private.restart_daemon()


def _define(made: Host, guests: int) -> None:
    """As an apply would, but without a journal and a look at each; what this leaves is for an apply."""
    connection = libvirt.open(made.lab.uri)
    desired = load(read_folder(made.site), str(made.site))
    for definition in wanted_filters(desired, NAME):
        connection.nwfilterDefineXML(format_filter(definition, mark_uuid(definition.name)))
    for number in range(1, guests + 1):
        reference = REFERENCE.format(guard=guard_name(f"g{number}", mac(number)))
        connection.defineXML(tiny_domain_xml(f"g{number}", [NicSpec(mac(number), filterref_xml=reference)]))
    connection.close()
