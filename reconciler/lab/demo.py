"""The main job as a newcomer sees it: `make demo`.

A private libvirtd, three real guests, one Git repository. Every sentence that the story prints is checked; the first
that does not hold ends it with exit code 1.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from reconciler.errors import ReconcilerError
from reconciler.host.processes import Completed, run
from reconciler.lab.console import Console
from reconciler.lab.guests import NicSpec, domain_xml, image
from reconciler.lab.handle import Lab
from reconciler.lab.labs import lab

EXAMPLE_SITE = Path(__file__).resolve().parents[2] / "state"
HOST = "kvm01"
COLUMN = 62

MACS = {"web01": "52:54:00:30:fc:2d", "db01": "52:54:00:7a:10:01", "seg01": "52:54:00:5e:90:01"}
OWN = {"web01": "192.168.0.200", "db01": "192.168.0.20", "seg01": "192.168.0.65"}
OWN_IPV6 = {"web01": "2001:db8::200", "seg01": "2001:db8:0:1::5"}
STOLEN = "192.168.0.202"
CHANGES = (("- 192.168.0.201\n", f"- {STOLEN}\n"), ('- "2001:db8::201"', '- "2001:db8::202"'))


class StoryBroken(ReconcilerError):
    """A sentence of the story does not hold."""


def main() -> int:
    started = time.monotonic()
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reconciler-demo-")))
            say("A private libvirtd in namespaces of its own; the machine's own libvirt is not touched")
            story = Story(stack.enter_context(lab()), folder)
            tell(story, stack)
    except ReconcilerError as error:
        print(f"\nthe demo failed: {error}", file=sys.stderr)
        print(f"hint: {error.hint}" if error.hint else "", end="\n" if error.hint else "", file=sys.stderr)
        return 1
    print(f"\nThe lab is down. Everything above held; it took {time.monotonic() - started:.0f} s.")
    return 0


def tell(story: Story, stack: ExitStack) -> None:
    say("Three real guests boot on its bridge, without any filter")
    consoles = {name: stack.enter_context(console) for name, console in story.boot().items()}
    say("The site goes into a Git repository: one YAML file per guest, the filters beside them")
    story.commit("three guests and their addresses")
    say(f"Nothing protects anybody yet: db01 takes {STOLEN} and is heard")
    story.speak_as_neighbour(consoles["db01"], heard=True)
    consoles["seg01"].command("ip neigh flush dev eth0")
    say("The first plan, and its application")
    story.reconciler("plan")
    story.reconciler("apply", "--yes")
    say("A commit changes one guest's addresses, IPv4 and IPv6")
    before = story.rules("web01")
    story.change_web01()
    story.commit("web01: .201 goes, .202 comes")
    story.expect_one_redefinition()
    story.reconciler("apply", "--yes")
    side_by_side("web01 in the kernel, before", before, "and after", story.rules("web01"))
    say("Somebody changes a guest's addresses by hand; diff finds it, apply puts it right")
    story.change_by_hand()
    story.reconciler("diff", expected=1)
    story.reconciler("apply", "--yes")
    say(f"db01 gives itself {STOLEN} again, which is web01's: now it is not heard, and as itself it is")
    story.expect_heard(consoles["db01"], OWN["db01"], heard=True)
    story.speak_as_neighbour(consoles["db01"], heard=False)
    require(STOLEN not in consoles["seg01"].command("ip neigh"), f"seg01 has learned nothing about {STOLEN}")
    story.expect_heard(consoles["db01"], OWN["db01"], heard=True)
    say("Nothing is left to do, and the kernel's rules prove it")
    story.reconciler("diff")
    story.reconciler("verify")


@dataclass(frozen=True, slots=True)
class Story:
    """One lab and one repository under `folder`."""

    lab: Lab
    folder: Path

    @property
    def repository(self) -> Path:
        return self.folder / "site"

    def boot(self) -> dict[str, Console]:
        """Define and start all guests, then give each its own addresses from within."""
        system = image()
        for name, mac in MACS.items():
            xml = self.folder / f"{name}.xml"
            xml.write_text(domain_xml(name, system, [NicSpec(mac)]))
            self.virsh("define", str(xml))
            self.virsh("start", name)
        self.lab.run(["ip", "address", "add", "192.168.0.1/24", "dev", "br0"])
        consoles = {name: Console(self.lab, name) for name in MACS}
        for name, console in consoles.items():
            console.wait_for_prompt()
            console.command(f"ip address add {OWN[name]}/24 dev eth0; ip link set eth0 up")
            if name in OWN_IPV6:
                console.command(f"ip address add {OWN_IPV6[name]}/48 dev eth0")
            print(f"  {name} is up as {OWN[name]} {OWN_IPV6.get(name, '')}")
        return consoles

    def commit(self, message: str) -> None:
        if not self.repository.exists():
            shutil.copytree(EXAMPLE_SITE, self.repository / "state", ignore=shutil.ignore_patterns("examples"))
            self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        show(f'git commit --message "{message}"', "")

    def change_web01(self) -> None:
        path = self.repository / "state/guests/web01.yaml"
        text = path.read_text()
        for old, new in CHANGES:
            require(text.count(old) == 1, f"the example's web01 has {old.strip()!r}")
            text = text.replace(old, new)
        path.write_text(text)
        changes = [line for line in self.git("diff", "--unified=0").splitlines() if re.match(r"[-+](?![-+]{2} )", line)]
        show("git diff", "\n".join(changes))

    def expect_one_redefinition(self) -> None:
        self.reconciler("plan")
        steps = self.document("plan")["steps"]
        targets = [(step["kind"], step["target"], step["rebuilds"]) for step in steps]
        table, guard = ("set-supplement", "host", 0), ("define-filter", "filter/guard-web01-30fc2d", 1)
        require(targets == [table, guard, table], "the plan is exactly that guest's filter, and what stands beside it")

    def change_by_hand(self) -> None:
        text = self.virsh("nwfilter-dumpxml", "guard-db01-7a1001").stdout
        changed = self.folder / "guard.xml"
        changed.write_text(text.replace(OWN["db01"], "192.168.0.99"))
        show("virsh nwfilter-edit guard-db01-7a1001", self.virsh("nwfilter-define", str(changed)).stdout)

    def speak_as_neighbour(self, thief: Console, *, heard: bool) -> None:
        """db01 takes an address that is not its own, speaks from it, and lets it go again."""
        thief.command(f"ip address add {STOLEN}/24 dev eth0")
        self.expect_heard(thief, STOLEN, heard=heard)
        thief.command(f"ip address del {STOLEN}/24 dev eth0; ip neigh flush dev eth0")

    def expect_heard(self, guest: Console, source: str, *, heard: bool) -> None:
        line = f"ping -c 3 -W 1 -I {source} {OWN['seg01']}"
        output = guest.command(line, check=False)
        summary = next((each for each in output.splitlines() if "packets received" in each), output.strip())
        print(f"  db01$ {line}\n    {summary}", flush=True)
        require(
            f" {3 if heard else 0} packets received" in summary, f"db01 as {source} is{'' if heard else ' not'} heard"
        )

    def rules(self, guest: str) -> list[str]:
        """The rules by which the kernel lets a guest use its addresses, as ebtables prints them."""
        port = self.virsh("domiflist", guest).stdout.splitlines()[2].split()[0]
        saved = self.lab.run(["ebtables-save"]).stdout.splitlines()
        accepted = [
            line.split(" ", 2)[2] for line in saved if f"-{port}-" in line and "-src" in line and "ACCEPT" in line
        ]
        return [rule for rule in accepted if "-src 0.0.0.0" not in rule and "-src ::" not in rule]

    def reconciler(self, *arguments: str, expected: int = 0) -> None:
        ended = self.command(*arguments)
        show(f"reconciler {' '.join(arguments)}", ended.stdout.rstrip() or ended.stderr.rstrip())
        sentence = f"`reconciler {arguments[0]}` ends with {expected}, not {ended.returncode}: {ended.stderr.strip()}"
        require(ended.returncode == expected, sentence)

    def document(self, verb: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.command("--output", "json", verb).stdout)
        return found

    def command(self, *arguments: str) -> Completed:
        where = ["--connect", self.lab.uri, "--host", HOST, "--var", str(self.folder / "var")]
        where += ["--repo", str(self.repository)]
        argv = [sys.executable, "-m", "reconciler", *where, *arguments]
        return run(argv, check=False, timeout=120, env={"COLUMNS": "100", "PYTHONDONTWRITEBYTECODE": "1"})

    def virsh(self, *arguments: str) -> Completed:
        return run(["virsh", "--connect", self.lab.uri, *arguments])

    def git(self, *arguments: str) -> str:
        author = ["-c", "user.name=Author", "-c", "user.email=author@example.org"]
        return run(["git", "-C", str(self.repository), *author, *arguments]).stdout


def require(holds: bool, sentence: str) -> None:
    if not holds:
        raise StoryBroken(f"it does not hold that {sentence}")


def say(sentence: str) -> None:
    print(f"\n── {sentence}", flush=True)


def show(command: str, output: str) -> None:
    print(f"  $ {command}")
    for line in output.splitlines():
        print(f"    {line}")
    sys.stdout.flush()


def side_by_side(left_title: str, left: list[str], right_title: str, right: list[str]) -> None:
    """Two lists of rules, a mark before those that the other side has not."""
    require(left != right, "the kernel's rules have changed")
    print(f"\n  {left_title:<{COLUMN}}  {right_title}")
    for old, new in zip_longest(left, right, fillvalue=""):
        old_mark, new_mark = "-" if old not in right else " ", "+" if new and new not in left else " "
        print(f"  {old_mark} {shortened(old):<{COLUMN - 2}}  {new_mark} {shortened(new)}".rstrip())


def shortened(rule: str) -> str:
    return rule if len(rule) <= COLUMN - 2 else f"{rule[: COLUMN - 3]}…"


if __name__ == "__main__":
    sys.exit(main())
