"""Our `apply` as a way: its whole process, the libvirt calls of its changes, and what the plan promised beforehand."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace

from bench.hosts import Host
from bench.measure import Sample, Way, process
from bench.rebuilds import counting
from reconciler.host.processes import run

REBUILDS, PLANNED, OWN, WRITES = "rebuilds", "planned", "libvirt's calls, s", "writes"


def applied(host: Host) -> Sample:
    """Plan, which nobody measures, then apply."""
    planned = json.loads(run(host.ours("--output", "json", "plan"), timeout=600).stdout)
    place = host.folder / "calls.json"
    argv = [sys.executable, "-m", "bench.calls", str(place), *host.words("apply", "--yes")]
    with counting(host.lab) as counted:
        sample = process(argv)
    own = json.loads(place.read_text())
    facts = {
        REBUILDS: counted.rebuilds,
        PLANNED: sum(step["rebuilds"] for step in planned["steps"]),
        WRITES: own["writes"],
        OWN: round(own["seconds"], 3),
    }
    return replace(sample, facts=facts)


def with_rebuilds(host: Host, way: Way) -> Sample:
    with counting(host.lab) as counted:
        sample = way()
    return replace(sample, facts={REBUILDS: counted.rebuilds})


def beyond_calls(samples: Sequence[Sample]) -> list[float]:
    """Of each round, how many times the whole process took as long as libvirt's own calls."""
    return [sample.seconds / sample.facts[OWN] for sample in samples]


def unplanned(samples: Sequence[Sample]) -> float:
    """Most rebuilds that no plan promised, or that it promised in vain."""
    return max(abs(sample.facts[REBUILDS] - sample.facts[PLANNED]) for sample in samples)
