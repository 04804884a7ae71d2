"""A small site and edits of its files, of which many are faults."""

from __future__ import annotations

from hypothesis import strategies as st

Files = dict[str, bytes]
Edit = tuple[str, bytes | None]

_PARTS = {
    "segments": "{lan: {bridge: br0, ipv4: [10.0.0.0/24], ipv6: ['2001:db8::/48']}, dmz: {bridge: br1}}",
    "filters": "{guest: {ipv4: plain, dual: dual, none: locked}}",
    "defaults": "{filter: guest}",
    "hosts": "{kvm01: {}}",
}


def _site(*changes: tuple[str, str, str], more: str = "") -> str:
    """The first site with something else in one place."""
    parts = dict(_PARTS)
    for part, old, new in changes:
        assert old in parts[part]
        parts[part] = parts[part].replace(old, new)
    return "".join(f"{part}: {text}\n" for part, text in parts.items()) + more


SITES = (
    _site(),
    _site(("segments", "48']", "48'], gateways: [10.0.0.20]")),
    _site(("segments", "br1", "br1, gateways: [10.0.0.21, 'fe80::5054:ff:fe00:116']")),
    _site(("segments", "br1", "br0, gateways: ['fe80::5054:ff:fe00:116']")),
    _site(("segments", "br0", "br2")),
    _site(("segments", "0/24", "0/27")),
    _site(("segments", "0/24", "0/23")),
    _site(("segments", "dmz", "other")),
    _site(("filters", "plain", "other")),
    _site(("filters", "none: locked", "ipv6: locked")),
    _site(("filters", "none: locked", "none: locked, roles: [router]")),
    _site(("filters", "none: locked", "none: missing")),
    _site(("filters", "}}", "}, plain: other}")),
    _site(("defaults", "guest", "plain")),
    _site(("defaults", "guest", "missing")),
    _site(("defaults", "filter: guest", "")),
    _site(("defaults", "}", ", attach: direct}")),
    _site(("defaults", "}", ", attach: nonsense}")),
    _site(("defaults", "}", ", health: [{ping: own}]}")),
    _site(("hosts", "kvm01", "kvm02")),
    _site(("hosts", "}}", "}, kvm02: {}}")),
    _site(more="ignore: [{object: guest/a, field: autostart, reason: some}, {object: guest/q, field: x, reason: y}]\n"),
    _site(more="policy: {forbid_widening: true}\n"),
    _site(more="nonsense: 1\n"),
    "[",
)
_RULE = "<rule action='accept' direction='out' priority='500'>{}</rule>"
RULES = (
    "<ip srcipaddr='$IP' srcipmask='$IPMASK'/>",
    "<ip srcipaddr='$IP'/>",
    "<ip match='no' srcipaddr='$IP'/>",
    "<tcp srcipaddr='$IP'/>",
    "<ip srcipaddr='$IP' dstipaddr='$EXTRA'/>",
    "<ipv6 srcipaddr='$IPV6' srcipmask='$IPV6MASK'/>",
    "<ip srcipaddr='$SEGMENT' srcipmask='$SEGMENTMASK'/>",
    "<ip srcipaddr='$IP[@1]'/>",
    "<ip nonsense='1'/>",
    "<ip",
)
REFERENCES = ("", *(f"<filterref filter='{name}'/>" for name in ("plain", "other", "dual", "missing")))
ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4/30", "10.0.0.0/29", "10.0.0.7", "10.0.1.1", "10.0.0", "::1")
ADDRESSES6 = ("2001:db8::1", "2001:db8::2", "2001:db8::/64", "fe80::1", "2001:db9::1", "10.0.0.1")
NAMES = ("a", "b", "c", "A", "d")
MACS = ("52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03", "52:55:00:00:00:01", "53:54:00:00:00:01")
WHOLE = {
    "hosts": ("[kvm01]", "[kvm02, kvm01]", "[kvm01, kvm01]", "[nowhere]"),
    "power": ("running", "sideways"),
    "autostart": ("true", "yes please"),
    "group": ("pair",),
    "hold": ("true",),
    "health": ("[{ping: own}]", "[{tcp: '10.0.0.2:22'}]", "[{agent: true, ping: own}]"),
}
OF_NIC = {
    "segment": ("lan", "dmz", "nowhere"),
    "bridge": ("br0", "br1"),
    "filter": ("guest", "plain", "other", "missing", "clean-traffic"),
    "link_local": ("none", "'fe80::1'", "'fe80::5054:ff:fe00:1'"),
    "parameters": ("{EXTRA: 10.0.0.9}", "{EXTRA: [10.0.0.9, 10.0.0.8]}", "{EXTRA: word}", "{IP: 10.0.0.9}"),
    "attach": ("guard", "direct"),
}


