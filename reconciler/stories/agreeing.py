"""A host that was as its site says, and answers today what it answered then: nothing needs to be understood again.

An agreement is of one verb, one site byte for byte, one program and one daemon. It is made when a verb has found
nothing to tell of and nothing to do, and it holds while every answer of the host is the same: of libvirt, of its files,
and of the kernel's rules. What is in doubt is looked at as ever.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reconciler.execute.endings import unended
from reconciler.records.agreements import Agreement, read_agreement, write_agreement
from reconciler.records.keys import key_of, site_key
from reconciler.settings import Settings

if TYPE_CHECKING:
    from reconciler.app import Survey
    from reconciler.source.snapshot import Snapshot


def recall(settings: Settings, verb: str, found: Snapshot | None) -> Agreement | None:
    """What that verb has told when it found nothing to do, where it would find the same now.

    `found` is the site in a folder; None for one whose commit the settings name.
    """
    kept = read_agreement(settings.var, _key(settings, verb, found))
    if kept is None or any(unended(settings.var / "journal")):
        return None
    from reconciler.host.glance import is_as_before

    return kept if is_as_before(settings.uri, kept.account) else None


def remember(settings: Settings, verb: str, found: Snapshot | None, seen: Survey, facts: Mapping[str, Any]) -> None:
    """Keep what was told of a host without any drift."""
    account = seen.live.account
    if account is None or seen.drift or any(unended(settings.var / "journal")):
        return
    if not _is_called(settings, seen.host):
        return
    told = Agreement(account, seen.host, seen.desired.source, dict(facts))
    write_agreement(settings.var, _key(settings, verb, found), told)


def _is_called(settings: Settings, host: str) -> bool:
    """Whether the host's name follows from what the key holds; a full name is asked of others, who may change it."""
    own = socket.gethostname()
    return host in (settings.host, own, own.partition(".")[0])


def _key(settings: Settings, verb: str, found: Snapshot | None) -> str:
    site = site_key(found.files, found.commit, found.odd) if found else f"commit {settings.commit}"
    parts = (verb, settings.uri, settings.host or "", socket.gethostname(), settings.admission, site)
    return key_of(*(part.encode(errors="surrogateescape") for part in parts))
