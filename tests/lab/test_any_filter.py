"""Any filter that libvirt takes: a site holds it, apply makes it so, and nothing differs, also after a restart.

Or `check` has refused it, and its reason is true: shown for each problem by libvirt itself and the kernel's rules.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
import pytest
from hypothesis import given, seed, settings
from samples.everyday_filters import everyday_filters
from samples.findings import FINDINGS
from samples.odd_filters import DIFFERENT, ODD_FILTERS, REFUSED
from sizes import examples
from strategies import filter_texts

from reconciler.domain.binding import binding_xml
from reconciler.lab import labs
from reconciler.lab.handle import Lab
from reconciler.lab.ports import Port, add_port
from reconciler.model.filter import FilterRef, canonical_parameters
from reconciler.model.kernel import Backend, KernelRule
from reconciler.model.live import Binding
from reconciler.nwfilter.canonical_rules import canonical
from reconciler.nwfilter.document import Document, Element, read_document
from reconciler.nwfilter.ebtables import parse_ebtables
from reconciler.nwfilter.protocols import COMPANIONS

pytestmark = pytest.mark.lab

MAC = "52:54:00:00:00:01"
SHIPPED = sorted(Path("/usr/share/libvirt/nwfilter").glob("*.xml")) or sorted(
    Path("/etc/libvirt/nwfilter").glob("*.xml")
)
PROOFS_OF_AN_ID = 4
VALUES = {
    "IP": ("10.0.0.1", "10.0.0.2"), "IPMASK": ("32", "24"), "IPV6": ("2001:db8::1", "fe80::1"),
    "IPV6MASK": ("128", "64"), "A": ("10.0.0.7",), "PEERS": ("10.0.0.9",), "AWAY": ("10.0.0.8",),
    "CTRL_IP_LEARNING": ("none",),
}  # fmt: skip
VARIABLES = canonical_parameters((name, value) for name, values in VALUES.items() for value in values)


def texts() -> dict[str, str]:
    """Hundreds of filters, by the name that each has in the site."""
    generated: list[str] = []

    @seed(20240607)
    @settings(max_examples=examples(110, 3000), database=None)
    @given(filter_texts())
    def collect(text: str) -> None:
        generated.append(text.replace("'nobody'", "'allow-arp'"))

    collect()
    odd = [text for case in ODD_FILTERS for text in (case.odd, case.plain)]
    different = [text for _, *pair in DIFFERENT for text in pair]
    marked = [text.replace("¦", "") for text in (*(text for _, text in FINDINGS), *(case.text for case in REFUSED))]
    shipped = [path.read_text() for path in SHIPPED]
    unique = dict.fromkeys((*shipped, *everyday_filters(), *odd, *different, *marked, *generated))
    return {f"f{number:04}": _named(text, f"f{number:04}") for number, text in enumerate(unique)}


def _named(text: str, name: str) -> str:
    """The first `name` of the root element; texts without one stay, and are refused for it."""
    return re.sub(r"""(<filter\b[^>]*?\bname\s*=\s*)(["'])(?:[A-Za-z0-9_-]+)\2""", rf"\1\2{name}\2", text, count=1)


@dataclass
class Judge:
    """libvirt and the kernel of a lab, asked about single filters."""

    lab: Lab
    connection: libvirt.virConnect
    port: Port

    def restart(self) -> None:
        self.connection.close()
        self.lab.restart_daemon()
        self.connection = libvirt.open(self.lab.uri)

    def dump(self, text: str) -> str | None:
        """What libvirt holds of a text, None where it refuses it; without its uuid."""
        try:
            defined = self.connection.nwfilterDefineXML(text)
        except libvirt.libvirtError:
            return None
        try:
            return re.sub("<uuid>.*?</uuid>", "", str(defined.XMLDesc(0)))
        finally:
            defined.undefine()

    def meaning(self, text: str) -> set[tuple[str, KernelRule]] | None:
        """The kernel's rules without what every packet fulfils, each once; None where libvirt cannot make them."""
        lines = self.rules(text)
        if lines is None:
            return None
        saved = "\n".join(["*nat", *(line for line in lines if not line.startswith(":libvirt")), "COMMIT"])
        ruleset = canonical(parse_ebtables(saved))
        return {(chain.name, rule) for chain in ruleset.chains for rule in chain.rules}

    def rules(self, text: str) -> list[str] | None:
        """The kernel's rules of a port with the filter, None where libvirt cannot make them."""
        defined = self.connection.nwfilterDefineXML(text)
        try:
            binding = Binding(self.port.name, "guest", MAC, FilterRef(defined.name(), VARIABLES))
            bound = self.connection.nwfilterBindingCreateXML(binding_xml(binding, str(uuid.uuid4())))
        except libvirt.libvirtError:
            return None
        else:
            saved = [self.lab.run([tool]).stdout for tool in ("ebtables-save", "iptables-save", "ip6tables-save")]
            bound.delete()
            return [line for each in saved for line in each.splitlines() if self.port.name in line]
        finally:
            defined.undefine()


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with labs.lab() as lab:
        connection = libvirt.open(lab.uri)
        found = Judge(lab, connection, add_port(lab, "p0", mac=MAC))
        yield found
        found.connection.close()


@dataclass
class Desk:
    """A site in a folder, and the command on a lab."""

    lab: Lab
    site: Path
    var: Path

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        where = ["--connect", self.lab.uri, "--site", str(self.site), "--host", "kvm01", "--var", str(self.var)]
        argv = [sys.executable, "-m", "reconciler", *where, *words]
        return subprocess.run(argv, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def write(self, filters: Mapping[str, str]) -> None:
        (self.site / "filters").mkdir(parents=True)
        (self.site / "site.yaml").write_text("hosts: {kvm01: {}}\n")
        for name, text in filters.items():
            (self.site / "filters" / f"{name}.xml").write_bytes(text.encode())

    def problems(self) -> list[dict[str, Any]]:
        ended = self.command("--output", "json", "check")
        found: list[dict[str, Any]] = json.loads(ended.stdout)["problems"]
        return [problem for problem in found if problem["severity"] == "error"]

    def assert_nothing_differs(self) -> None:
        ended = self.command("--output", "json", "diff")
        assert json.loads(ended.stdout)["drift"] == []
        assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="module")
def desk(judge: Judge, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """With everything written into the site."""
    folder = tmp_path_factory.mktemp("any")
    found = Desk(judge.lab, folder / "site", folder / "var")
    found.write(texts())
    return found


@pytest.fixture(scope="module")
def refused(desk: Desk) -> dict[str, list[dict[str, Any]]]:
    """The problems of all that `check` refuses, by the filter's name; these are taken out of the site."""
    found: dict[str, list[dict[str, Any]]] = {}
    while problems := desk.problems():
        for problem in problems:
            found.setdefault(Path(problem["path"]).stem, []).append(problem)
        for name in found:
            (desk.site / "filters" / f"{name}.xml").unlink(missing_ok=True)
    return found


def test_libvirt_takes_all_that_check_takes(judge: Judge, refused: Mapping[str, object]) -> None:
    taken = [text for name, text in texts().items() if name not in refused]
    assert len(taken) > 400
    assert [text for text in taken if judge.dump(text) is None] == []


def test_a_site_holds_it_and_nothing_differs_after_apply_nor_after_a_restart(
    judge: Judge, desk: Desk, refused: Mapping[str, object]
) -> None:
    ended = desk.command("apply")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    desk.assert_nothing_differs()
    judge.restart()
    desk.assert_nothing_differs()


@dataclass(frozen=True)
class Refusal:
    """One problem of a filter, with the text that it is about."""

    text: str
    problem: dict[str, Any]

    @property
    def place(self) -> tuple[Document, Element, str | None]:
        document = read_document(self.text)
        wanted = (self.problem["line"], self.problem["column"])
        for element, attribute in _places(document.root):
            origin = document.origin(element, attribute)
            if (origin.line, origin.column) == wanted:
                return document, element, attribute
        raise AssertionError(f"nothing is at {wanted} of {self.text}")

    def without_it(self) -> str:
        """The text without the attribute or the element that the problem names."""
        document, element, attribute = self.place
        if attribute is not None:
            return _without_attributes(document, element, {attribute})
        return _without_element(document, element)

    def without_its_text(self) -> str:
        _, element, _ = self.place
        return self.text.replace(element.text.strip(), "")

    def without(self, *names: str) -> str:
        document, element, _ = self.place
        return _without_attributes(document, element, set(names))


def _places(element: Element) -> Iterator[tuple[Element, str | None]]:
    for attribute in element.attributes:
        yield element, attribute
    yield element, None
    for child in element.children:
        yield from _places(child)


def _without_attributes(document: Document, element: Element, names: set[str]) -> str:
    source = document.source
    for name in sorted(names & element.attributes.keys(), key=lambda n: -document.value_span(element, n)[0]):
        start, end = document.value_span(element, name)
        head = re.sub(rb"\s+[\w.:-]+\s*=\s*.$", b"", source[:start], flags=re.DOTALL)
        source = head + source[end + 1 :]
    return source.decode()


def _without_element(document: Document, element: Element) -> str:
    source = document.source.decode()
    start = len(document.source[: element.start].decode())
    tag = re.compile(rf"<[\w.:-]*{element.name}\b[^<>]*(?:/>|>.*?</[\w.:-]*{element.name}>)", re.DOTALL)
    found = tag.match(source, start)
    assert found is not None, source[start:]
    return source[:start] + source[found.end() :]


def dropped(judge: Judge, refusal: Refusal) -> bool:
    """libvirt holds the same without what the problem names."""
    return judge.dump(refusal.text) == judge.dump(refusal.without_it())


def text_dropped(judge: Judge, refusal: Refusal) -> bool:
    return judge.dump(refusal.text) == judge.dump(refusal.without_its_text())


def read_as_another(judge: Judge, refusal: Refusal) -> bool:
    """libvirt prints another value than was written."""
    _, element, attribute = refusal.place
    assert attribute is not None
    return f"{attribute}='{element.attributes[attribute]}'" not in str(judge.dump(refusal.text))


def without_effect(judge: Judge, refusal: Refusal) -> bool:
    """The kernel gets the same rules without what the problem names."""
    rules = judge.rules(refusal.text)
    return rules is not None and rules == judge.rules(refusal.without_it())


def as_without_address(judge: Judge, refusal: Refusal) -> bool:
    """A mask of no bits: no packet is told from another by the address."""
    _, element, attribute = refusal.place
    pairs = dict(COMPANIONS[element.name])
    rules = judge.meaning(refusal.text)
    return rules is not None and rules == judge.meaning(refusal.without(str(attribute), pairs[str(attribute)]))


def sign_lost(judge: Judge, refusal: Refusal) -> bool:
    """libvirt prints the attribute with the other sign, or the sign makes no difference to the kernel."""
    document, element, attribute = refusal.place
    rest = document.source.decode()
    if attribute == "match":
        return dropped(judge, refusal)
    printed = read_document(str(judge.dump(rest)))
    signs = {
        each.attributes.get("match") == "no"
        for each, name in _places(printed.root)
        if name == attribute and each.name == element.name
    }
    written = element.attributes.get("match") == "no"
    return signs == {not written} or judge.rules(rest) == judge.rules(refusal.without("match"))


def no_port(judge: Judge, refusal: Refusal) -> bool:
    """libvirt cannot make the rules of any port."""
    return judge.rules(refusal.text) is None


def odd_mask(judge: Judge, refusal: Refusal) -> bool:
    """ebtables takes a length of IPv6 for the mask whose last byte it is."""
    rules = judge.rules(refusal.text)
    return rules is not None and any(re.search(r"/0\.0\.0\.\d+ ", line) for line in rules)


def matches_nothing(judge: Judge, refusal: Refusal) -> bool:
    """The kernel enters the chain by one ethertype, and the rule asks for another."""
    rules = judge.rules(refusal.text)
    if rules is None:
        return True
    entered = {found[1] for line in rules if (found := re.search(r"-p (\S+) -j [IO]-p0-", line))}
    asked = {found[1] for line in rules if (found := re.search(r"-A [IO]-p0-\S+ (-p \S+|-d BGA)", line))}
    if "BPDU" in refusal.problem["message"]:
        return asked == {"-d BGA"}
    return bool(asked) and bool(entered) and asked.isdisjoint(f"-p {name}" for name in entered)


def not_read_again(judge: Judge, refusal: Refusal) -> bool:
    """libvirt's own text of the filter is none that it reads, or not under this name."""
    printed = judge.dump(refusal.text)
    return printed is None or judge.dump(printed) is None or "/" in str(refusal.place[1].attributes)


def any_of(*proofs: Callable[[Judge, Refusal], bool]) -> Callable[[Judge, Refusal], bool]:
    return lambda judge, refusal: any(proof(judge, refusal) for proof in proofs)


PROOFS: dict[str, Callable[[Judge, Refusal], bool]] = {
    "filter-unknown-element": dropped,
    "filter-unknown-attribute": dropped,
    "filter-stray-text": text_dropped,
    "filter-two-protocols": dropped,
    "filter-parameter-invalid": dropped,
    "filter-priority-ignored": dropped,
    "filter-attribute-overridden": dropped,
    "filter-match-value": dropped,
    "filter-rule-statematch": dropped,
    "filter-rule-priority": dropped,
    "filter-match-lost": sign_lost,
    "filter-ipset": any_of(dropped, without_effect, no_port),
    "filter-attribute-alone": any_of(without_effect, no_port),
    "filter-mask-zero": any_of(as_without_address, no_port),
    "filter-state-empty": any_of(without_effect, no_port),
    "filter-state-ignored": without_effect,
    "filter-boolean": without_effect,
    "filter-variable": any_of(read_as_another, without_effect, no_port),
    "filter-address-ambiguous": any_of(read_as_another, no_port),
    "filter-number-ambiguous": read_as_another,
    "filter-comment-long": read_as_another,
    "filter-family": any_of(no_port, odd_mask),
    "filter-icmp-protocol": no_port,
    "filter-protocol-negated": no_port,
    "filter-reference-empty": no_port,
    "filter-chain-protocol": matches_nothing,
    "filter-name-characters": not_read_again,
    "unknown-reference": no_port,
}
ELSEWHERE = {
    "filter-priority-zero": "test_priority_zero_is_forgotten",
    "filter-ports-negated": "the foretold rules of two negated ports are held to libvirt's in test_expand_oracle",
    "filter-port-protocol": "libvirt 9.0 refuses ports whose protocol comes later in the rule; 11.3 takes them",
    "filter-comment-garbled": "test_canonical_oracle: what libvirt prints at random",
    "xml-doctype": "libvirt expands entities; no filter needs them",
    "filter-file-name": "a file is called like its filter: the reconciler's own order",
    "name-invalid": "a name of a site: the reconciler's own order",
}
"""Ids whose proof is another test's, or that are the site's own rules and say nothing of libvirt."""


def test_what_check_refuses_and_libvirt_takes_is_refused_for_a_true_reason(
    judge: Judge, refused: Mapping[str, list[dict[str, Any]]]
) -> None:
    if judge.lab.system.backend is Backend.NFTABLES:
        pytest.skip("the proofs read the rules of ebtables and iptables")
    all_texts = texts()
    proven: dict[str, int] = {}
    false: list[str] = []
    for name, problems in refused.items():
        if judge.dump(all_texts[name]) is None:
            continue
        for problem in problems:
            id = problem["id"]
            if id in ELSEWHERE or proven.get(id, 0) >= PROOFS_OF_AN_ID:
                continue
            assert id in PROOFS, problem
            if PROOFS[id](judge, Refusal(all_texts[name], problem)):
                proven[id] = proven.get(id, 0) + 1
            elif len(problems) == 1:
                false.append(f"{id}: {problem['message']}: {all_texts[name]}")
    assert false == [], "\n".join(false)
    assert PROOFS.keys() - proven.keys() == set()


def test_priority_zero_is_forgotten(judge: Judge) -> None:
    before = judge.connection.nwfilterDefineXML("<filter name='zero' chain='mac' priority='0'/>").XMLDesc(0)
    judge.restart()
    after = judge.connection.nwfilterLookupByName("zero").XMLDesc(0)
    assert "priority" not in before
    assert "priority='-800'" in after
