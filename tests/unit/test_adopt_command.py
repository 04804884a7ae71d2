"""`adopt` as it is typed, and how its files come to be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from adopting import (
    HOST,
    brownfield,
    ref,
)
from sites import mac

from reconciler import app, cli
from reconciler.errors import SourceError
from reconciler.source.writing import read_or_begin, write_files


@dataclass(frozen=True)
class Desk:
    """The command in a folder of its own, on a host in memory."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def command(self, *words: str) -> tuple[int, str, str]:
        code = cli.main(["--var", str(self.folder / "var"), "--host", HOST, *words])
        said = self.capsys.readouterr()
        return code, said.out, said.err


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    host = brownfield({"web01": ref("clean-traffic", IP="10.0.0.1"), "open": None})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app, "open_host", lambda _settings: host)
    return Desk(tmp_path, capsys)


class TestCommand:
    def test_a_new_site_in_the_default_folder(self, desk: Desk) -> None:
        code, out, err = desk.command("adopt")
        assert code == 0
        assert out.splitlines() == [
            "wrote state/site.yaml",
            "wrote state/schema/guest.schema.json",
            "wrote state/schema/site.schema.json",
            "wrote state/guests/web01.yaml",
            f"left out guest/open/{mac(2)}: it has no filter, so whatever it sends passes",
            "  hint: write it into the guest's file with its addresses: apply then gives it a filter",
        ]
        assert err == "1 left out: apply does not touch what the site does not mention\n"
        assert desk.command("diff")[0] == 0
        assert (desk.folder / "state/guests/web01.yaml").stat().st_mode & 0o044

    def test_as_json(self, desk: Desk) -> None:
        code, out, _ = desk.command("--output", "json", "adopt", "--out", "elsewhere", "--strict", "web01", "open")
        found = json.loads(out)
        assert code == 1
        assert (found["verb"], found["host"], found["source"]) == ("adopt", HOST, "elsewhere")
        assert found["written"][0] == "site.yaml" and found["written"][-1] == "guests/web01.yaml"
        assert [each.keys() for each in found["skipped"]] == [{"object", "reason", "hint"}]

    def test_named_guests_only(self, desk: Desk) -> None:
        code, out, err = desk.command("adopt", "--strict", "web01")
        assert (code, err) == (0, "")
        assert "open" not in out

    def test_what_is_there_already_is_not_missing(self, desk: Desk) -> None:
        desk.command("adopt")
        code, out, _ = desk.command("adopt", "--strict", "web01")
        assert code == 0
        assert out.startswith("left out guest/web01: the site has guests/web01.yaml")
        assert "nothing was written" in out

    def test_an_unknown_guest(self, desk: Desk) -> None:
        code, _, err = desk.command("adopt", "web1")
        assert code == 2
        assert "libvirt has no guest 'web1'; nothing was done" in err and "web01" in err
        assert not (desk.folder / "state").exists()

    def test_a_site_with_problems_is_not_added_to(self, desk: Desk) -> None:
        (desk.folder / "state").mkdir()
        (desk.folder / "state/site.yaml").write_text("hosts: 1\n")
        code, _, err = desk.command("adopt")
        assert code == 1 and "site.yaml:1:8" in err

    def test_a_folder_that_is_somebody_elses(self, desk: Desk) -> None:
        (desk.folder / "state/guests").mkdir(parents=True)
        (desk.folder / "state/guests/mine.yaml").write_text("keep me\n")
        code, _, err = desk.command("adopt")
        assert code == 1 and "no site.yaml" in err and "nothing was done" in err

    def test_a_host_name_that_no_site_can_give(self, desk: Desk) -> None:
        code, _, err = desk.command("--host", "KVM 1", "adopt")
        assert code == 2 and "nothing was done" in err


class TestWriting:
    def test_a_file_that_cannot_be_finished_is_not_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_files(tmp_path, {"site.yaml": b"old"})

        def full(_descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(SourceError, match=r"site\.yaml cannot be written \(No space left on device\)"):
            write_files(tmp_path, {"site.yaml": b"new", "guests/a.yaml": b"a"})
        assert [path.name for path in tmp_path.iterdir()] == ["site.yaml"]
        assert (tmp_path / "site.yaml").read_bytes() == b"old"

    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
    def test_a_file_keeps_its_rights(self, tmp_path: Path, mode: int) -> None:
        path = tmp_path / "guests/a.yaml"
        write_files(tmp_path, {"guests/a.yaml": b"old"})
        path.chmod(mode)
        write_files(tmp_path, {"guests/a.yaml": b"new"})
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", mode)

    def test_no_site_yet(self, tmp_path: Path) -> None:
        assert read_or_begin(tmp_path / "state") is None
        (tmp_path / "state").mkdir()
        assert read_or_begin(tmp_path / "state") is None
