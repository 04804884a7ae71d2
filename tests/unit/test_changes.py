"""What a commit changes is told without a host, with what each change interrupts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from repositories import in_git, on_site
from sites import EXAMPLE, example_without_supplement, guest_yaml, mac, site

from reconciler.diff import changes
from reconciler.model.change import Change
from reconciler.model.disruption import Disruption
from reconciler.nwfilter.verdicts import verdict_changes


def test_nothing_changes_between_equal_sites() -> None:
    one = {"web01": guest_yaml("web01", 1, "[10.0.0.10]")}
    assert changes(site(one), site(one)) == ()


def test_an_address_change_names_interface_family_and_both_values() -> None:
    before = site({"web01": guest_yaml("web01", 1, "[10.0.0.10]")})
    after = site({"web01": guest_yaml("web01", 1, "[10.0.0.11]")})
    assert changes(before, after) == (
        Change("guest/web01", f"{mac(1)}.ipv4", ["10.0.0.10/32"], ["10.0.0.11/32"], Disruption.REBUILD),
    )


def test_a_family_that_is_withdrawn_changes_the_filters_form_too() -> None:
    before = site({"web01": guest_yaml("web01", 1, "[10.0.0.10]", '["2001:db8::10"]')})
    after = site({"web01": guest_yaml("web01", 1, "[10.0.0.10]")})
    assert [(change.field.split(".")[1], change.after) for change in changes(before, after)] == [
        ("filter", "guest-ipv4"),
        ("ipv6", "none"),
    ]


def test_another_mac_interrupts_the_guest() -> None:
    before = site({"web01": guest_yaml("web01", 1, "[10.0.0.10]")})
    after = site({"web01": guest_yaml("web01", 9, "[10.0.0.10]")})
    assert {change.disruption for change in changes(before, after)} == {Disruption.GUEST_RESTART}


def test_guests_that_come_and_go_are_whole_changes() -> None:
    before = site({"web01": guest_yaml("web01", 1, "[10.0.0.10]")})
    after = site({"db01": guest_yaml("db01", 2, "[10.0.0.20]")})
    assert [(c.object, c.before, c.after) for c in changes(before, after)] == [
        ("guest/db01", "absent", "present"),
        ("guest/web01", "present", "absent"),
    ]


def test_a_merge_request_sees_it_on_the_command_line(tmp_path: Path) -> None:
    folder = in_git(shutil.copytree(EXAMPLE, tmp_path / "state"))
    path = folder / "guests/db01.yaml"
    path.write_text(path.read_text().replace("192.168.0.20]", "192.168.0.21]"))
    argv = [sys.executable, "-m", "reconciler", "--site", str(folder), "--output", "json", "check", "--base", "HEAD"]
    ended = subprocess.run(argv, check=True, capture_output=True, text=True)
    [change] = json.loads(ended.stdout)["changes"]
    assert (change["object"], change["after"], change["disruption"]) == ("guest/db01", ["192.168.0.21/32"], "rebuild")


def test_frames_that_a_change_opens_and_closes_are_named_with_their_sender() -> None:
    before = site({"web01": guest_yaml("web01", 1, "[10.0.0.10]")})
    after = site({"web01": guest_yaml("web01", 1, "[10.0.0.11]")})
    found = verdict_changes(before, after)
    assert {change.sender for change in found if change.opens} == {"10.0.0.11"}
    assert {change.sender for change in found if not change.opens} == {"10.0.0.10"}


def test_a_filter_that_begins_to_leak_is_seen_on_every_guest_behind_it() -> None:
    guests = {
        "web01": guest_yaml("web01", 1, "[10.0.0.10]", '["2001:db8::10"]'),
        "db01": guest_yaml("db01", 2, "[10.0.0.20]"),
    }
    before = site(guests)
    leaky = [replace(f, entries=f.entries[1:]) if f.name == "guest-ipv6-source" else f for f in before.filters]
    found = verdict_changes(before, replace(before, filters=tuple(leaky)))
    assert {(change.guest, change.opens) for change in found} == {("web01", True)}
    assert "nd-ra" in {change.case for change in found}


def test_a_policy_refuses_what_opens_unless_a_commit_says_why(tmp_path: Path) -> None:
    def check() -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "reconciler", "--site", str(folder), "check", "--base", "before"]
        return subprocess.run(argv, check=False, capture_output=True, text=True)

    folder = shutil.copytree(EXAMPLE, tmp_path / "state")
    policy = folder / "site.yaml"
    policy.write_text(policy.read_text().replace("  prune: false", "  prune: false\n  forbid_widening: true"))
    in_git(folder)
    on_site(folder, "tag", "before")
    path = folder / "guests/db01.yaml"
    path.write_text(path.read_text().replace("192.168.0.20]", "192.168.0.20, 192.168.0.21]"))
    on_site(folder, "commit", "--quiet", "--all", "--message", "one more address")
    refused = check()
    assert refused.returncode == 1 and "policy forbids it" in refused.stderr
    on_site(folder, "commit", "--quiet", "--allow-empty", "--message", "Say why\n\nAllow-widening: the shop moves here")
    allowed = check()
    assert allowed.returncode == 0 and "the shop moves here" in allowed.stdout


def test_check_says_what_the_filters_leak(tmp_path: Path) -> None:
    site = example_without_supplement(tmp_path)
    filter_file = site / "filters/guest-ipv6-source.xml"
    filter_file.write_text(filter_file.read_text().replace("type='134'", "type='200'"))
    argv = [sys.executable, "-m", "reconciler", "--site", str(site), "check"]
    ended = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert ended.returncode == 0
    assert "guest-dual-stack (2 interfaces) leaks 6 of " in ended.stdout and "nd-ra" in ended.stdout
    assert "leaks of guest-dual-stack that nwfilter cannot express: " in ended.stdout


def test_a_base_with_problems_hides_what_changes_and_no_more(tmp_path: Path) -> None:
    """Mending a broken site is possible; under a policy that forbids widening only with a reason."""
    site = tmp_path / "state"
    subprocess.run(["cp", "-r", str(EXAMPLE), str(site)], check=True)
    guest = site / "guests/db01.yaml"
    whole = guest.read_text()
    guest.write_text(whole.replace("name: db01", "name: db02"))
    commit(tmp_path, "broken")
    guest.write_text(whole)
    mended = check(site)
    assert mended.returncode == 0
    assert "the base has 1 problem of its own, so what changes since cannot be told" in mended.stdout
    policy = site / "site.yaml"
    policy.write_text(policy.read_text().replace("  prune: false", "  prune: false\n  forbid_widening: true"))
    refused = check(site)
    assert refused.returncode == 1 and "cannot be told, and the policy forbids it" in refused.stderr
    commit(tmp_path, "mended\n\nAllow-widening: the base was broken")
    assert check(site, "HEAD~1").returncode == 0
    assert check(site).stdout == "nothing changes since HEAD\n"


def commit(repository: Path, message: str) -> None:
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", message]):
        subprocess.run(["git", "-C", str(repository), *author, *words], check=True, capture_output=True)


def check(site: Path, base: str = "HEAD") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "reconciler", "--site", str(site), "check", "--base", base]
    return subprocess.run(argv, check=False, capture_output=True, text=True)
