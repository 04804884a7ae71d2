"""The host's configuration: read as strictly as the site, and nothing in it can come from there."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

import pytest

from reconciler.app import host_name
from reconciler.errors import UsageError
from reconciler.load import load
from reconciler.settings import KEYS, Settings, settle

ROOT = Path(__file__).parents[2]


def settled(tmp_path: Path, text: str, environment: dict[str, str] | None = None, **options: object) -> Settings:
    config = tmp_path / "config.yaml"
    config.write_text(text)
    given = dict.fromkeys(("site", "repo", "branch", "var", "host", "connect")) | options
    return settle(argparse.Namespace(config=config, **given), environment or {})


@pytest.mark.parametrize(
    "text", ["site: /srv/site\nrepo: /srv/site.git\n", "site: /srv/site\nsignature: commit\nsigners: /etc/signers\n"]
)
def test_a_site_is_in_one_place_and_a_signed_one_in_a_repository(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="nothing was done"):
        settled(tmp_path, text)


def test_every_key_is_in_the_documentation() -> None:
    text = (ROOT / "docs/gitops.md").read_text()
    assert [key for key in KEYS if f"`{key}`" not in text] == []


def test_a_whole_configuration(tmp_path: Path) -> None:
    told = settled(
        tmp_path,
        "repo: https://git.example.org/site.git\ntags: v*\nsignature: both\nsigners: /etc/reconciler/signers\n"
        "token_file: /etc/reconciler/token\nfetch_timeout: 30\npublish: branch notes\nreport_keep_days: 7\n"
        "metrics_file: /var/lib/metrics/x.prom\nadmission: refuse\ngitlab_project: 12\nhost: kvm01\n",
    )
    assert (told.repository, told.git.tags, told.git.signature) == ("https://git.example.org/site.git", "v*", "both")
    assert (told.git.token, told.git.timeout) == (Path("/etc/reconciler/token"), 30.0)
    assert (told.publish.targets, told.publish.keep_days, told.admission) == (("branch", "notes"), 7, "refuse")
    assert told.publish.gitlab_project == "12"


def test_a_bare_name_is_a_credential_of_systemd(tmp_path: Path) -> None:
    told = settled(tmp_path, "token_file: token\n", {"CREDENTIALS_DIRECTORY": "/run/credentials/reconciler.service"})
    assert told.git.token == Path("/run/credentials/reconciler.service/token")


def test_a_branch_on_the_command_line_is_followed_instead_of_tags(tmp_path: Path) -> None:
    assert settled(tmp_path, "tags: v*\n", branch="main").git.tags is None


def test_a_configuration_that_says_nothing_is_one(tmp_path: Path) -> None:
    assert settled(tmp_path, "# nothing yet\n").git.signature == "none"


def test_a_named_configuration_is_above_the_folder_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert settled(tmp_path, "host: kvm01\n").site == Path("state")
    assert settled(tmp_path, "repo: /srv/site.git\n").site is None


def test_who_has_no_home_can_check_a_site_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("os.geteuid", lambda: 12345)
    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert settled(tmp_path, "{}\n").var == Path("/var/lib/reconciler")


@pytest.mark.parametrize(("demand", "expected"), [("none", Path("state")), ("commit", None)])
def test_where_signatures_are_demanded_a_folder_counts_only_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, demand: str, expected: Path | None
) -> None:
    """P7: who stands in a checkout by chance does not apply what nobody signed."""
    config = tmp_path / "config.yaml"
    config.write_text(f"repo: /srv/site.git\nsignature: {demand}\nsigners: /etc/signers\n")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("reconciler.settings.DEFAULT_CONFIG", config)
    given = dict.fromkeys(("config", "site", "repo", "branch", "var", "host", "connect"))
    assert settle(argparse.Namespace(**given), {}).site == expected
    assert settle(argparse.Namespace(**given | {"site": Path("state")}), {}).site == Path("state")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tag: v*\n", "'tag' is no key"),
        ("tags: v*\nref: refs/waves/1\n", "names tags and ref: one of them can be followed"),
        ("signature: maybe\n", "signature is 'maybe'"),
        ("admission: yes please\n", "admission is 'yes please'"),
        ("signers: signers\n", "signers is not a full path"),
        ("token_file: token\n", "neither a full path nor a credential"),
        ("token_file: ../token\n", "neither a full path nor a credential"),
        ("fetch_timeout: soon\n", "fetch_timeout is 'soon'"),
        ("fetch_timeout: 0\n", "fetch_timeout is '0'"),
        ("publish: branch mail\n", "nothing can be published to 'mail'"),
        ("publish: gitlab\n", "needs gitlab_url, gitlab_project and gitlab_token_file"),
        ("publish: [branch]\n", "'publish' is not a text"),
        ("host: true\n", "'host' is not a text"),
        ("host: &x kvm01\n", "anchor"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        settled(tmp_path, text)


def test_a_site_cannot_say_what_is_demanded_of_it() -> None:
    from reconciler.load import examine

    for key in ("signature", "signers", "keyring", "token_file", "admission", "publish", "allow_rewind"):
        _, problems = examine({"site.yaml": f"{key}: x\n".encode()})
        assert [problem.id for problem in problems] == ["unknown-field"], key


@pytest.mark.parametrize(
    ("machine", "hosts", "expected"),
    [
        ("kvm01", "{kvm01: {}}", "kvm01"),
        ("KVM01.example.org", "{kvm01: {}}", "kvm01"),
        ("kvm01.example.org", "{kvm01.example.org: {}}", "kvm01.example.org"),
        ("anybody", "{}", "anybody"),
    ],
)
def test_a_machine_finds_itself_without_a_name_server(
    monkeypatch: pytest.MonkeyPatch, machine: str, hosts: str, expected: str
) -> None:
    def never() -> str:
        raise AssertionError("a name server was asked")

    monkeypatch.setattr(socket, "gethostname", lambda: machine)
    monkeypatch.setattr(socket, "getfqdn", never)
    assert host_name(Settings(), load({"site.yaml": f"hosts: {hosts}\n".encode()})) == expected


def test_a_machine_that_no_other_name_fits_asks_for_its_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "kvm01")
    monkeypatch.setattr(socket, "getfqdn", lambda: "KVM01.example.org")
    site = load({"site.yaml": b"hosts: {kvm01.example.org: {}}\n"})
    assert host_name(Settings(), site) == "kvm01.example.org"
    with pytest.raises(UsageError, match="the site has no host 'kvm02'"):
        host_name(Settings(host="kvm02"), site)
