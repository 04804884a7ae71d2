"""The whole way as people meet it, told as it goes: `make scenes` prints it.

A bare repository on a Git server with the project's hooks, a host that systemd's socket activation wakes, a lab.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from installed import rule_lines
from repositories import AUTHOR, Repository, allowed_signers, make_ssh_key, sign_with_ssh
from servers import git_server, make_certificate
from sites import EXAMPLE, SITE, guest_yaml, mac

from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.handle import Lab

pytestmark = pytest.mark.lab

HOOKS = Path(__file__).parents[2] / "hooks"
BIN = Path(sys.executable).parent
WAKE_SECONDS = 60


def say(sentence: str) -> None:
    print(f"\n── {sentence}", flush=True)


def show(text: str) -> None:
    print("\n".join(f"    {line.rstrip()}" for line in text.splitlines() if line.strip()), flush=True)


class Scene:
    """An author, a Git server, and a host with one guest."""

    def __init__(self, lab: Lab, folder: Path, url: str, certificate: Path | None) -> None:
        self.lab, self.folder, self.url, self.certificate = lab, folder, url, certificate
        self.bare = folder / "served/site.git"
        self.wake_socket = folder / "wake.sock"
        self.key = make_ssh_key(folder, "author-key")
        self.author = self._author()
        self._serve()
        self._configure()
        xml = folder / "web01.xml"
        xml.write_text(tiny_domain_xml("web01", [NicSpec(mac(1))]))
        self.virsh("define", str(xml))
        self.virsh("start", "web01")

    def _author(self) -> Repository:
        author = Repository(self.folder / "author")
        shutil.copytree(EXAMPLE / "filters", author.folder / "state/filters")
        author.write("site.yaml", SITE.decode() + "hosts: {kvm01: {}}\n")
        author.git("remote", "add", "origin", self.url)
        return author

    def _serve(self) -> None:
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(self.bare)], check=True)
        for name in ("pre-receive", "post-receive"):
            shutil.copy(HOOKS / name, self.bare / "hooks" / name)
        words = ["git", "-C", str(self.bare), "config", "reconciler.wake", f"unix:{self.wake_socket}"]
        subprocess.run(words, check=True)

    def _configure(self) -> None:
        keys = {
            "connect": self.lab.uri, "repo": self.url, "var": str(self.folder / "var"), "host": "kvm01",
            "signature": "commit", "signers": str(allowed_signers(self.folder, self.key)), "publish": "branch notes",
        }  # fmt: skip
        if self.certificate is not None:
            keys["ca_file"] = str(self.certificate)
        text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in keys.items())
        (self.folder / "config.yaml").write_text(text)

    def commit(self, address: str, *, signed: bool = True) -> str:
        self.author.write("guests/web01.yaml", guest_yaml("web01", 1, f"[{address}]").decode())
        return self.author.commit(f"web01 has {address}", *(sign_with_ssh(self.key) if signed else ()))

    def push(self, *words: str, accepted: bool = True) -> str:
        environment = os.environ | ({"GIT_SSL_CAINFO": str(self.certificate)} if self.certificate else {})
        argv = ["git", "-C", str(self.author.folder), *AUTHOR, "push", "--quiet", *words, "origin", "main"]
        ended = subprocess.run(argv, check=False, capture_output=True, text=True, env=environment)
        assert (ended.returncode == 0) == accepted, ended.stderr
        show(f"$ git push {' '.join(words)}\n{ended.stderr}")
        return ended.stderr

    def run(self, expected: int = 0) -> dict[str, Any]:
        return self._answer(self._start([]), expected)

    def push_and_wake(self, *words: str, expected: int = 0) -> dict[str, Any]:
        """Push, and get the answer of the run that the push itself has started."""
        self.wake_socket.unlink(missing_ok=True)
        waiting = self._start(["systemd-socket-activate", "--listen", str(self.wake_socket), "-E", "PATH"])
        deadline = time.monotonic() + WAKE_SECONDS
        while not self.wake_socket.exists():
            assert waiting.poll() is None and time.monotonic() < deadline
        self.push(*words)
        return self._answer(waiting, expected)

    def _start(self, before: list[str]) -> subprocess.Popen[str]:
        words = [
            *before,
            str(BIN / "reconciler"),
            "--config",
            str(self.folder / "config.yaml"),
            "--output",
            "json",
            "run",
        ]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _answer(self, process: subprocess.Popen[str], expected: int) -> dict[str, Any]:
        out, err = process.communicate(timeout=WAKE_SECONDS)
        assert process.returncode == expected, out + err
        found: dict[str, Any] = json.loads(out)
        told = [f"outcome {found['outcome']}, commit {str(found['source'])[:12]}, {len(found['steps'])} steps"]
        told += [f"error: {found['error']['message']}"] if found["error"] else []
        show("$ reconciler run\n" + "\n".join(told))
        return found

    def by_hand(self, address: str) -> None:
        text = self.virsh("nwfilter-dumpxml", "guard-web01-000001")
        (self.folder / "guard.xml").write_text(text.replace(self.address(), address))
        self.virsh("nwfilter-define", str(self.folder / "guard.xml"))

    def address(self) -> str:
        return self.author.git("show", "HEAD:state/guests/web01.yaml").partition("ipv4: [")[2].partition("]")[0]

    def virsh(self, *words: str) -> str:
        return self.lab.run(["virsh", "--connect", self.lab.uri, *words]).stdout

    def rules(self) -> str:
        return "\n".join(rule_lines(self.lab))

    def served(self, *words: str) -> str:
        argv = ["git", "-c", "safe.directory=*", "-C", str(self.bare), *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def report(self) -> str:
        return self.served("rev-parse", "refs/heads/reports/kvm01")


@pytest.fixture(params=["https", "file"])
def scene(request: pytest.FixtureRequest, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    (tmp_path / "served").mkdir()
    with ExitStack() as stack:
        if request.param == "file":
            yield Scene(lab, tmp_path, str(tmp_path / "served/site.git"), None)
            return
        server = stack.enter_context(git_server(tmp_path / "served", make_certificate(tmp_path)))
        yield Scene(lab, tmp_path, server.url("site.git"), server.certificate)


def test_from_a_push_to_the_kernel_and_back_into_the_repository(scene: Scene) -> None:
    say("An author pushes an address that is in no segment: the server refuses it, with the line")
    scene.commit("10.0.9.9")
    said = scene.push(accepted=False)
    assert "state/guests/web01.yaml:5:12: error:" in said and "refs/heads/main is refused" in said

    say("A good one passes, wakes the host, is applied and proven")
    good = scene.commit("10.0.0.10")
    told = scene.push_and_wake()
    assert (told["outcome"], told["source"], told["drift"]) == ("applied", good, [])
    assert {each["proof"] for each in told["interfaces"]} == {"enforced"}
    assert "10.0.0.10" in scene.rules()

    say("The answer is in the repository: a branch for people and programs, a note on the commit")
    published = json.loads(scene.served("show", "refs/heads/reports/kvm01:report.json"))
    assert published["source"] == good and published["outcome"] == "applied"
    note = scene.served("notes", "--ref=reconciler/kvm01", "show", good)
    show("\n".join(f"{line:.100}" for line in scene.served("show", "refs/heads/reports/kvm01:README.md").splitlines()))
    show(f"note on {good[:12]}: {note}")
    assert "kvm01: applied" in note

    say("Nothing to do: nothing is told")
    before = scene.report()
    assert scene.run()["outcome"] == "in-sync"
    assert scene.report() == before

    say("Somebody changes a filter by hand: it is put right, and told once; again only when it is another change")
    for address, is_news in (("10.0.0.66", True), ("10.0.0.66", False), ("10.0.0.77", True)):
        before = scene.report()
        scene.by_hand(address)
        told = scene.run()
        assert (told["outcome"], told["drift"]) == ("applied", []) and told["found"]
        assert address not in scene.rules()
        assert (scene.report() != before) == is_news, address

    say("A commit that nobody signed is refused; the signed one stays in force")
    unsigned = scene.commit("10.0.0.11", signed=False)
    told = scene.push_and_wake(expected=1)
    assert (told["outcome"], told["source"]) == ("refused", good)
    assert unsigned[:12] in told["error"]["message"] and "not signed" in told["error"]["message"]
    assert "10.0.0.11" not in scene.rules()
    assert json.loads(scene.served("show", "refs/heads/reports/kvm01:report.json"))["outcome"] == "refused"

    say("The author signs it, and it is applied")
    signed = scene.commit("10.0.0.12")
    assert scene.push_and_wake()["source"] == signed

    say("The branch is rewound: the server says that hosts will refuse it, and this one does")
    scene.author.git("reset", "--quiet", "--hard", good)
    told = scene.push_and_wake("--force", expected=1)
    assert (told["outcome"], told["source"]) == ("refused", signed)
    assert "does not descend from" in told["error"]["message"]
    assert "10.0.0.12" in scene.rules()
    assert scene.run(expected=1)["outcome"] == "refused"
