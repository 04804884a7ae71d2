"""Ask a host again what it was asked before, and only compare the answers: nothing is parsed, and little imported.

Guests and filters are read by several threads at once, which a daemon answers at once. It is no danger to what others
do: nothing is listed that the daemon locks as a whole, and nothing is written.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from reconciler.host.address import DaemonAddress, daemon_pid, namespaces_of, network_devices, parse_uri, proc_of
from reconciler.host.answers import Answers
from reconciler.host.daemon_settings import read_settings
from reconciler.host.deadline import ANSWER_SECONDS, PROGRAMS_SECONDS, Worker, begin_all, end_all
from reconciler.host.filter_folder import definition_names, filter_folder
from reconciler.host.processes import Namespaces
from reconciler.host.rule_programs import Command, ask_program
from reconciler.model.account import Account

if TYPE_CHECKING:
    from reconciler.host.session import Session


def is_as_before(uri: str, before: Account) -> bool:
    """Whether the host answers what it answered then. What libvirt refuses to tell is another answer.

    Raises `HostUnreachable` and `HostTimeout` as any look at a host does.
    """
    address = parse_uri(uri)
    pid = daemon_pid(address)
    answers = Answers(read_settings(proc_of(pid) / "root"))
    with closing(Worker()) as beside:
        asked = beside.begin("read the kernel's rules", partial(_ask_programs, before, namespaces_of(pid, address)))
        told = _read(address, before, answers)
        answers.programs = beside.end(asked, PROGRAMS_SECONDS)
        answers.devices = network_devices(pid)
    return told and answers.account() == before


def _ask_programs(before: Account, within: Namespaces | None) -> dict[Command, str | None]:
    return {command: ask_program(command, within, must=False) for command in before.programs}


def _read(address: DaemonAddress, before: Account, answers: Answers) -> bool:
    """What libvirt tells; False where it refuses. Imported late: the programs run meanwhile."""
    import libvirt

    from reconciler.host.session import open_session

    with closing(open_session(address)) as session:
        try:
            _ask_libvirt(session, before, answers)
        except libvirt.libvirtError:
            return False
    return True


def _ask_libvirt(session: Session, before: Account, answers: Answers) -> None:
    from reconciler.host.reading import list_guests, read_bindings, read_filters, read_guests

    connection, folder = session.connection, filter_folder(proc_of(session.pid) / "root")
    first, *others = session.workers
    listed = first.begin("list the guests", partial(list_guests, connection))
    bindings = first.begin("read the bindings", partial(read_bindings, connection))
    read = partial(read_filters, connection, folder)
    filters = begin_all(others, before.filters, "filters", read)
    found = first.end(listed, ANSWER_SECONDS)
    guests = begin_all(session.workers, found, "guests", read_guests)
    answers.files = definition_names(folder)
    answers.bindings = first.end(bindings, ANSWER_SECONDS)
    for texts in end_all(guests):
        answers.note_guest(texts)
    for text in end_all(filters):
        answers.note_filter(text)
