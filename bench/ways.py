"""What people use today to read what a host has: virsh, and loops over libvirt's binding."""

from __future__ import annotations

import shutil
import sys

from bench.hosts import Host
from bench.measure import Sample, Way, beside_daemon, process

OURS, ANEW, FIRST = "reconciler diff", "reconciler diff, host looked at anew", "reconciler diff, first of a site"
FLOOR, BARE = "bare loop with lxml", "bare loop"
THREADS = "bare loop of four threads"
FED, EACH = "one virsh fed on stdin", "virsh for each object"
START = "Python that imports the binding"
LOOP = """
import sys, libvirt
{imports}
connection = libvirt.open(sys.argv[1])
for domain in connection.listAllDomains(0):
    {parse}(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
for name in connection.listNWFilters():
    {parse}(connection.nwfilterLookupByName(name).XMLDesc(0))
"""
WITHOUT_LXML = LOOP.format(imports="", parse="str")
WITH_LXML = LOOP.format(imports="from lxml import etree", parse="etree.fromstring")
# libvirt's binding lets other threads run while it waits, and one connection takes calls of several threads.
OF_FOUR = """
import sys, libvirt
from concurrent.futures import ThreadPoolExecutor
connection = libvirt.open(sys.argv[1])
def guest(domain):
    return domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
def nwfilter(name):
    return connection.nwfilterLookupByName(name).XMLDesc(0)
with ThreadPoolExecutor(4) as threads:
    list(threads.map(guest, connection.listAllDomains(0)))
    list(threads.map(nwfilter, connection.listNWFilters()))
"""
LISTS = """
guests() { virsh --quiet --connect "$0" list --all --name | sed '/^$/d'; }
filters() { virsh --quiet --connect "$0" nwfilter-list | awk '{print $2}'; }
"""
ONE_EACH = (
    LISTS
    + """
for each in $(guests); do virsh --quiet --connect "$0" dumpxml --inactive "$each"; done
for each in $(filters); do virsh --quiet --connect "$0" nwfilter-dumpxml "$each"; done
"""
)
ON_STDIN = (
    LISTS
    + """
{ guests | sed 's/^/dumpxml --inactive /'; filters | sed 's/^/nwfilter-dumpxml /'; } | virsh --quiet --connect "$0"
"""
)


def our_diff(host: Host) -> Way:
    return _beside(host, host.ours("diff"))


def diff_anew(host: Host) -> Way:
    """Without what an earlier run has agreed on: every answer of the host is understood again."""
    return _without(host, "agreed")


def first_diff(host: Host) -> Way:
    """Without anything that an earlier run has kept."""
    return _without(host, "agreed", "loaded", "guests")


def _without(host: Host, *kept: str) -> Way:
    def first() -> Sample:
        for folder in kept:
            shutil.rmtree(host.var / folder, ignore_errors=True)
        return process(host.ours("diff"))

    return beside_daemon(host.lab.daemon_pid, first)


def loop(host: Host, program: str) -> Way:
    return _beside(host, [sys.executable, "-c", program, host.lab.uri])


def start() -> Way:
    """What any program in Python that talks to libvirt takes before it does anything."""
    return lambda: process([sys.executable, "-c", "import libvirt"])


def shell(host: Host, script: str) -> Way:
    return _beside(host, ["bash", "-euo", "pipefail", "-c", script, host.lab.uri])


def _beside(host: Host, argv: list[str]) -> Way:
    return beside_daemon(host.lab.daemon_pid, lambda: process(argv))
