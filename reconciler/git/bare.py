"""Bare repositories of the reconciler's own: made when they are not there, with no template and no hook."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from reconciler.errors import SourceError
from reconciler.git.access import Access
from reconciler.git.commands import Commands


def open_bare(folder: Path, access: Access, told: Mapping[str, str] = MappingProxyType({})) -> Commands:
    """git in a bare repository of ours. Raises `SourceError` when it cannot be made.

    git asks whether it trusts a local remote's owner: the operator, who named it, does.
    """
    configuration = folder.with_name(f"{folder.name}.gitconfig")
    path = access.url.removeprefix("file://")
    trusted = f"[safe]\n\tdirectory = {_quoted(path)}\n\tdirectory = {_quoted(path + '/.git')}\n"
    text = trusted if access.is_local else ""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not configuration.exists() or configuration.read_text() != text:
            configuration.write_text(text)
    except OSError as error:
        raise SourceError(f"the mirror {folder} cannot be made ({error.strerror}); nothing was done") from error
    commands = Commands(folder, configuration, access, told=told)
    if not (folder / "HEAD").exists():
        commands.run("init", "--quiet", "--bare", "--template=", what=f"make the repository {folder}")
    return commands


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
