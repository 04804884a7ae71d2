"""`plan` and `apply` as they are typed, on a host in memory."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from sites import SITE, example_without_supplement, guest_yaml, host_as_wanted, site

from reconciler import app, cli
from reconciler.host.memory import MemoryHost


@dataclass(frozen=True)
class Desk:
    """The command at a folder with one guest, whose host in memory is as another site wants it."""

    folder: Path
    host: MemoryHost
    capsys: pytest.CaptureFixture[str]

    def command(self, *words: str) -> tuple[int, str, str]:
        where = ("--site", str(self.folder / "state"), "--var", str(self.folder / "var"), "--host", "kvm01")
        code = cli.main([*where, *words])
        said = self.capsys.readouterr()
        return code, said.out, said.err


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """What the site changes needs a restart of its guest, which the policy does not allow."""
    text = SITE + b"hosts: {kvm01: {}}\n"
    host = host_as_wanted(site({"web01": guest_yaml("web01", 1, "[10.0.0.10]", more="power: running")}, text))
    state = example_without_supplement(tmp_path)
    for path in (state / "guests").iterdir():
        path.unlink()
    (state / "site.yaml").write_bytes(text)
    (state / "guests/web01.yaml").write_bytes(guest_yaml("web01", 1, "[10.0.0.10]", more="power: stopped"))
    monkeypatch.setattr(app, "open_host", lambda _settings: host)
    return Desk(tmp_path, host, capsys)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_what_waits_is_not_called_nothing_to_do(desk: Desk) -> None:
    desk.command("apply")
    code, out, _ = desk.command("apply")
    assert code == 3 and "waits (policy): guest/web01" in out
    assert "nothing can be done now: kvm01 is not as " in out and "nothing to do" not in out


def test_a_plan_with_more_than_the_policy_allows_can_be_approved(desk: Desk) -> None:
    file = str(desk.folder / "plan.json")
    assert desk.command("plan", "--detailed-exitcode", "--allow", "guest-restart", "--out", file)[0] == 2
    code, _, err = desk.command("apply", file)
    assert code == 1 and "made with --allow is applied with the same" in err
    assert desk.command("apply", file, "--allow", "guest-restart")[0] == 0


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "[" * 100_000, "\x00"])
def test_what_is_no_plan_is_refused(desk: Desk, text: str) -> None:
    file = desk.folder / "plan.json"
    file.write_text(text)
    code, _, err = desk.command("apply", str(file))
    assert code == 2 and f"{file} is no plan; nothing was done" in err


@pytest.mark.parametrize(("answer", "code", "stopped"), [("", 0, False), ("n\n", 0, False), ("y\n", 0, True)])
def test_who_is_asked_sees_it_beside_the_document(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, stopped: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    found, out, err = desk.command("--output", "json", "apply", "--allow", "guest-restart")
    assert found == code and "apply these steps? [y/N]" in err and "guest-restart" in err
    assert json.loads(out)["execution"]["ok"] if stopped else out == ""
    web01 = desk.host.find_domain("web01")
    assert web01 is not None and web01.active is not stopped


@pytest.mark.parametrize(
    "words",
    [
        *(["diff"], ["plan"], ["apply"], ["status"], ["verify"], ["check"], ["history"], ["report"], ["run"]),
        *(["status", "--desired"], ["trace", "web01", "ip"], ["suspend", "host", "--reason", "x"], ["doctor"]),
    ],
)
def test_every_field_of_a_document_is_in_the_documentation(desk: Desk, words: list[str]) -> None:
    page = (Path(__file__).parents[2] / "docs/json.md").read_text(encoding="utf-8")
    document = json.loads(desk.command("--output", "json", *words)[1])
    assert [key for key in document if f"`{key}`" not in page and f"`{key}[]`" not in page] == []
