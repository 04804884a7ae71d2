"""A repository is untrusted input: each test attacks, by a tree, an object, a transport, a configuration or a word."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest
from repositories import Repository

from reconciler.errors import SourceError
from reconciler.git.access import Access
from reconciler.git.commands import Commands
from reconciler.load import examine
from reconciler.source.folder import look_at_folder, read_folder
from reconciler.source.following import Following, Known, fetch_verified, read_commit
from reconciler.source.snapshot import Snapshot

PACKAGE = Path(__file__).parents[2] / "reconciler"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "origin")


def fetched(url: str | Path, tmp_path: Path) -> Snapshot:
    following = Following(Access(str(url)))
    return read_commit(following, tmp_path / "mirror", fetch_verified(following, tmp_path / "mirror", Known()))


def problems(snapshot: Snapshot) -> list[tuple[str, str]]:
    _, found = examine(snapshot.files, snapshot.commit, snapshot.odd)
    return [(problem.id, str(problem.origin)) for problem in found]


@pytest.mark.parametrize("name", ["guests/link.yaml", "filters/link.xml", "site.yaml", "guests"])
def test_a_symlink_is_a_problem_of_its_file_and_never_followed(
    repository: Repository, tmp_path: Path, name: str
) -> None:
    link = repository.folder / "state" / name
    if link.is_dir():
        link.rmdir()
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to("/etc")
    repository.commit()
    snapshot = fetched(repository.folder, tmp_path)
    assert ("odd-file", f"{name}:1:1") in problems(snapshot)
    assert name not in snapshot.files


def test_a_symlink_in_a_folder_is_a_problem_and_never_followed(repository: Repository) -> None:
    (repository.folder / "state/guests/link.yaml").symlink_to("/etc/shadow")
    site = repository.folder / "state"
    assert problems(look_at_folder(site)) == [("odd-file", "guests/link.yaml:1:1")]
    with pytest.raises(SourceError, match=r"guests/link.yaml is no regular file .*; nothing was done"):
        read_folder(site)


@pytest.mark.parametrize("path", ["state/guests/other", "state/guests", "state/filters"])
def test_a_submodule_is_a_problem_of_its_path_and_never_fetched(
    repository: Repository, tmp_path: Path, path: str
) -> None:
    other = Repository(tmp_path / "other")
    (repository.folder / "state/guests").rmdir()
    repository.git("submodule", "--quiet", "add", "--force", str(other.folder), path)
    repository.commit()
    snapshot = fetched(repository.folder, tmp_path)
    assert problems(snapshot) == [("odd-file", f"{path.removeprefix('state/')}:1:1")]
    assert not (tmp_path / "mirror/modules").exists()


def test_a_pointer_of_git_lfs_is_a_problem_not_a_guest(repository: Repository, tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12\n"
    repository.write("guests/web01.yaml", pointer)
    repository.commit()
    assert problems(fetched(repository.folder, tmp_path)) == [("lfs-pointer", "guests/web01.yaml:1:1")]


def test_a_folder_among_the_files_is_a_problem(repository: Repository, tmp_path: Path) -> None:
    repository.write("guests/more/web01.yaml", "name: web01\n")
    repository.commit()
    assert problems(fetched(repository.folder, tmp_path)) == [("odd-file", "guests/more:1:1")]


def test_a_huge_file_is_a_problem_and_never_read(repository: Repository, tmp_path: Path) -> None:
    repository.write("guests/huge.yaml", "#" * (1 << 21))
    repository.commit()
    snapshot = fetched(repository.folder, tmp_path)
    assert problems(snapshot) == [("file-too-large", "guests/huge.yaml:1:1")]
    assert "guests/huge.yaml" not in snapshot.files


def test_a_tree_bomb_is_not_unfolded(repository: Repository, tmp_path: Path) -> None:
    """Ten entries a level, ten levels: ten small objects that unfold to ten billion paths."""
    below = repository.git("hash-object", "-w", "--stdin", stdin=b"name: x\n")
    kind = "100644 blob"
    for _ in range(10):
        entries = "".join(f"{kind} {below}\tf{number}\n" for number in range(10))
        below, kind = repository.git("mktree", stdin=entries.encode()), "040000 tree"
    site = repository.git("rev-parse", "HEAD:state/site.yaml")
    state = repository.git("mktree", stdin=f"100644 blob {site}\tsite.yaml\n040000 tree {below}\tguests\n".encode())
    top = repository.git("mktree", stdin=f"040000 tree {state}\tstate\n".encode())
    repository.commit_tree(top)
    started = time.monotonic()
    assert len(problems(fetched(repository.folder, tmp_path))) == 10
    assert time.monotonic() - started < 10


def test_more_files_than_any_site_needs_are_refused_before_they_are_read(
    repository: Repository, tmp_path: Path
) -> None:
    blob = repository.git("hash-object", "-w", "--stdin", stdin=b"#")
    entries = "".join(f"100644 blob {blob}\tguest-with-a-long-name-{number:060}.yaml\n" for number in range(50_000))
    guests = repository.git("mktree", stdin=entries.encode())
    site = repository.git("rev-parse", "HEAD:state/site.yaml")
    state = repository.git("mktree", stdin=f"100644 blob {site}\tsite.yaml\n040000 tree {guests}\tguests\n".encode())
    repository.commit_tree(repository.git("mktree", stdin=f"040000 tree {state}\tstate\n".encode()))
    with pytest.raises(SourceError, match="too many files"):
        fetched(repository.folder, tmp_path)


def test_a_name_with_escape_codes_or_line_ends_is_a_problem_that_shows_them(
    repository: Repository, tmp_path: Path
) -> None:
    for name in ("\x1b[2Jweb.yaml", "a\nb.yaml", "\u202egnp.yaml"):
        repository.write(f"guests/{name}", "name: x\n")
    repository.commit()
    places = [place for _, place in problems(fetched(repository.folder, tmp_path))]
    assert places == ["guests/\\u202egnp.yaml:1:1", "guests/\\x1b[2Jweb.yaml:1:1", "guests/a\\nb.yaml:1:1"]


@pytest.mark.parametrize("name", [b".git", b"..", b".GIT", b"a/b", b"git~1"])
def test_a_tree_that_would_escape_a_checkout_is_refused_by_fsck(
    repository: Repository, tmp_path: Path, name: bytes
) -> None:
    blob = bytes.fromhex(repository.git("hash-object", "-w", "--stdin", stdin=b"x"))
    site = bytes.fromhex(repository.git("rev-parse", "HEAD:state/site.yaml"))
    entries = sorted([(b"100644 " + name, blob), (b"100644 site.yaml", site)], key=lambda each: each[0][7:])
    repository.commit_tree(repository.plant("tree", b"".join(head + b"\0" + oid for head, oid in entries)))
    with pytest.raises(SourceError, match="nothing was done"):
        fetched(repository.folder, tmp_path)


def test_a_bad_object_that_is_present_already_is_found_before_its_commit_is_used(
    repository: Repository, tmp_path: Path
) -> None:
    """A later fetch skips fsck for objects that an earlier one left behind."""
    fetched(repository.folder, tmp_path)
    site = bytes.fromhex(repository.git("rev-parse", "HEAD:state/site.yaml"))
    tree = b"100644 .git\0" + site + b"100644 site.yaml\0" + site
    commit = repository.commit_tree(repository.plant("tree", tree))
    pack = ["git", "-C", str(repository.folder), "pack-objects", "--revs", "--stdout"]
    packed = subprocess.run(pack, check=True, capture_output=True, input=commit.encode()).stdout
    mirror = tmp_path / "mirror"
    subprocess.run(["git", "-C", str(mirror), "unpack-objects", "-q"], check=True, input=packed)
    with pytest.raises(SourceError, match="nothing was done"):
        fetched(repository.folder, tmp_path)


def test_a_mirror_with_a_bad_object_from_earlier_heals_when_the_remote_is_sound(
    repository: Repository, tmp_path: Path
) -> None:
    fetched(repository.folder, tmp_path)
    (tmp_path / "bad").write_bytes(b"100644 .git\0" + b"\1" * 20)
    words = ["hash-object", "-w", "-t", "tree", "--literally", str(tmp_path / "bad")]
    subprocess.run(["git", "-C", str(tmp_path / "mirror"), *words], check=True, capture_output=True)
    commit = repository.commit()
    assert fetched(repository.folder, tmp_path).commit == commit


def test_a_replace_ref_does_not_swap_an_object(repository: Repository, tmp_path: Path) -> None:
    snapshot = fetched(repository.folder, tmp_path)
    repository.write("site.yaml", "hosts: {evil: {}}\n")
    evil = repository.commit()
    mirror = ["git", "-C", str(tmp_path / "mirror")]
    subprocess.run([*mirror, "fetch", "--quiet", str(repository.folder), evil], check=True)
    subprocess.run([*mirror, "replace", snapshot.commit, evil], check=True)
    repository.git("reset", "--quiet", "--hard", snapshot.commit)
    assert fetched(repository.folder, tmp_path) == snapshot


def evil_configuration(folder: Path, trap: Path) -> str:
    """Text of a configuration that springs a trap in many ways."""
    hook = folder / "hooks/reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
    hook.chmod(0o755)
    return f'[core]\n  hooksPath = {hook.parent}\n  sshCommand = "touch {trap}"\n  fsmonitor = {hook}\n'


def test_no_configuration_of_the_user_counts(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a file in the home folder, nor one that a variable names: it would stop git here."""
    text = "[protocol]\n  allow = never\n[fetch]\n  recurseSubmodules = nonsense\n"
    for name in ("home/.gitconfig", "home/.config/git/config", "named"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert fetched(repository.folder, tmp_path).files
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "named"))
    assert fetched(repository.folder, tmp_path).files


