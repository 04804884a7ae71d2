"""Looks at which a host was as its site says, and what else they told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from reconciler.model.account import Account
from reconciler.records.kept import read_kept, write_kept


class Agreement(NamedTuple):
    """`facts` are plain values for JSON: what the verb that looked has found beside the agreement itself."""

    account: Account
    host: str
    source: str
    facts: dict[str, Any]


def read_agreement(var: Path, key: str) -> Agreement | None:
    """What was kept under that key, None where that is nothing or cannot be trusted."""
    body = read_kept(_folder(var), key)
    if body is None:
        return None
    programs, filters, digest, host, source, facts = json.loads(body)
    return Agreement(Account(tuple(map(tuple, programs)), tuple(filters), digest), host, source, facts)


def write_agreement(var: Path, key: str, agreement: Agreement) -> None:
    body = json.dumps([*agreement.account, agreement.host, agreement.source, agreement.facts], separators=(",", ":"))
    write_kept(_folder(var), key, body.encode())


def _folder(var: Path) -> Path:
    return var / "agreed"
