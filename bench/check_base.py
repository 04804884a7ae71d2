"""What a merge request waits for: `check`, and `check --base` with one guest of 1,000 changed; and verdicts a second.

Whole processes, in turn; prints medians. Needs no host. Run it by `make bench`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from reconciler.load import load
from reconciler.nwfilter.battery import battery
from reconciler.nwfilter.evaluate import Evaluator
from reconciler.nwfilter.expand import expand
from reconciler.nwfilter.guard import unguarded_filterref

EXAMPLE = Path(__file__).parent.parent / "state"
GUESTS = 1000
ROUNDS = 5
SITE = """\
segments:
  lan: {bridge: br0, ipv4: [10.0.0.0/8], ipv6: ["2001:db8::/32"]}
filters: {guest: {dual: guest-dual-stack, ipv4: guest-ipv4, ipv6: guest-ipv6, none: guest-locked}}
defaults: {filter: guest}
"""
GUEST = """\
name: g{number}
interfaces:
  - mac: "52:54:00:00:{high:02x}:{low:02x}"
    segment: lan
    ipv4: [10.1.{high}.{low}, 10.2.{high}.{low}]
    ipv6: ["2001:db8::{high:x}:{low:x}"]
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        site = write_site(Path(temporary) / "state")
        checks = [sys.executable, "-m", "reconciler", "--site", str(site), "check"]
        pairs = [(seconds(checks), seconds([*checks, "--base", "HEAD~1"])) for _ in range(ROUNDS + 1)][1:]
        check, based = (statistics.median(column) for column in zip(*pairs, strict=True))
        beyond = statistics.median(with_base - alone for alone, with_base in pairs)
        print(f"{GUESTS} guests, one changed, medians of {ROUNDS} rounds")
        print(f"check {check:.2f} s, check --base {based:.2f} s, {beyond:.2f} s beyond check")
        print(f"{verdicts_a_second(site):,.0f} verdicts a second on foretold rules")


def write_site(site: Path, guests: int = GUESTS) -> Path:
    """A site in a repository, whose last commit gives one guest another address."""
    (site / "guests").mkdir(parents=True)
    subprocess.run(["cp", "-r", str(EXAMPLE / "filters"), str(site)], check=True)
    (site / "site.yaml").write_text(SITE)
    for number in range(guests):
        high, low = number // 250, number % 250 + 1
        (site / "guests" / f"g{number}.yaml").write_text(GUEST.format(number=number, high=high, low=low))
    git(site, "init", "--quiet")
    git(site, "add", "--all")
    git(site, "commit", "--quiet", "--message", "1,000 guests")
    path = site / f"guests/g{min(7, guests - 1)}.yaml"
    path.write_text(path.read_text().replace("10.2.0", "10.3.0"))
    git(site, "commit", "--quiet", "--all", "--message", "another address")
    return site


def git(site: Path, *words: str) -> None:
    author = ["-c", "user.name=Author", "-c", "user.email=author@example.org"]
    subprocess.run(["git", "-C", str(site), *author, *words], check=True)


def verdicts_a_second(site: Path) -> float:
    files = [path for path in site.rglob("*") if path.suffix in (".yaml", ".xml")]
    desired = load({str(path.relative_to(site)): path.read_bytes() for path in files})
    interface = desired.guests[0].interfaces[0]
    definitions = {definition.name: definition for definition in desired.filters}
    evaluator = Evaluator.of(expand(definitions.get, unguarded_filterref(interface), interface.mac, "port"))
    cases = [case for case in battery(interface) if case.frame]
    started = time.perf_counter()
    rounds = 200
    for _ in range(rounds):
        for case in cases:
            evaluator.case(case, "port")
    return rounds * len(cases) / (time.perf_counter() - started)


def seconds(argv: list[str]) -> float:
    started = time.monotonic()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


if __name__ == "__main__":
    main()
