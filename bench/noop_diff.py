"""`reconciler diff` with nothing to do beside what people use today, and beside the floor.

The floor is a bare loop over libvirt, without and with parsing the XML that it gives. Whole processes, in turn, on one
private lab; prints medians and ratios. Run it by `make bench`, with `--json` for JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from noop_site import GUESTS, mac, write_site

from reconciler.host.processes import run
from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.labs import lab

ROUNDS = 7
OURS, FIRST, FLOOR = "reconciler diff", "reconciler diff, first of a site", "bare loop with lxml"
BARE = """
import sys, libvirt
{imports}
connection = libvirt.open(sys.argv[1])
for domain in connection.listAllDomains(0):
    {parse}(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
for name in connection.listNWFilters():
    {parse}(connection.nwfilterLookupByName(name).XMLDesc(0))
"""
WITHOUT_LXML = BARE.format(imports="", parse="str")
WITH_LXML = BARE.format(imports="from lxml import etree", parse="etree.fromstring")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often each way is measured ({ROUNDS})")
    parser.add_argument("--guests", type=int, default=GUESTS, help=f"how many guests are defined ({GUESTS})")
    arguments = parser.parse_args()
    with lab() as private, tempfile.TemporaryDirectory() as temporary:
        ways = prepared(private.uri, Path(temporary), arguments.guests)
        found = measured(ways, arguments.rounds) | {"guests": arguments.guests, "rounds": arguments.rounds}
    print(json.dumps(found, indent=2) if arguments.json else table(found))


def prepared(uri: str, folder: Path, guests: int) -> dict[str, Callable[[], None]]:
    """A lab as the site says, and every way to read it."""
    write_site(folder / "site", guests)
    for number in range(1, guests + 1):
        virsh(uri, "define", "/dev/stdin", stdin=tiny_domain_xml(f"g{number}", [NicSpec(mac(number))]))
    ours = [sys.executable, "-m", "reconciler", "--connect", uri, "--site", str(folder / "site")]
    ours += ["--var", str(folder / "var")]
    run([*ours, "apply"], timeout=600)

    def first_of_a_site() -> None:
        run([*ours, "diff"], timeout=600)

    return {
        OURS: lambda: process([*ours, "diff"]),
        FIRST: lambda: without(folder / "var/loaded", first_of_a_site),
        FLOOR: lambda: process([sys.executable, "-c", WITH_LXML, uri]),
        "bare loop": lambda: process([sys.executable, "-c", WITHOUT_LXML, uri]),
        "one virsh fed on stdin": lambda: fed_virsh(uri),
        "virsh for each object": lambda: virsh_for_each(uri),
    }


def process(argv: list[str]) -> None:
    run(argv, timeout=600)


def without(folder: Path, action: Callable[[], None]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    action()


def virsh(uri: str, *words: str, stdin: str | None = None) -> str:
    return run(["virsh", "--quiet", "--connect", uri, *words], stdin=stdin, timeout=600).stdout


def dumps(uri: str) -> list[tuple[str, ...]]:
    guests = virsh(uri, "list", "--all", "--name").split()
    filters = [line.split()[1] for line in virsh(uri, "nwfilter-list").splitlines() if line]
    return [*(("dumpxml", "--inactive", name) for name in guests), *(("nwfilter-dumpxml", name) for name in filters)]


def virsh_for_each(uri: str) -> None:
    for words in dumps(uri):
        virsh(uri, *words)


def fed_virsh(uri: str) -> None:
    lines = "\n".join(" ".join(words) for words in dumps(uri))
    subprocess.run(
        ["virsh", "--quiet", "--connect", uri], input=lines + "\n", text=True, stdout=subprocess.DEVNULL, check=True
    )


def measured(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, Any]:
    """Medians, and how much of each way's time ours takes: the median of the ratios of each round."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for action in ways.values():
        action()
    names = tuple(ways)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            seconds[name].append(took(ways[name]))
    ratios = {
        name: statistics.median(one / other for one, other in zip(seconds[OURS], each, strict=True))
        for name, each in seconds.items()
    }
    return {"seconds": {name: statistics.median(each) for name, each in seconds.items()}, "ours to": ratios}


def took(action: Callable[[], None]) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


def table(found: dict[str, Any]) -> str:
    lines = [f"{found['guests']} defined guests, medians of {found['rounds']} rounds", ""]
    lines += ["| way | seconds | ours is … of it |", "|---|---:|---:|"]
    lines += [f"| {name} | {each:.3f} | {found['ours to'][name]:.2f} |" for name, each in found["seconds"].items()]
    return "\n".join(lines)


main()
