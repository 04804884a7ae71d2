"""The verbs of a host that runs by itself: what the timer starts, and what goes with it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Protocol

from reconciler.verbs import doctor, hook, install, run, suspend
from reconciler.verbs.common import Arguments


class AddVerb(Protocol):
    """How the command takes a verb."""

    def __call__(self, name: str, run: Callable[[Arguments], int], help_text: str) -> argparse.ArgumentParser: ...


def register(add: AddVerb) -> None:
    run.add_run_options(add("run", run.run, "what the timer starts: fetch, apply, verify, and an answer in any case"))
    add("report", run.report, "what differs on this host, told to those who read reports; nothing is changed")
    install.add_prefix(add("install", install.install, "write this host's units, configuration and state folder"))
    install.add_prefix(add("uninstall", install.uninstall, "stop and remove the units; configuration and state stay"))
    add("doctor", doctor.run, "what this host lacks: programs, rights, kernel settings, its repository")
    suspend.add_suspend_options(
        add("suspend", suspend.suspend, "leave the host, a guest or a filter alone for a while")
    )
    suspend.add_resume_options(add("resume", suspend.resume, "end that, for some or for all"))
    hook.add_options(add("hook", hook.run, "what git's hooks call: look at what is staged or pushed, wake hosts"))
    install.add_socket(add("wake", install.wake, "start a run now, as the timer would"))
