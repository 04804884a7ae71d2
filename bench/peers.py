"""A run with nothing to do beside the tools that people manage guests with, all on one lab.

Ansible and Salt declare every guest, and find it as declared. Neither knows nwfilters, so their second form asks virsh
for each filter of the site; what the rules in the kernel are, no form of them can see.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import ways
from bench.environments import NotInstalled, environment, version
from bench.hosts import Host, host
from bench.measure import Way, beside_daemon, interleaved, process
from bench.results import Options, Row, Target, table
from bench.sites import mac

GUESTS, ROUNDS = 100, 3
ALONE, WITH_FILTERS = "the guests alone", "guests and filters"
ANSIBLE, SALT = "Ansible", "Salt"
PEERS = {ANSIBLE: ("ansible", "ansible", 250.0), SALT: ("salt", "salt", 25.0)}
PLAY = """\
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - community.libvirt.virt: {{command: define, uri: "{uri}", xml: "{{{{ lookup('ansible.builtin.file', item) }}}}"}}
      loop: "{{{{ query('ansible.builtin.fileglob', '{folder}/guests/*.xml') }}}}"
"""
PLAY_FILTERS = """\
    - ansible.builtin.command: virsh --quiet --connect "{uri}" nwfilter-dumpxml {{{{ item }}}}
      changed_when: false
      loop: [{filters}]
"""
STATE = """\
{name}:
  virt.defined:
    - cpu: 1
    - mem: 64
    - interfaces:
      - {{name: eth0, type: bridge, source: br0, mac: "{mac}", model: virtio}}
"""
STATE_FILTER = """\
{name}:
  cmd.run:
    - name: virsh --quiet --connect "{uri}" nwfilter-dumpxml {name}
"""
MINION = """\
id: bench
file_client: local
root_dir: {folder}/root
cachedir: {folder}/root/cache
pki_dir: {folder}/root/pki
log_file: {folder}/root/log
file_roots: {{base: ["{folder}/states"]}}
virt: {{connection: {{uri: "{uri}"}}}}
enable_fqdns_grains: false
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """Its two forms, or why there are none."""

    forms: Mapping[str, Way]
    missing: str = ""


def measure(options: Options) -> Row:
    guests, rounds = options.guests[0] if options.guests else GUESTS, options.rounds or ROUNDS
    with host(guests) as made:
        found = {name: peer(name, made, guests) for name in PEERS} if options.peers else {}
        forms = {
            f"{name} {version(PEERS[name][0], PEERS[name][1])}, {form}": way
            for name, each in found.items()
            for form, way in each.forms.items()
        }
        samples = interleaved({**own_ways(made), **forms}, rounds)
    measured = table(f"Nothing to do, {guests:,} defined guests, beside other tools", samples, rounds)
    targets = [Target(times("virsh for each object", guests), 1 / measured.way(ways.EACH).ratio, 20, at_least=True)]
    for name in (each for each in forms if each.endswith(WITH_FILTERS)):
        limit = next(limit for known, (_, _, limit) in PEERS.items() if name.startswith(known))
        targets.append(Target(times(name, guests), 1 / measured.way(name).ratio, limit, at_least=True))
    return Row("peers", (measured,), tuple(targets), tuple(each.missing for each in found.values() if each.missing))


def times(name: str, guests: int) -> str:
    return f"times that {name} takes as long, {guests:,} guests"


def own_ways(made: Host) -> dict[str, Way]:
    return {
        ways.OURS: ways.our_diff(made),
        ways.FLOOR: ways.loop(made, ways.WITH_LXML),
        ways.FED: ways.shell(made, ways.ON_STDIN),
        ways.EACH: ways.shell(made, ways.ONE_EACH),
    }


def peer(name: str, made: Host, guests: int) -> Peer:
    try:
        programs = environment(PEERS[name][0])
    except NotInstalled as reason:
        return Peer({}, f"{reason}.")
    forms = ansible(made, programs, guests) if name == ANSIBLE else salt(made, programs, guests)
    return Peer({form: beside_daemon(made.lab.daemon_pid, way) for form, way in forms.items()})


def ansible(made: Host, programs: Path, guests: int) -> dict[str, Way]:
    folder = made.folder / "ansible"
    (folder / "guests").mkdir(parents=True)
    for number in range(1, guests + 1):
        (folder / f"guests/g{number}.xml").write_text(made.virsh("dumpxml", "--inactive", f"g{number}"))
    filters = ", ".join(sorted(path.stem for path in made.site.glob("filters/*.xml")))
    play = PLAY.format(uri=made.lab.uri, folder=folder)
    plays = {ALONE: play, WITH_FILTERS: play + PLAY_FILTERS.format(uri=made.lab.uri, filters=filters)}
    environ = {"ANSIBLE_HOME": str(folder / "home"), "PATH": f"{programs}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    words = [f"{programs}/ansible-playbook", "-i", "localhost,", "-e", f"ansible_python_interpreter={programs}/python"]
    forms: dict[str, Way] = {}
    for number, (form, text) in enumerate(plays.items()):
        place = folder / f"play{number}.yml"
        place.write_text(text)
        forms[form] = lambda place=place: process([*words, str(place)], env=environ)  # type: ignore[misc]
    return forms


def salt(made: Host, programs: Path, guests: int) -> dict[str, Way]:
    folder = made.folder / "salt"
    (folder / "etc").mkdir(parents=True)
    (folder / "states").mkdir()
    (folder / "etc/minion").write_text(MINION.format(uri=made.lab.uri, folder=folder))
    states = "".join(STATE.format(name=f"g{number}", mac=mac(number)) for number in range(1, guests + 1))
    filters = (path.stem for path in sorted(made.site.glob("filters/*.xml")))
    asked = "".join(STATE_FILTER.format(uri=made.lab.uri, name=name) for name in filters)
    (folder / "states/alone.sls").write_text(states)
    (folder / "states/both.sls").write_text(states + asked)
    words = [
        f"{programs}/salt-call",
        "--local",
        "--config-dir",
        f"{folder}/etc",
        "--retcode-passthrough",
        "state.apply",
    ]
    return {
        ALONE: lambda: process([*words, "alone"]),
        WITH_FILTERS: lambda: process([*words, "both"]),
    }
