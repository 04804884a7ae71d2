"""What one waits for with a large site: `check`, and the plan of many changed guests. No host needed."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from bench.measure import Sample, Way, interleaved, process, programs_environment
from bench.results import Options, Row, Table, Target, table
from bench.sites import change_big_guest, write_big_site

GUESTS, FILTERS, CHANGED, ROUNDS = 10_000, 200, 500, 3
COLD, ONE, NONE = "check, nothing kept", "check, one file changed", "check, nothing changed"
TRIED = "check, the guest changed whose frames are tried"
PLANNED = "compared and planned"
MOST_COLD, MOST_CHANGED, MOST_PLANNED = 6.0, 1.5, 2.0


def measure(options: Options) -> Row:
    guests, rounds = options.guests[-1] if options.guests else GUESTS, options.rounds or ROUNDS
    changed = min(CHANGED, guests)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_big_site(folder / "site", guests, FILTERS)
        title = f"A site of {guests:,} guests and {FILTERS} filters"
        checks = table(title, interleaved(check_ways(folder, guests), rounds), rounds, compared="")
        plans = plan_table(folder / "site", changed, rounds)
    targets = (
        Target(f"`check` of {guests:,} guests, {FILTERS} filters", checks.way(COLD).seconds, MOST_COLD, "s"),
        Target("the same, one file changed", checks.way(ONE).seconds, MOST_CHANGED, "s"),
        Target(f"plan of {changed:,} changed guests of them", plans.way(PLANNED).seconds, MOST_PLANNED, "s"),
    )
    return Row("planning", (checks, plans), targets)


def check_ways(folder: Path, guests: int) -> dict[str, Way]:
    where = ["--site", str(folder / "site"), "--var", str(folder / "var")]
    argv = [sys.executable, "-m", "reconciler", *where, "check"]
    nets = itertools.cycle(range(10, 200))
    (folder / "var").mkdir()

    def cold() -> Sample:
        shutil.rmtree(folder / "var")
        (folder / "var").mkdir()
        return process(argv)

    def changed(guest: int) -> Way:
        def change() -> Sample:
            process(argv)
            change_big_guest(folder / "site", guest, next(nets))
            return process(argv)

        return change

    def unchanged() -> Sample:
        process(argv)
        return process(argv)

    return {COLD: cold, ONE: changed(guests - 1), TRIED: changed(0), NONE: unchanged}


def plan_table(site: Path, changed: int, rounds: int) -> Table:
    samples: dict[str, list[Sample]] = {PLANNED: [], "compared": [], "planned": []}
    for _ in range(rounds):
        told = plan(site, changed)
        steps = {name: float(told[name]) for name in ("steps", "rebuilds")}
        phases = {name: Sample(told[name]) for name in ("compared", "planned")}
        both = Sample(sum(each.seconds for each in phases.values()))
        for name, sample in {PLANNED: replace(both, facts=steps), **phases}.items():
            samples[name].append(sample)
    title = f"{changed:,} of them running and changed, on a host in memory"
    return table(title, samples, rounds, compared="")


def plan(site: Path, changed: int) -> dict[str, float]:
    argv = [sys.executable, "-m", "bench.planned", str(site), str(changed)]
    ended = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, env=programs_environment())
    found: dict[str, float] = json.loads(ended.stdout)
    return found