def _some(fields: dict[str, tuple[str, ...]]) -> st.SearchStrategy[dict[str, str]]:
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(words) for name, words in fields.items()})


def _addresses(words: tuple[str, ...]) -> st.SearchStrategy[str]:
    listed = st.lists(st.sampled_from(words), min_size=1, max_size=3).map(lambda each: "[" + ", ".join(each) + "]")
    return st.just("none") | listed


_FEW = st.sampled_from(({}, {}, {}, {"segment": "lan"}))
_NIC = st.builds(
    lambda mac, four, six, more: {"mac": f"'{mac}'", "ipv4": four, "ipv6": six, **more},
    st.sampled_from(MACS),
    _addresses(ADDRESSES[:4]) | _addresses(ADDRESSES),
    st.just("none") | _addresses(ADDRESSES6),
    _FEW | _some(OF_NIC),
)


def guest_text(name: str, whole: dict[str, str], nics: list[dict[str, str]], comment: str) -> bytes:
    lines = [comment, f"name: {name}", *(f"{field}: {value}" for field, value in whole.items()), "interfaces:"]
    for nic in nics:
        lines += [
            f"  {'-' if number == 0 else ' '} {name}: {value}" for number, (name, value) in enumerate(nic.items())
        ]
    return "\n".join(lines).encode()


@st.composite
def _guest_edits(draw: st.DrawFn) -> Edit:
    stem = draw(st.sampled_from(NAMES))
    name = draw(st.sampled_from((stem, stem, stem, stem, *NAMES)))
    whole = draw(st.just({}) | _some(WHOLE))
    nics = draw(st.lists(_NIC, min_size=1, max_size=2))
    return f"guests/{stem}.yaml", guest_text(name, whole, nics, draw(st.sampled_from(("", "#"))))


def filter_text(name: str, rules: list[str], reference: str) -> bytes:
    inner = "".join(map(_RULE.format, rules)) + reference
    return f"<filter name='{name}' chain='root'>{inner}</filter>".encode()


@st.composite
def _filter_edits(draw: st.DrawFn) -> Edit:
    stem = draw(st.sampled_from(("plain", "other", "dual")))
    rules = draw(st.lists(st.sampled_from(RULES[:4]) | st.sampled_from(RULES), max_size=2))
    name = draw(st.sampled_from((stem, stem, stem, "misnamed")))
    return f"filters/{stem}.xml", filter_text(name, rules, draw(st.sampled_from(REFERENCES)))


EDITS: st.SearchStrategy[Edit] = st.one_of(
    _guest_edits(),
    _guest_edits(),
    _filter_edits(),
    st.tuples(st.just("site.yaml"), st.sampled_from(SITES).map(str.encode)),
    st.tuples(st.sampled_from([f"guests/{name}.yaml" for name in NAMES]), st.none()),
    st.tuples(st.sampled_from(["filters/other.xml", "guests/deep/x.yaml", "guests/x.yml"]), st.none() | st.just(b"x")),
)


def start_files() -> Files:
    """Every guest of it is valid, and has to be remembered."""
    files = {"site.yaml": SITES[0].encode()}
    files |= {f"filters/{name}.xml": filter_text(name, [RULES[0]], "") for name in ("plain", "other")}
    files |= {
        "filters/dual.xml": filter_text("dual", [RULES[0], RULES[5]], ""),
        "filters/locked.xml": filter_text("locked", [], ""),
    }
    for number, name in enumerate(NAMES[:3]):
        nic = {"mac": f"'{MACS[number]}'", "segment": "lan", "ipv4": f"[{ADDRESSES[number]}]", "ipv6": "none"}
        files[f"guests/{name}.yaml"] = guest_text(name, {}, [nic], "")
    return files


def edited(files: Files, edit: Edit) -> Files:
    path, content = edit
    rest = {name: found for name, found in files.items() if name != path}
    return rest if content is None else {**rest, path: content}
