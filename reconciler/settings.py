"""What the command line, the environment and the host's configuration say together, the first that speaks wins."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from reconciler.errors import UsageError

DEFAULT_CONFIG = Path("/etc/reconciler/config.yaml")
KEYS = ("connect", "site", "repo", "branch", "var", "host")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the daemon is, where the site is, and where state is kept. `site` None with no repository: nowhere."""

    uri: str = "qemu:///system"
    site: Path | None = None
    repository: str | None = None
    branch: str = "main"
    var: Path = Path("/var/lib/reconciler")
    host: str | None = None


def settle(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Settings:
    """Raises `UsageError` for a configuration that cannot be read or says something unknown."""
    config = _configuration(arguments.config)
    site, repository = arguments.site, arguments.repo
    if site is None and repository is None:
        site, repository = _default_site(config)
    var = arguments.var or environment.get("RECONCILER_VAR") or config.get("var") or _default_var()
    return Settings(
        uri=arguments.connect or config.get("connect") or "qemu:///system",
        site=site,
        repository=repository,
        branch=arguments.branch or config.get("branch") or "main",
        var=Path(var),
        host=arguments.host or config.get("host"),
    )


def _default_site(config: Mapping[str, str]) -> tuple[Path | None, str | None]:
    if Path("state/site.yaml").is_file():
        return Path("state"), None
    return (Path(config["site"]) if "site" in config else None), config.get("repo")


def _default_var() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/reconciler")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "reconciler"


def _configuration(given: Path | None) -> Mapping[str, str]:
    path = given or DEFAULT_CONFIG
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if given is not None:
            raise UsageError(f"the configuration {path} does not exist") from None
        return MappingProxyType({})
    except OSError as error:
        raise UsageError(f"the configuration {path} cannot be read ({error.strerror})") from error
    from reconciler.load.config import read_config

    return read_config(str(path), content, KEYS)
