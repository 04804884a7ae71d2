"""One examination of a site: sort the files, read each, then look at them together."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from reconciler.load.compile import build, check_all, check_identities
from reconciler.load.draft import GuestDraft
from reconciler.load.files import GuestFile, SiteFile
from reconciler.load.filters import read_filters
from reconciler.load.findings import Findings
from reconciler.load.known import Read, faultless, path_of, recall
from reconciler.load.shape import Model, Shaped, shape
from reconciler.load.siteview import SiteView
from reconciler.load.terms import Terms
from reconciler.load.yamlfile import read_yaml
from reconciler.model.faultless import Faultless, Memory
from reconciler.model.origin import Origin
from reconciler.model.problem import Oddity, Problem
from reconciler.model.site import Desired

SITE = "site.yaml"
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
SUFFIXES = {"guests": ".yaml", "filters": ".xml"}


@dataclass(slots=True)
class _Tree:
    """The files that make the site, by their part in it."""

    guests: dict[str, bytes] = field(default_factory=dict)
    filters: dict[str, bytes] = field(default_factory=dict)


def examine_files(
    files: Mapping[str, bytes], source: str, odd: Iterable[Oddity] = (), memory: Memory | None = None
) -> tuple[Desired | None, tuple[Problem, ...]]:
    findings = Findings()
    for oddity in odd:
        findings.report(oddity.id, Origin(oddity.path), oddity.message)
    tree = _sort(files, findings)
    site = _read_site(files, findings)
    filters = read_filters(tree.filters, findings)
    terms = Terms(site, filters) if memory is not None and site is not None and not site.node.damaged else None
    guests = _read_guests(tree, recall(memory, tree.guests, terms) if memory and terms else {}, findings)
    check_all(site, guests, filters, findings)
    if memory is not None and site is not None and terms is not None:
        guests = faultless(guests, site, filters, terms, findings.paths())
        memory.keep(tree.guests, {path_of(guest): guest for guest in guests if isinstance(guest, Faultless)})
    problems = findings.in_order()
    if site is None or findings.has_errors:
        return None, problems
    return replace(build(site, guests, filters, source), warnings=problems), problems


def _read_guests(tree: _Tree, known: Mapping[str, Faultless], findings: Findings) -> list[Read]:
    guests: list[Read] = []
    for path in sorted(tree.guests):
        found = known.get(path) or _read_guest(path, tree.guests[path], findings)
        guests += [found] if found else []
    check_identities(guests, findings)
    return guests


def _sort(files: Mapping[str, bytes], findings: Findings) -> _Tree:
    tree = _Tree()
    for path, content in files.items():
        folder, _, name = path.partition("/")
        if content.startswith(LFS_POINTER):
            findings.report("lfs-pointer", Origin(path), f"{path} holds a pointer of Git LFS instead of its content")
            continue
        if folder == "domains" and name.endswith(".xml"):
            findings.report("domains-unsupported", Origin(path), "creating guests from the repository is not supported")
        if not name or _is_harmless(name):
            continue
        if folder not in SUFFIXES:
            _refuse_misspelt_folder(path, folder, findings)
        elif "/" in name or not name.endswith(SUFFIXES[folder]):
            findings.report("file-name", Origin(path), f"{path} is not {folder}/NAME{SUFFIXES[folder]}")
        elif folder == "guests":
            tree.guests[path] = content
        else:
            tree.filters[path] = content
    return tree


def _refuse_misspelt_folder(path: str, folder: str, findings: Findings) -> None:
    """Other folders are nobody's business; but one that is nearly guests/ would silently hold no guest."""
    meant = difflib.get_close_matches(folder.casefold(), SUFFIXES, n=1, cutoff=0.85)
    if meant and path.endswith((".yaml", ".yml", ".xml")):
        findings.report("file-name", Origin(path), f"the folder {folder} is not {meant[0]}")


def _is_harmless(name: str) -> bool:
    return name.rpartition("/")[2].startswith(".") or name == "README.md"


def _read_site(files: Mapping[str, bytes], findings: Findings) -> SiteView | None:
    if SITE not in files:
        findings.report("site-missing", Origin(SITE), "there is no site.yaml")
        return None
    shaped = _read(SiteFile, SITE, files[SITE], findings)
    return SiteView(shaped) if shaped else None


def _read_guest(path: str, content: bytes, findings: Findings) -> GuestDraft | None:
    return _faultless_guest(path, content) or _parse_guest(path, content, findings)


@lru_cache(maxsize=10_000)
def _faultless_guest(path: str, content: bytes) -> GuestDraft | None:
    """Remembered, because two commits of a site that are compared have nearly all their guests in common."""
    findings = Findings()
    guest = _parse_guest(path, content, findings)
    return None if findings.in_order() else guest


def _parse_guest(path: str, content: bytes, findings: Findings) -> GuestDraft | None:
    stem = path.removeprefix("guests/").removesuffix(".yaml")
    node = read_yaml(path, content, findings)
    if node is None:
        return None
    name = node.at("name")
    given = name.data
    shaped = shape(GuestFile, node, findings, {"name": stem})
    guest = GuestDraft.of(shaped) if shaped else None
    called = guest.file.name if guest else given
    if isinstance(called, str) and called != stem and not findings.has_any_at(name.origin):
        message = f"the guest is called {called}, its file {stem}.yaml"
        hint = f"rename the file to {called}.yaml, or the guest to {stem}"
        findings.report("guest-file-name", name.origin, message, hint)
    return guest


def _read(model: type[Model], path: str, content: bytes, findings: Findings) -> Shaped[Model] | None:
    node = read_yaml(path, content, findings)
    return shape(model, node, findings, {}) if node else None
