"""What this host lacks: for itself, for its repository, and for what its configuration asks for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec

from reconciler.errors import ReconcilerError
from reconciler.host.health import host_findings
from reconciler.host.processes import SEARCH_PATH
from reconciler.model.health import Finding, Health
from reconciler.settings import Settings
from reconciler.stories.following import following


def findings(settings: Settings) -> tuple[Finding, ...]:
    return (*host_findings(settings.uri, settings.var), *_source(settings), *_extras(settings))


def _source(settings: Settings) -> Iterator[Finding]:
    if settings.repository is None:
        if settings.site is None:
            hint = "name `repo` or `site` in /etc/reconciler/config.yaml"
            yield Finding("site", Health.FAILED, "no site is named", hint)
        return
    from reconciler.source.following import ask_remote

    try:
        wanted = following(settings)
        newest = ask_remote(wanted, settings.var / "mirror")
        yield Finding("repository", Health.OK, f"{wanted.called} of {settings.repository} is at {newest[:12]}")
    except ReconcilerError as error:
        yield Finding("repository", Health.FAILED, error.message, error.hint)
    if settings.git.signature == "none":
        hint = "signature: commit, and signers or a keyring, in the configuration"
        yield Finding("signature", Health.WARNING, "any commit of the repository is applied, signed or not", hint)
    for needed, program in ((settings.git.signers, "ssh-keygen"), (settings.git.keyring, "gpg")):
        if needed is not None and shutil.which(program, path=SEARCH_PATH) is None:
            yield Finding("signature", Health.FAILED, f"{program} is not installed: no signature can be verified")


def _extras(settings: Settings) -> Iterator[Finding]:
    for module, wanted, hint in (
        ("scapy", True, "the extra `frames`: without it only the core cases are judged"),
        ("gitlab", "gitlab" in settings.publish.targets, "the extra `gitlab`: reports are posted with it"),
    ):
        if wanted and find_spec(module) is None:
            yield Finding(module, Health.WARNING, f"the Python package {module} is not installed", hint)
