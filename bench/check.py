"""What `check` costs: the canonical form of libvirt's own filters, and whole processes over sites of several sizes.

Needs no host; prints medians. Run it by `make bench`.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from check_base import seconds, write_site

from reconciler.nwfilter.parse import parse_filter

STOCK = sorted(Path("/usr/share/libvirt/nwfilter").glob("*.xml")) or sorted(Path("/etc/libvirt/nwfilter").glob("*.xml"))
SIZES = (1, 100, 1000)
ROUNDS = 5
REPEATS = 200


def main() -> None:
    print_canonical_forms()
    for guests in SIZES:
        with tempfile.TemporaryDirectory() as temporary:
            site = write_site(Path(temporary) / "state", guests)
            argv = [sys.executable, "-m", "reconciler", "--site", str(site), "check"]
            taken = [seconds(argv) for _ in range(ROUNDS + 1)][1:]
        print(f"check of {guests} guest{'s' if guests > 1 else ''}: {statistics.median(taken):.2f} s, a whole process")


def print_canonical_forms() -> None:
    taken = {path.stem: milliseconds(path.read_bytes()) for path in STOCK}
    slowest = max(taken, key=taken.__getitem__)
    middle = statistics.median(taken.values())
    print(f"canonical form of {len(STOCK)} stock filters: median {middle:.3f} ms, {slowest} {taken[slowest]:.3f} ms")


def milliseconds(text: bytes) -> float:
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(REPEATS):
            parse_filter(text)
        rounds.append((time.perf_counter() - started) / REPEATS * 1000)
    return statistics.median(rounds)


if __name__ == "__main__":
    main()
