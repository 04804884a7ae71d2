"""What the command line, the environment and the host's configuration say together, the first that speaks wins.

Every run imports this. So these are tuples, as all that is imported to find out that nothing is to be done: dataclasses
take a tenth of such a run to be made.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from reconciler.errors import UsageError, did_you_mean

DEFAULT_CONFIG = Path("/etc/reconciler/config.yaml")
STATE = Path("/var/lib/reconciler")
SIGNATURES = ("none", "commit", "tag", "both")
TARGETS = ("branch", "notes", "gitlab")
KEYS = (
    "connect", "site", "repo", "branch", "var", "host",
    "tags", "ref", "signature", "signers", "keyring",
    "token_file", "token_user", "ssh_key_file", "known_hosts_file", "ca_file", "fetch_timeout",
    "publish", "report_keep_days", "gitlab_url", "gitlab_project", "gitlab_token_file",
    "metrics_file", "admission",
    "health_command", "health_within",
)  # fmt: skip


class GitSettings(NamedTuple):
    """How the repository is reached, and what is demanded of a commit. All of it is the host's own word."""

    tags: str | None = None
    ref: str | None = None
    signature: str = "none"
    signers: Path | None = None
    keyring: Path | None = None
    token: Path | None = None
    token_user: str = "oauth2"
    ssh_key: Path | None = None
    known_hosts: Path | None = None
    ca_file: Path | None = None
    timeout: float = 120.0
    allow_rewind: bool = False


class PublishSettings(NamedTuple):
    """Where a run's report goes: any of `TARGETS`, none by default."""

    targets: tuple[str, ...] = ()
    keep_days: int = 90
    gitlab_url: str | None = None
    gitlab_project: str | None = None
    gitlab_token: Path | None = None


class HealthSettings(NamedTuple):
    """A program of this host that says whether a guest is well, and the seconds that it and the repository have.

    What is run is never the site's word.
    """

    command: Path | None = None
    within: float = 30.0


class Settings(NamedTuple):
    """Where the daemon is, where the site is, and where state is kept. `site` None with no repository: nowhere.

    With `commit` the repository is not asked: the site is that of a commit which was verified before. Claims do not
    wait for hosts that are `released`.
    """

    uri: str = "qemu:///system"
    site: Path | None = None
    repository: str | None = None
    branch: str = "main"
    var: Path = STATE
    host: str | None = None
    git: GitSettings = GitSettings()
    publish: PublishSettings = PublishSettings()
    health: HealthSettings = HealthSettings()
    metrics: Path | None = None
    admission: str = "off"
    commit: str | None = None
    released: tuple[str, ...] = ()


