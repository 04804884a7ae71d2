"""docs/apply.md: what it shows can be written as it stands, and it leaves nothing out."""

from __future__ import annotations

import re
from pathlib import Path

from sites import EXAMPLE

from reconciler.load import load
from reconciler.load.policy_file import PolicyEntry, ShutdownEntry, WindowEntry
from reconciler.model.guest import Power
from reconciler.model.site import Policy
from reconciler.report.text import WAYS
from reconciler.source.folder import read_folder

PAGE = (Path(__file__).parents[2] / "docs/apply.md").read_text(encoding="utf-8")
POLICY, GUEST = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)


def test_every_field_of_the_policy_and_every_way_is_told() -> None:
    fields = [field.alias or name for name, field in PolicyEntry.model_fields.items()]
    assert [name for name in (*fields, *WAYS) if f"`{name}`" not in PAGE] == []
    parts = [
        field.alias or name for entry in (ShutdownEntry, WindowEntry) for name, field in entry.model_fields.items()
    ]
    assert [name for name in parts if f"{name}:" not in POLICY] == []


def test_what_it_shows_is_a_valid_site_and_the_defaults_are_those_that_it_names() -> None:
    files = read_folder(EXAMPLE)
    site = files["site.yaml"].decode().partition("\npolicy:")[0]
    files = {path: content for path, content in files.items() if path.startswith("filters/")}
    loaded = load({**files, "site.yaml": f"{site}\n{POLICY}".encode(), "guests/db01.yaml": GUEST.encode()}, "docs")
    assert loaded.guests[0].power is Power.RUNNING
    assert loaded.guests[0].hold
    (window,) = loaded.policy.windows
    assert loaded.policy == Policy(windows=(window,))
