"""The programs that print the kernel's rules: what they say, told apart from what it means."""

from __future__ import annotations

from reconciler.host.processes import Namespaces, run
from reconciler.host.steady import steady_json, steady_rules

Command = tuple[str, ...]


def ask_program(command: Command, within: Namespaces | None, *, must: bool = True) -> str | None:
    """What it prints, without what changes by itself; None where it fails, which with `must` is a `HostError`."""
    ended = run(command, check=must, within=within)
    steady = steady_json if command[0] == "nft" else steady_rules
    return steady(ended.stdout) if ended.ok else None
