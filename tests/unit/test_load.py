"""From the files of a site to the model."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from reconciler.errors import SiteError
from reconciler.load import examine, load
from reconciler.model.disruption import Disruption
from reconciler.model.guest import Attach, Interface, Power, Role
from reconciler.model.origin import Origin
from reconciler.model.problem import Oddity, Problem
from reconciler.model.site import Desired, Policy

STATE = Path(__file__).parents[2] / "state"

SITE = """\
segments:
  tenants: {bridge: br0, ipv4: [10.0.0.0/8], ipv6: ["2001:db8::/32"]}
  open: {bridge: br1}
filters:
  guest: {dual: dual, ipv4: four, none: locked}
  plain: four
defaults: {filter: guest}
hosts: {kvm01: {}, kvm02: {}}
"""
RULE = "<rule action='accept' direction='out'>{}</rule>"
IPV4_RULE = RULE.format("<ip srcipaddr='$IP' srcipmask='$IPMASK'/>")
IPV6_RULE = RULE.format("<ipv6 srcipaddr='$IPV6' srcipmask='$IPV6MASK'/>")
FILTERS = {"four": IPV4_RULE, "dual": "<filterref filter='four'/>" + IPV6_RULE, "locked": ""}


def site(interface: str, filters: dict[str, str] | None = None, site: str = SITE) -> dict[str, bytes]:
    """A site of one guest with one interface, its fields given one a line."""
    fields = "".join(f"    {line}\n" for line in interface.split("\n"))
    guest = f'name: web01\ninterfaces:\n  - mac: "52:54:00:30:FC:2D"\n{fields}'
    every = {**FILTERS, **(filters or {})}
    return {
        "site.yaml": site.encode(),
        "guests/web01.yaml": guest.encode(),
        **{f"filters/{name}.xml": f"<filter name='{name}'>{body}</filter>".encode() for name, body in every.items()},
    }


def interface_of(files: dict[str, bytes]) -> Interface:
    return load(files).guests[0].interfaces[0]


def values(nic: Interface, name: str) -> tuple[str, ...]:
    return tuple(value for variable, value in nic.parameters if variable == name)


def ids(files: dict[str, bytes]) -> list[str]:
    return [problem.id for problem in examine(files)[1]]


def read(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def example() -> Desired:
    return load(read(STATE), "the example")


def test_example_site_has_no_problem_and_no_warning(example: Desired) -> None:
    assert examine(read(STATE))[1] == ()
    assert example.warnings == ()
    assert example.source == "the example"


def test_example_guests(example: Desired) -> None:
    assert [guest.name for guest in example.guests] == ["db01", "seg01", "web01"]
    assert [guest.interfaces[0].filter for guest in example.guests] == [
        "guest-ipv4",
        "guest-dual-stack",
        "guest-dual-stack",
    ]
    assert [guest.name for guest in example.guests_on("kvm02")] == ["db01", "web01"]


def test_example_web01(example: Desired) -> None:
    web01 = example.guests[2]
    assert (web01.power, web01.autostart, web01.hosts) == (Power.RUNNING, True, ("kvm01", "kvm02"))
    nic = web01.interfaces[0]
    assert (nic.segment, nic.bridge, nic.attach) == ("tenants", "br0", Attach.GUARD)
    assert values(nic, "IP") == ("192.168.0.200", "192.168.0.201", "192.168.0.208")
    assert values(nic, "IPMASK") == ("32", "32", "29")
    assert values(nic, "IPV6") == ("2001:db8::200", "2001:db8::201", "fe80::5054:ff:fe30:fc2d")
    assert values(nic, "IPV6MASK") == ("128", "128", "128")


def test_example_says_which_schema_each_file_has() -> None:
    for path in [STATE / "site.yaml", *(STATE / "guests").iterdir()]:
        first, _, _ = path.read_text().partition("\n")
        schema = first.removeprefix("# yaml-language-server: $schema=")
        assert (path.parent / schema).is_file(), path


def test_load_raises_every_problem_at_once() -> None:
    with pytest.raises(SiteError) as caught:
        load(site("ipv4: []\nipv6: 5\ncolour: blue"))
    assert [problem.id for problem in caught.value.problems] == ["empty-list", "wrong-type", "unknown-field"]


def test_importing_the_package_imports_neither_yaml_nor_pydantic() -> None:
    code = "import sys, reconciler.load; sys.exit(bool({'yaml', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_addresses_keep_the_order_of_the_file_and_link_local_is_last() -> None:
    nic = interface_of(site('segment: tenants\nipv4: [10.0.0.9, 10.0.0.2]\nipv6: ["2001:db8::9", "2001:db8::2"]'))
    assert nic.ipv4 == (IPv4Network("10.0.0.9"), IPv4Network("10.0.0.2"))
    assert nic.ipv6[:2] == (IPv6Network("2001:db8::9"), IPv6Network("2001:db8::2"))
    assert nic.ipv6[2] == IPv6Network("fe80::5054:ff:fe30:fc2d")
    assert nic.mac == "52:54:00:30:fc:2d"
    assert nic.origin == Origin("guests/web01.yaml", 3, 5)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ('link_local: "fe80::1"', ("2001:db8::9", "fe80::1")),
        ("link_local: none", ("2001:db8::9",)),
    ],
)
def test_link_local_can_be_another_or_none(field: str, expected: tuple[str, ...]) -> None:
    nic = interface_of(site(f'ipv4: [10.0.0.9]\nipv6: ["2001:db8::9"]\n{field}'))
    assert tuple(str(network.network_address) for network in nic.ipv6) == expected


def test_link_local_that_is_listed_is_not_added_again() -> None:
    nic = interface_of(site('ipv4: [10.0.0.9]\nipv6: ["fe80::5054:ff:fe30:fc2d", "2001:db8::9"]'))
    assert values(nic, "IPV6") == ("fe80::5054:ff:fe30:fc2d", "2001:db8::9")


@pytest.mark.parametrize(
    ("families", "expected"),
    [
        ('ipv4: [10.0.0.9]\nipv6: ["2001:db8::9"]', "dual"),
        ("ipv4: [10.0.0.9]\nipv6: none", "four"),
        ("ipv4: none\nipv6: none", "locked"),
        ("ipv4: [10.0.0.9]\nipv6: none\nfilter: plain", "four"),
        ("ipv4: [10.0.0.9]\nipv6: none\nfilter: clean-traffic", "clean-traffic"),
    ],
)
def test_families_select_the_filter(families: str, expected: str) -> None:
    assert interface_of(site(families)).filter == expected


def test_locked_interface_has_no_variables() -> None:
    assert interface_of(site("ipv4: none\nipv6: none")).parameters == ()


def test_filter_without_masks_gets_addresses_alone() -> None:
    nic = interface_of(site("ipv4: [10.0.0.9, 10.0.0.10]\nipv6: none\nfilter: clean-traffic"))
    assert nic.parameters == (("IP", "10.0.0.9"), ("IP", "10.0.0.10"))


def test_parameters_are_added_in_libvirts_order() -> None:
    rules = "<filterref filter='four'/>" + RULE.format("<ip srcipaddr='$DHCPSERVER'/>")
    files = site(
        "ipv4: [10.0.0.9]\nipv6: none\nfilter: x\nparameters: {DHCPSERVER: [10.0.0.3, 10.0.0.2]}", {"x": rules}
    )
    assert interface_of(files).parameters == (
        ("DHCPSERVER", "10.0.0.3"),
        ("DHCPSERVER", "10.0.0.2"),
        ("IP", "10.0.0.9"),
        ("IPMASK", "32"),
    )


def test_parameter_inside_the_filter_satisfies_its_include_only() -> None:
    port = RULE.format("<ip protocol='tcp' dstportstart='$PORT'/>")
    inside = "<filterref filter='port'><parameter name='PORT' value='80'/></filterref>"
    fields = "ipv4: [10.0.0.9]\nipv6: none\nfilter: x"
    assert ids(site(fields, {"port": port, "x": "<filterref filter='four'/>" + inside})) == []
    beside = inside + "<filterref filter='four'/><filterref filter='port'/>"
    assert ids(site(fields, {"port": port, "x": beside})) == ["missing-variable"]


def test_interface_overrides_a_parameter_inside_the_filter() -> None:
    inside = "<filterref filter='clean-traffic'><parameter name='IP' value='10.9.9.9'/></filterref>"
    nic = interface_of(site("ipv4: [10.0.0.9]\nipv6: none\nfilter: x", {"x": inside}))
    assert nic.parameters == (("IP", "10.0.0.9"),)


def test_bridge_comes_from_segment_or_interface_or_nobody() -> None:
    addresses = "ipv4: [10.0.0.9]\nipv6: none"
    assert interface_of(site(f"segment: open\n{addresses}")).bridge == "br1"
    assert interface_of(site(f"bridge: br7\n{addresses}")).bridge == "br7"
    assert interface_of(site(addresses)).bridge is None


def test_attach_of_the_interface_wins_over_the_default() -> None:
    direct = SITE.replace("defaults: {", "defaults: {attach: direct, ")
    addresses = "ipv4: [10.0.0.9]\nipv6: none"
    assert interface_of(site(addresses, site=direct)).attach is Attach.DIRECT
    assert interface_of(site(f"{addresses}\nattach: guard", site=direct)).attach is Attach.GUARD


def test_policy() -> None:
    files = site("ipv4: none\nipv6: none", site=SITE + "policy: {disruption: guest-restart, prune: true}\n")
    assert load(files).policy == Policy(Disruption.GUEST_RESTART, prune=True)
    assert load(site("ipv4: none\nipv6: none")).policy == Policy()


def test_empty_site_is_a_site() -> None:
    assert load({"site.yaml": b"{}", "README.md": b"", "schema/x.json": b"", "examples/a/site.yaml": b"?"}) == Desired()


def test_warnings_do_not_refuse_a_site() -> None:
    desired = load(site("ipv4: [10.0.0.9]\nipv6: none\nparameters: {COLOUR: blue}"))
    assert [warning.id for warning in desired.warnings] == ["parameter-unused"]


def test_link_local_addresses_repeat_on_other_bridges_only() -> None:
    fields = 'ipv4: [10.0.0.{n}]\nipv6: ["2001:db8::{n}"]\nlink_local: "fe80::1"\nbridge: br{bridge}'
    files = site(fields.format(n=1, bridge=0))

    def second(bridge: int) -> bytes:
        text = site(fields.format(n=2, bridge=bridge))["guests/web01.yaml"].decode()
        return text.replace("web01", "web02").replace("FC:2D", "FC:2E").encode()

    assert ids(files | {"guests/web02.yaml": second(1)}) == []
    assert ids(files | {"guests/web02.yaml": second(0)}) == ["address-twice"]


def test_problems_of_other_files_show_without_a_usable_site_file() -> None:
    files = site("ipv4: [10.0.0.9, 10.0.0.9]\nipv6: none\nsegment: tenants", site="segments: [\n")
    assert ids(files) == ["address-twice", "yaml-syntax"]


def test_what_is_left_of_a_faulty_file_is_checked_against_the_others() -> None:
    files = site("ipv4: [10.0.0.9, 10.0.0.300]\nipv6: none")
    other = files["guests/web01.yaml"].replace(b"web01", b"web02").replace(b"FC:2D", b"FC:2E").replace(b"300", b"30")
    assert ids(files | {"guests/web02.yaml": other}) == ["address-invalid", "address-twice"]


def test_reader_of_filters_follows_neither_long_chains_nor_unknown_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = {f"f{n:04}": f"<filterref filter='f{n + 1:04}'/>" for n in range(1500)} | {"f1500": ""}
    assert ids(site("ipv4: none\nipv6: none\nfilter: f0000", chain)) == ["reference-chain"]
    from reconciler.load import filters

    def refuse(document: object) -> tuple[None, tuple[Problem, ...]]:
        return None, (Problem("a-new-id", Origin("filters/four.xml", 3, 4), "it is new", "wait"),)

    monkeypatch.setattr(filters, "examine_document", refuse)
    problems = examine(site("ipv4: none\nipv6: none"))[1]
    assert {(p.id, p.message, p.hint) for p in problems} == {("filter-syntax", "it is new", "wait")}


@pytest.mark.parametrize(
    ("interface", "message", "hint"),
    [
        ("ipv4: None\nipv6: none", "a list is expected here, not the text 'None'", "write none in small letters"),
        ("ipv4: [none]\nipv6: none", "'none' is not an IPv4 address or prefix", "write none alone"),
        ("ipv4: none\nipv6: [[a]]", "a text is expected here, not a list", "write one text here"),
        (
            "ipv4: none\nipv6: none\nparameters: [a]",
            "a mapping is expected here, not a list",
            "write it as NAME: VALUE",
        ),
    ],
)
def test_a_hint_says_what_to_write(interface: str, message: str, hint: str) -> None:
    [problem] = examine(site(interface))[1]
    assert problem.message == message and hint in problem.hint


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("policy: {max_down: 0}", "a number of 1 or more is expected here, not 0", "write 1 or more"),
        ('policy: {max_down: "2"}', "a whole number is expected here, not the text '2'", "write it in digits alone"),
        ("ignore: [{object: '', field: x, reason: y}]", "a text that is not empty is expected here", "write what is"),
        ("health: [{agent: false}]", "true is expected here, not the word false", "use one of the words"),
        ("group: DB", "'DB' is not a group's name", "use letters"),
    ],
)
def test_a_hint_fits_what_was_expected(line: str, message: str, hint: str) -> None:
    files = site("ipv4: none\nipv6: none")
    path = "guests/web01.yaml" if line.startswith(("health", "group")) else "site.yaml"
    [problem] = examine(files | {path: files[path] + line.encode() + b"\n"})[1]
    assert problem.message.startswith(message) and problem.hint.startswith(hint)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ipv4: [10.0.0.0/8]", "ipv4: [10.0.0.0/8], gateways: [10.0.0.1, 10.0.0.2, 10.0.0.1]"),
        ("none: locked", "none: locked, roles: [router, router]"),
        ("hosts:", "policy: {windows: [{days: [sat, sat], from: '01:00', to: '02:00', allow: rebuild}]}\nhosts:"),
    ],
)
def test_what_a_list_says_twice_is_told(before: str, after: str) -> None:
    assert ids(site("ipv4: none\nipv6: none", site=SITE.replace(before, after))) == ["item-twice"]


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ('from: "24:00", to: "00:00"', ["window-empty"]),
        ('from: "24:00", to: "01:00"', []),
        ('from: "00:00", to: "24:00"', []),
        # Each host would have a clock of its own.
        ('from: "01:00", to: "02:00", tz: localtime', ["time-zone-unknown"]),
        ('from: "01:00", to: "02:00", tz: right/Europe/Berlin', ["time-zone-unknown"]),
        ('from: "01:00", to: "02:00", tz: Europe', ["time-zone-unknown"]),
    ],
)
def test_windows(window: str, expected: list[str]) -> None:
    policy = f"policy: {{windows: [{{{window}, allow: rebuild}}]}}\n"
    assert ids(site("ipv4: none\nipv6: none", site=SITE + policy)) == expected


def test_guests_names_differ_in_more_than_case() -> None:
    files = site("ipv4: none\nipv6: none")
    shouting = files["guests/web01.yaml"].replace(b"web01", b"WEB01").replace(b"FC:2D", b"FC:2E")
    assert ids(files | {"guests/WEB01.yaml": shouting}) == ["guest-name-twice"]


def test_folders_are_lower_case() -> None:
    assert ids(site("ipv4: none\nipv6: none") | {"Guests/web02.yaml": b""}) == ["file-name"]


def test_files_have_a_largest_size() -> None:
    files = site("ipv4: none\nipv6: none", {"four": f"<!-- {'x' * (1 << 20)} -->"})
    files["guests/web01.yaml"] += b"# " + b"x" * (1 << 20)
    assert ids(files) == ["file-too-large", "file-too-large"]


def test_what_is_no_file_is_a_problem_of_its_path() -> None:
    files = site("ipv4: none\nipv6: none")
    _, problems = examine(files, odd=[Oddity("guests/x.yaml", "odd-file", "guests/x.yaml is a symbolic link")])
    assert [(problem.id, str(problem.origin)) for problem in problems] == [("odd-file", "guests/x.yaml:1:1")]


def test_a_pointer_of_git_lfs_is_no_content() -> None:
    files = site("ipv4: none\nipv6: none")
    files["guests/web01.yaml"] = b"version https://git-lfs.github.com/spec/v1\n"
    assert ids(files) == ["lfs-pointer"]


ROUTER = """\
segments:
  tenants: {bridge: br0, ipv4: [10.0.0.0/8], ipv6: ["2001:db8::/32"], gateways: [10.0.0.1, "2001:db8::ffff"]}
filters:
  router: {ipv4: forwards, roles: [router]}
  guest: {ipv4: four}
"""
FORWARDS = "<filterref filter='four'/>" + RULE.format("<ip srcipaddr='$SEGMENT' srcipmask='$SEGMENTMASK'/>")


def test_a_router_may_own_the_gateways_address_and_knows_its_segment() -> None:
    nic = interface_of(
        site("segment: tenants\nfilter: router\nipv4: [10.0.0.1]\nipv6: none", {"forwards": FORWARDS}, ROUTER)
    )
    assert nic.roles == {Role.ROUTER}
    assert nic.surroundings == (IPv4Network("10.0.0.0/8"), IPv6Network("2001:db8::/32"))
    assert (values(nic, "SEGMENT"), values(nic, "SEGMENTMASK")) == (("10.0.0.0",), ("8",))


def test_no_other_guest_may_own_the_gateways_address() -> None:
    nic = "segment: tenants\nfilter: guest\nipv4: [10.0.0.1]\nipv6: none"
    assert ids(site(nic, {"forwards": FORWARDS}, ROUTER)) == ["gateway-address"]