def settle(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Settings:
    """Raises `UsageError` for a configuration that cannot be read or says something unknown."""
    config = _Configuration(_configuration(arguments.config), environment)
    site, repository = arguments.site, arguments.repo
    if site is None and repository is None:
        site, repository = _default_site(config.texts, named=arguments.config is not None)
    texts = config.texts
    _refuse_contradictions(texts)
    var = arguments.var or environment.get("RECONCILER_VAR") or texts.get("var") or _default_var()
    return Settings(
        uri=arguments.connect or texts.get("connect") or "qemu:///system",
        site=site,
        repository=repository,
        branch=arguments.branch or texts.get("branch") or "main",
        var=Path(var),
        host=arguments.host or texts.get("host"),
        git=_git_settings(config, by_hand=bool(arguments.branch), rewind=getattr(arguments, "allow_rewind", False)),
        publish=_publish_settings(config),
        health=HealthSettings(config.path("health_command"), config.number("health_within", 30)),
        metrics=config.path("metrics_file"),
        admission=config.word("admission", ("off", "warn", "refuse", "strict"), "off"),
        released=tuple(getattr(arguments, "released", ())),
    )


def _refuse_contradictions(texts: Mapping[str, str]) -> None:
    if "site" in texts and "repo" in texts:
        raise UsageError("the configuration names site and repo: the site is in one place; nothing was done")
    if "site" in texts and texts.get("signature", "none") != "none":
        raise UsageError(
            f"the configuration demands signature: {texts['signature']} and names the folder {texts['site']}, "
            "whose files nobody signs; nothing was done",
            hint="name the repository as `repo` instead of `site`",
        )


def _git_settings(config: _Configuration, *, by_hand: bool, rewind: bool) -> GitSettings:
    """A branch on the command line is followed instead of the tags or the ref that the configuration names."""
    named = [key for key in ("tags", "ref", "branch") if key in config.texts]
    if len(named) > 1:
        raise UsageError(f"the configuration names {' and '.join(named)}: one of them can be followed")
    return GitSettings(
        tags=None if by_hand else config.texts.get("tags"),
        ref=None if by_hand else config.texts.get("ref"),
        signature=config.word("signature", SIGNATURES, "none"),
        signers=config.path("signers"),
        keyring=config.path("keyring"),
        token=config.secret("token_file"),
        token_user=config.texts.get("token_user", "oauth2"),
        ssh_key=config.secret("ssh_key_file"),
        known_hosts=config.secret("known_hosts_file"),
        ca_file=config.path("ca_file"),
        timeout=config.number("fetch_timeout", 120),
        allow_rewind=rewind,
    )


def _publish_settings(config: _Configuration) -> PublishSettings:
    targets = tuple(config.texts.get("publish", "").replace(",", " ").split())
    for target in targets:
        if target not in TARGETS:
            hint = did_you_mean(target, TARGETS) or f"one or more of: {', '.join(TARGETS)}"
            raise UsageError(f"nothing can be published to {target!r}", hint=hint)
    found = PublishSettings(
        targets,
        int(config.number("report_keep_days", 90)),
        config.texts.get("gitlab_url"),
        config.texts.get("gitlab_project"),
        config.secret("gitlab_token_file"),
    )
    if "gitlab" in targets and not (found.gitlab_url and found.gitlab_project and found.gitlab_token):
        raise UsageError("publishing to gitlab needs gitlab_url, gitlab_project and gitlab_token_file")
    return found


class _Configuration(NamedTuple):
    """The texts of the file, and what they are meant to be."""

    texts: Mapping[str, str]
    environment: Mapping[str, str]

    def path(self, key: str) -> Path | None:
        """A file by its full path: where the command is started must not decide which one it is."""
        text = self.texts.get(key)
        if text is None:
            return None
        if not text.startswith("/"):
            raise UsageError(f"{key} is not a full path: {text!r}")
        return Path(text)

    def secret(self, key: str) -> Path | None:
        """A full path, or the name of a credential that systemd has put into the service's own folder."""
        text = self.texts.get(key)
        if text is None or text.startswith("/"):
            return self.path(key)
        folder = self.environment.get("CREDENTIALS_DIRECTORY")
        if folder is None or "/" in text:
            raise UsageError(
                f"{key} is {text!r}, which is neither a full path nor a credential of a systemd service",
                hint="name the file with its full path, or add LoadCredential= to the unit",
            )
        return Path(folder) / text

    def word(self, key: str, known: tuple[str, ...], default: str) -> str:
        text = self.texts.get(key, default)
        if text not in known:
            raise UsageError(f"{key} is {text!r}", hint=f"one of: {', '.join(known)}")
        return text

    def number(self, key: str, default: float) -> float:
        text = self.texts.get(key)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or not int(text):
            raise UsageError(f"{key} is {text!r}", hint="a whole number above 0")
        return float(text)


def _default_site(config: Mapping[str, str], *, named: bool) -> tuple[Path | None, str | None]:
    """Where one stands counts, unless a configuration says where the site is and was named, or demands a signature."""
    binding = named or config.get("signature", "none") != "none"
    if not (binding and {"site", "repo"} & config.keys()) and Path("state/site.yaml").is_file():
        return Path("state"), None
    return (Path(config["site"]) if "site" in config else None), config.get("repo")


def _default_var() -> Path:
    if os.geteuid() == 0:
        return STATE
    try:
        return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "reconciler"
    except RuntimeError:  # a number without a name or a home, as in a CI's container: what needs no state needs neither
        return STATE


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
