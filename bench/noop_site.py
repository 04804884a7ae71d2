"""The small site of the benchmarks that have nothing to do."""

from __future__ import annotations

from pathlib import Path

GUESTS = 10
SITE = "filters: {guest: {ipv4: guest-ipv4, dual: guest-dual-stack, ipv6: guest-ipv6, none: guest-locked}}\n"
GUEST = 'name: {name}\ninterfaces:\n  - {{mac: "{mac}", filter: guest, ipv4: [{address}], ipv6: none}}\n'


def write_site(folder: Path, guests: int = GUESTS) -> None:
    example = Path(__file__).parent.parent / "state/filters"
    (folder / "guests").mkdir(parents=True)
    (folder / "filters").mkdir()
    (folder / "site.yaml").write_text(SITE)
    for path in example.glob("*.xml"):
        (folder / "filters" / path.name).write_bytes(path.read_bytes())
    for number in range(1, guests + 1):
        text = GUEST.format(name=f"g{number}", mac=mac(number), address=address(number))
        (folder / "guests" / f"g{number}.yaml").write_text(text)


def mac(number: int) -> str:
    return f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"


def address(number: int) -> str:
    return f"10.0.{number >> 8}.{number & 255}"
