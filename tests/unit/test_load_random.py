"""Whatever the files hold: problems, never an exception; and what is valid compiles to parallel lists."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import examples

from reconciler.load import examine, load
from reconciler.model.guest import Interface
from reconciler.model.problem import Severity

STATE = Path(__file__).parents[2] / "state"
EXAMPLE = {p.relative_to(STATE).as_posix(): p.read_bytes() for p in STATE.rglob("*") if p.is_file()}
PATHS = sorted(path for path in EXAMPLE if not path.startswith("schema/"))
CLAUSES = (
    *(b"\t", b"[", b"]", b"{", b"}", b"&a ", b"*a", b"!!str ", b"- ", b": ", b"? ", b"| ", b"'", b'"', b"<<: ", b"#"),
    *(b"none", b"null", b"~", b"[]", b"{}", b"---\n", b"...\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b"%YAML 1.1\n"),
    *("“".encode(), b"name: x\n", b"ipv4: none\n", b"[key]: [list]\n", b"/0", b"::", b"-1", b"9" * 5000, b"[" * 40),
)


def assert_examined(files: dict[str, bytes]) -> None:
    desired, problems = examine(files)
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    assert (desired is None) == bool(errors)
    for problem in problems:
        assert problem.origin.line >= 1 and problem.origin.column >= 1
        assert problem.message and problem.hint and "\n" not in problem.message


@given(st.dictionaries(st.sampled_from(PATHS), st.binary(max_size=200), max_size=4))
@settings(max_examples=examples(30, 7500))
def test_any_bytes(replaced: dict[str, bytes]) -> None:
    assert_examined(EXAMPLE | replaced)


@given(st.sampled_from(PATHS), st.text(max_size=80), st.floats(0, 1), st.floats(0, 0.2))
@settings(max_examples=examples(50, 15000))
def test_mutated_text(path: str, text: str, position: float, length: float) -> None:
    content = EXAMPLE[path]
    start = int(position * len(content))
    end = start + int(length * len(content))
    assert_examined(EXAMPLE | {path: content[:start] + text.encode("utf-8", "replace") + content[end:]})


@given(st.sampled_from(PATHS), st.lists(st.tuples(st.sampled_from(CLAUSES), st.floats(0, 1)), min_size=1, max_size=4))
@settings(max_examples=examples(50, 15000))
def test_mutated_syntax(path: str, insertions: list[tuple[bytes, float]]) -> None:
    content = EXAMPLE[path]
    for clause, position in insertions:
        index = int(position * len(content))
        content = content[:index] + clause + content[index:]
    assert_examined(EXAMPLE | {path: content})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=8), part, max_size=4),
    max_leaves=12,
)
FIELDS = ("name", "hosts", "power", "autostart", "interfaces", "segments", "filters", "defaults", "policy", "mac")
FIELDS += ("ipv4", "ipv6", "segment", "bridge", "filter", "link_local", "parameters", "attach", "list", "[key]")


@given(st.sampled_from(PATHS), st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6))
@settings(max_examples=examples(40, 10000))
def test_values_of_any_type(path: str, values: dict[str, object]) -> None:
    import yaml

    interface = yaml.safe_dump([values], allow_unicode=True).encode()
    assert_examined(EXAMPLE | {path: yaml.safe_dump(values, allow_unicode=True).encode()})
    assert_examined(EXAMPLE | {"guests/any.yaml": b"name: any\ninterfaces:\n" + interface})


@st.composite
def _networks(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Disjoint addresses and prefixes: each in a /24 or a /64 of its own."""
    lengths = st.lists(st.integers(25, 32), min_size=1, max_size=5)
    wide = st.lists(st.integers(65, 128), min_size=1, max_size=5)
    ipv4 = [f"10.0.{n + 1}.128/{length}" for n, length in enumerate(draw(lengths))]
    ipv6 = [f"2001:db8:0:{n + 101}:8000::/{length}" for n, length in enumerate(draw(wide))]
    return ipv4, ipv6


def values(nic: Interface, name: str) -> tuple[str, ...]:
    return tuple(value for variable, value in nic.parameters if variable == name)


@given(_networks(), st.booleans(), st.booleans())
@settings(max_examples=examples(40, 5000))
def test_valid_guests_have_parallel_lists(networks: tuple[list[str], list[str]], ipv4: bool, ipv6: bool) -> None:
    lists = {"ipv4": networks[0] if ipv4 else "none", "ipv6": networks[1] if ipv6 else "none"}
    fields = "".join(f"    {family}: {listed}\n" for family, listed in lists.items())
    text = f'name: any\ninterfaces:\n  - mac: "52:54:00:00:00:01"\n    bridge: br0\n{fields}'
    desired = load(EXAMPLE | {"guests/any.yaml": text.replace("'none'", "none").encode()})
    nic = next(guest for guest in desired.guests if guest.name == "any").interfaces[0]
    assert [str(network) for network in nic.ipv4] == (networks[0] if ipv4 else [])
    for address, mask, expected in (("IP", "IPMASK", nic.ipv4), ("IPV6", "IPV6MASK", nic.ipv6)):
        pairs = zip(values(nic, address), values(nic, mask), strict=True)
        make = IPv4Network if address == "IP" else IPv6Network
        assert tuple(make(f"{first}/{length}") for first, length in pairs) == expected
