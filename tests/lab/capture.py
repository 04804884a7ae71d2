"""Capture the rules that other releases of libvirt make: `make capture` writes tests/samples/captured anew."""

from __future__ import annotations

import json
import shutil
import sys
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import libvirt
from interfaces import MAC, shared_filters
from samples.captures import FOLDER, NOT_TRACKED, OWN_FILTERS, PORTS, PROGRAMS, SYSTEMS

from reconciler.domain.binding import binding_xml
from reconciler.host import processes
from reconciler.host.address import namespaces_of, parse_uri
from reconciler.lab import labs
from reconciler.lab.handle import Lab
from reconciler.lab.ports import add_port
from reconciler.model.kernel import Backend
from reconciler.model.live import Binding
from reconciler.nwfilter.format import format_filter
from reconciler.nwfilter.parse import parse_filter


def main() -> None:
    for release, backend in SYSTEMS:
        with labs.lab(release=release, backend=backend) as lab:
            folder = FOLDER / f"{release}-{backend}"
            shutil.rmtree(folder, ignore_errors=True)
            (folder / "filters").mkdir(parents=True)
            _capture(lab, folder, backend)
            print(f"{folder}: {json.loads((folder / 'host.json').read_text())['programs']}")


def _capture(lab: Lab, folder: Path, backend: Backend) -> None:
    connection = libvirt.open(lab.uri)
    for definition in shared_filters().values():
        connection.nwfilterDefineXML(format_filter(definition))
    for text in OWN_FILTERS:
        connection.nwfilterDefineXML(text)
    ports = [port for port in PORTS if _bind(lab, connection, port)]
    for name in sorted({name for port in ports for name in _closure(connection, PORTS[port].filter)}):
        definition = parse_filter(connection.nwfilterLookupByName(name).XMLDesc())
        (folder / "filters" / f"{name}.xml").write_text(format_filter(definition))
    for file, argv in PROGRAMS[backend].items():
        (folder / file).write_text(_readable(_said(lab, *argv)))
    host = {"programs": _releases(lab, connection), "ports": {port: _described(port) for port in ports}}
    (folder / "host.json").write_text(json.dumps(host, indent=1) + "\n")
    connection.close()


def _bind(lab: Lab, connection: libvirt.virConnect, port: str) -> bool:
    add_port(lab, port)
    try:
        connection.nwfilterBindingCreateXML(binding_xml(Binding(port, "guest", MAC, PORTS[port]), str(uuid.uuid4())))
    except libvirt.libvirtError:
        if port != NOT_TRACKED:
            raise
        return False
    return True


def _closure(connection: libvirt.virConnect, name: str) -> set[str]:
    references = parse_filter(connection.nwfilterLookupByName(name).XMLDesc()).references
    return {name}.union(*(_closure(connection, each) for each in references))


def _described(port: str) -> dict[str, object]:
    return {"filter": PORTS[port].filter, "parameters": PORTS[port].parameters}


def _said(lab: Lab, *argv: str) -> str:
    pid = lab.daemon_pid
    assert pid
    return processes.run(argv, within=namespaces_of(pid, parse_uri(lab.uri))).stdout


def _releases(lab: Lab, connection: libvirt.virConnect) -> dict[str, str]:
    number = connection.getLibVersion()
    libvirt_release = f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"
    found = {"libvirt": libvirt_release}
    return found | {program: _said(lab, program, "--version").split()[1] for program in ("nft", "iptables")}


def _readable(text: str) -> str:
    """A listing of nft as one object a line; the programs' dates are no rules."""
    if not text.startswith("{"):
        return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    objects = (json.dumps(each) for each in json.loads(text)["nftables"])
    return '{"nftables": [\n' + ",\n".join(objects) + "\n]}\n"


if __name__ == "__main__":
    main()
