"""`reconciler diff` with nothing to do beside the floor: a bare loop over libvirt that reads and parses the same XML.

Whole processes, in turn, on one private lab; prints medians and their ratio. Run it by `make bench`.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from noop_site import GUESTS, mac, write_site

from reconciler.host.processes import run
from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.labs import lab

ROUNDS = 7
FLOOR = """
import sys, libvirt
from lxml import etree
connection = libvirt.open(sys.argv[1])
for domain in connection.listAllDomains(0):
    etree.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
for name in connection.listNWFilters():
    etree.fromstring(connection.nwfilterLookupByName(name).XMLDesc(0))
"""


def main() -> None:
    with lab() as private, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_site(folder / "site")
        for number in range(1, GUESTS + 1):
            xml = folder / "guest.xml"
            xml.write_text(tiny_domain_xml(f"g{number}", [NicSpec(mac(number))]))
            run(["virsh", "--connect", private.uri, "define", str(xml)])
        command = [sys.executable, "-m", "reconciler", "--connect", private.uri, "--site", str(folder / "site")]
        command += ["--var", str(folder / "var")]
        run([*command, "apply"])
        floor = [sys.executable, "-c", FLOOR, private.uri]
        pairs = [(seconds([*command, "diff"]), seconds(floor)) for _ in range(ROUNDS + 1)][1:]
    ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    print(f"{GUESTS} guests, medians of {ROUNDS} rounds")
    print(f"reconciler diff {ours:.3f} s, bare loop with lxml {bare:.3f} s, ratio {ratio:.2f}")


def seconds(argv: list[str]) -> float:
    started = time.monotonic()
    run(argv)
    return time.monotonic() - started


main()
