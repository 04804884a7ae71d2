"""A run with nothing to do, beside `git fetch` and the same diff without a repository; and its memory."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from bench.hosts import Host, host
from bench.measure import Sample, interleaved, process
from bench.results import Options, Row, Table, table
from bench.sites import git
from reconciler.host.processes import run

GUESTS, ROUNDS = 10, 9
OURS, BESIDE, EVERYTHING = "reconciler run", "git fetch, then reconciler diff", "every module of ours imported"
IMPORTS = """
import importlib, pkgutil, reconciler
for found in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
    if "__main__" not in found.name:
        importlib.import_module(found.name)
for name in ("gitlab", "deepdiff", "pydantic", "yaml", "rich.table", "scapy.all", "git"):
    importlib.import_module(name)
"""


def measure(options: Options) -> Row:
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from servers import git_server, make_certificate

    rounds = options.rounds or ROUNDS
    with host(options.guests[0] if options.guests else GUESTS) as made:
        repository = made.folder / "repository"
        shutil.copytree(made.site, repository / "state")
        git(repository, "init", "--quiet", "--initial-branch=main")
        git(repository, "add", "--all")
        git(repository, "commit", "--quiet", "-m", "site")
        local = of_repository(made, rounds, str(repository), "a local path")
        with git_server(made.folder, make_certificate(made.folder)) as server:
            remote = of_repository(made, rounds, server.url("repository/.git"), "https", server.certificate)
    return Row("run", (local, remote))


def of_repository(made: Host, rounds: int, url: str, called: str, certificate: Path | None = None) -> Table:
    var = made.folder / f"var-{called.split()[-1]}"
    config = made.folder / "config.yaml"
    ca_file = f"ca_file: {certificate}\n" if certificate else ""
    config.write_text(f"connect: {made.lab.uri}\nrepo: {url}\nvar: {var}\n{ca_file}")
    unattended = [sys.executable, "-m", "reconciler", "--config", str(config), "run"]
    mirror = made.folder / "mirror"
    shutil.rmtree(mirror, ignore_errors=True)
    run(["git", "init", "--quiet", "--bare", str(mirror)])
    fetch = ["git", "-C", str(mirror), "fetch", "--quiet", url, "+main:main"]
    environ = {"GIT_SSL_CAINFO": str(certificate)} if certificate else {}

    def beside() -> Sample:
        fetched, compared = process(fetch, env=environ), process(made.ours("diff"))
        cpu, peak = fetched.cpu + compared.cpu, max(fetched.peak, compared.peak)
        return replace(fetched, seconds=fetched.seconds + compared.seconds, cpu=cpu, peak=peak)

    ways = {
        OURS: lambda: process(unattended),
        BESIDE: beside,
        EVERYTHING: lambda: process([sys.executable, "-c", IMPORTS]),
    }
    return table(f"A run with nothing to do, the repository at {called}", interleaved(ways, rounds), rounds)
