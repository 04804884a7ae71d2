"""What libvirt was asked to do, read from its own log: the witness for what a run wrote, and in which order."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reconciler.lab.handle import Lab

# A debug line of libvirt 9.0: `2026-01-31 10:20:30.123+0000: 42: debug : virDomainCreate:7004 : dom=0x5…, (VM: name=…`
ENTRY = re.compile(r"^\d{4}-\d\d-\d\d \S+: \d+: (\w+) : (\w+):\d+ : (.*)", re.MULTILINE)
READING = re.compile(
    r"vir(?:Connect|Domain(?:Snapshot|Checkpoint)?|NWFilter(?:Binding)?)"
    r"(?:List|NumOf|Lookup|Get|Is|Has|Ref|Free|Interface|MemoryStats|Block(?:Stats|Info|Peek)|ListGet).*"
)


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One public call of libvirt, those included that its own drivers make. `arguments` may have several lines."""

    name: str
    arguments: str

    @property
    def writes(self) -> bool:
        """Whether it may have changed something."""
        return not READING.fullmatch(self.name)


def mark(lab: Lab) -> int:
    """Where the log ends now, to be given to `calls`."""
    return lab.log_path.stat().st_size


def calls(lab: Lab, after: int = 0) -> tuple[ApiCall, ...]:
    """The calls on guests, filters and bindings in the order in which they came in, from a `mark` on."""
    with lab.log_path.open("rb") as log:
        log.seek(after)
        text = log.read().decode(errors="replace")
    return tuple(_entries(text))


def writes(lab: Lab, after: int = 0) -> tuple[ApiCall, ...]:
    """The calls that may have changed something."""
    return tuple(call for call in calls(lab, after) if call.writes)


def _entries(text: str) -> list[ApiCall]:
    found = list(ENTRY.finditer(text))
    ends = [entry.start() for entry in found[1:]] + [len(text)]
    return [
        ApiCall(entry[2], text[entry.start(3) : end].strip())
        for entry, end in zip(found, ends, strict=True)
        if entry[1] == "debug" and entry[2].startswith("vir")
    ]