@pytest.mark.parametrize(
    "variables",
    [
        {"GIT_DIR": "/dev/null/nowhere"},
        {"GIT_OBJECT_DIRECTORY": "/dev/null/nowhere"},
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.allow", "GIT_CONFIG_VALUE_0": "never"},
        {"GIT_CONFIG_PARAMETERS": "'protocol.allow'='never'"},
        {"GIT_EXEC_PATH": "/dev/null/nowhere"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_no_variable_of_the_caller_counts(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert fetched(repository.folder, tmp_path).files


def test_no_hook_filter_or_monitor_runs_wherever_it_was_put(repository: Repository, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    repository.write("../.gitattributes", "* filter=evil\n")
    repository.write("../.gitmodules", f'[submodule "x"]\n  path = x\n  url = ext::sh -c "touch {trap}"\n')
    repository.commit()
    fetched(repository.folder, tmp_path)
    mirror = tmp_path / "mirror"
    (mirror / "hooks").mkdir()
    evil_configuration(mirror, trap)
    repository.commit()
    fetched(repository.folder, tmp_path)
    assert not trap.exists()


@pytest.mark.parametrize("url", ["ext::sh -c 'touch SPRUNG'", "fd::3", "git://localhost:1/x", "http://localhost:1/x"])
def test_other_transports_are_refused(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match="not allowed"):
        fetched(url, tmp_path)
    assert not (tmp_path / "SPRUNG").exists()


def test_files_are_no_transport_for_a_remote_that_is_elsewhere(repository: Repository, tmp_path: Path) -> None:
    commands = Commands(repository.folder, access=Access("https://example.org/x.git"))
    with pytest.raises(SourceError, match="transport 'file' not allowed"):
        commands.run("fetch", str(repository.folder), what="fetch")


@pytest.mark.parametrize("url", ["--upload-pack=touch SPRUNG", "-oProxyCommand=touch SPRUNG"])
def test_a_url_is_no_option(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match="strange pathname"):
        fetched(url, tmp_path)
    assert not list(tmp_path.rglob("SPRUNG"))


def test_no_git_command_takes_its_words_from_a_repository() -> None:
    """`repo.git.NAME(value)` would let a value be an option; only the one constant door may run git."""
    for path in [path for part in ("git", "source", "publish") for path in (PACKAGE / part).glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Attribute) and node.attr == "git"), f"{path}:{node.lineno}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in ("config_writer", "submodules"), f"{path}:{node.lineno}"


def test_nobody_loads_pickles_or_deltas() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            assert not {"pickle", "marshal", "shelve", "Delta", "dill"} & set(names), f"{path}:{node.lineno}"


def test_check_says_every_odd_file_at_once(repository: Repository, tmp_path: Path) -> None:
    (repository.folder / "state/guests").mkdir(exist_ok=True)
    (repository.folder / "state/guests/link.yaml").symlink_to("/etc/shadow")
    repository.write("guests/huge.yaml", "#" * (1 << 21))
    repository.commit()
    words = ["--repo", str(repository.folder), "--var", str(tmp_path / "var"), "check"]
    ended = subprocess.run([sys.executable, "-m", "reconciler", *words], check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "guests/link.yaml:1:1: error: guests/link.yaml is a symbolic link" in ended.stdout
    assert "guests/huge.yaml:1:1: error: guests/huge.yaml is larger than" in ended.stdout


def test_what_a_server_says_does_not_act_on_a_terminal() -> None:
    """git repeats a server's words; an error shows them, escape codes and all, as text."""
    from reconciler.git.commands import _reason

    assert (
        _reason("remote: x\nfatal: remote error: \x1b[2J\x07gone\u202e")
        == "fatal: remote error: \\x1b[2J\\x07gone\\u202e"
    )
