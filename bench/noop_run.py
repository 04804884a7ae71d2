"""A run with nothing to do, beside `git fetch` and the same diff without a repository; and what it keeps out of memory.

Whole processes, in turn, on one private lab with ten guests; prints medians and ratios. Run it by `make bench`.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from noop_site import GUESTS, mac, write_site

from reconciler.host.processes import run
from reconciler.lab.guests import NicSpec, tiny_domain_xml
from reconciler.lab.labs import lab

ROUNDS = 9
EVERYTHING = """
import importlib, pkgutil, resource, reconciler
for found in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
    if "__main__" not in found.name:
        importlib.import_module(found.name)
for name in ("gitlab", "deepdiff", "pydantic", "yaml", "rich.table", "scapy.all", "git"):
    importlib.import_module(name)
"""


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from servers import git_server, make_certificate

    with lab() as private, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_site(folder / "site/state")
        for number in range(1, GUESTS + 1):
            xml = folder / "guest.xml"
            xml.write_text(tiny_domain_xml(f"g{number}", [NicSpec(mac(number))]))
            run(["virsh", "--connect", private.uri, "define", str(xml)])
        git(folder / "site", "init", "--quiet", "--initial-branch=main")
        git(folder / "site", "add", "--all")
        git(folder / "site", "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "--quiet", "-m", "site")
        measure(private.uri, folder, str(folder / "site"), "a local path")
        with git_server(folder, make_certificate(folder)) as server:
            measure(private.uri, folder, server.url("site/.git"), "https", server.certificate)


def measure(uri: str, folder: Path, url: str, called: str, certificate: Path | None = None) -> None:
    config = folder / "config.yaml"
    var = folder / f"var-{called.split()[-1]}"
    ca_file = f"ca_file: {certificate}\n" if certificate else ""
    config.write_text(f"connect: {uri}\nrepo: {url}\nvar: {var}\n{ca_file}")
    command = [sys.executable, "-m", "reconciler"]
    unattended = [*command, "--config", str(config), "run"]
    diff = [*command, "--connect", uri, "--site", str(folder / "site/state"), "diff"]
    seconds(unattended)
    mirror = folder / "mirror"
    shutil.rmtree(mirror, ignore_errors=True)
    run(["git", "init", "--quiet", "--bare", str(mirror)])
    fetch = ["git", "-C", str(mirror), "fetch", "--quiet", url, "+main:main"]
    environment = {"GIT_SSL_CAINFO": str(certificate)} if certificate else {}
    seconds(fetch, environment)
    rounds = [(seconds(unattended), seconds(fetch, environment) + seconds(diff)) for _ in range(ROUNDS)]
    ours, floor = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(one / other for one, other in rounds)
    print(f"{called}: no-op run {ours:.3f} s, git fetch and no-op diff {floor:.3f} s, ratio {ratio:.2f}")
    kept, everything = peak(unattended), peak([sys.executable, "-c", EVERYTHING])
    print(f"{called}: {kept >> 10} MiB at its peak, every module {everything >> 10} MiB")


def git(folder: Path, *words: str) -> None:
    run(["git", "-C", str(folder), *words])


def seconds(argv: list[str], environment: dict[str, str] | None = None) -> float:
    started = time.monotonic()
    ended = subprocess.run(argv, check=False, capture_output=True, env=os.environ | (environment or {}))
    assert ended.returncode == 0, ended.stderr.decode()
    return time.monotonic() - started


def peak(argv: list[str]) -> int:
    """KiB of memory of a process and no other, by what the kernel tells of it when it ends."""
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    return usage.ru_maxrss


main()
