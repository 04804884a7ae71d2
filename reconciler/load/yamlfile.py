"""YAML to nodes: one pass over the parser's events, so limits hold before anything is built.

Composing first would recurse in C for every level and expand every alias; a file of 25,000 brackets or of a
few nested aliases then ends the process or fills its memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import yaml

from reconciler.load.findings import Findings, Invalid, shown
from reconciler.load.node import Node, Place
from reconciler.load.scalar import plain_value, refuse_misread
from reconciler.load.text import read_text
from reconciler.model.origin import Origin

if TYPE_CHECKING:
    from yaml.events import Event, NodeEvent

MAX_DEPTH = 32
MAX_NODES = 100_000
CORE_TAGS = "tag:yaml.org,2002:"

_Loader = cast("type[yaml.SafeLoader]", getattr(yaml, "CSafeLoader", yaml.SafeLoader))


class _UnusableError(Exception):
    """A problem was reported that makes the rest of the file meaningless."""


def read_yaml(path: str, content: bytes, findings: Findings) -> Node | None:
    """The file as nodes, or None when its problems leave nothing to look at."""
    text = read_text(path, content, findings)
    if text is None:
        return None
    builder = _Builder(path, findings)
    try:
        for event in _events(path, text, findings):
            builder.accept(event)
    except _UnusableError:
        return None
    return builder.result()


def _events(path: str, text: str, findings: Findings) -> Iterator[Event]:
    try:
        yield from yaml.parse(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        origin = Origin(path, mark.line + 1, mark.column + 1) if mark else Origin(path)
        findings.report("yaml-syntax", origin, f"this is not YAML: {error.problem or error.context}")
        raise _UnusableError from error
    except yaml.YAMLError as error:
        findings.report("yaml-syntax", Origin(path), f"this is not YAML: {' '.join(str(error).split())}")
        raise _UnusableError from error


class _Builder:
    """Builds the tree of one document and reports what a site's YAML may not contain."""

    def __init__(self, path: str, findings: Findings) -> None:
        self.path = path
        self.findings = findings
        self.root: Node | None = None
        self.open: list[Node] = []
        self.pending_keys: list[tuple[str, Place] | None] = []
        self.nodes = 0
        self.documents = 0
        self.misleading = False

    def accept(self, event: Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.MappingStartEvent):
            self._start(event, {})
        elif isinstance(event, yaml.SequenceStartEvent):
            self._start(event, [])
        elif isinstance(event, yaml.CollectionEndEvent):
            self.open.pop()
            self.pending_keys.pop()
        elif isinstance(event, yaml.AliasEvent):
            self._refuse_alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._document(event)

    def result(self) -> Node | None:
        if self.misleading:
            return None
        if self.root is None or self.root.data is None:
            self.findings.report("yaml-empty", Origin(self.path), "the file holds nothing")
            return None
        return self.root

    def _document(self, event: Event) -> None:
        self.documents += 1
        if self.documents > 1:
            self._fail("yaml-documents", _place(event), "a second document starts here")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._check_node(event)
        text, place = event.value, _place(event)
        is_plain = not event.style
        if is_plain:
            try:
                refuse_misread(text)
            except Invalid as problem:
                self.findings.report_invalid(problem, Origin(self.path, *place))
        if self._expects_key():
            self._key(text, place)
        else:
            self._attach(Node(self.path, place, plain_value(text) if is_plain else text))

    def _start(self, event: NodeEvent, empty: dict[str, object] | list[object]) -> None:
        self._check_node(event)
        if self._expects_key():
            self._fail("yaml-key", _place(event), "a list or mapping cannot be a key")
        if len(self.open) >= MAX_DEPTH:
            self._fail("yaml-too-deep", _place(event), f"more than {MAX_DEPTH} lists and mappings are nested")
        node = Node(self.path, _place(event), empty)
        self._attach(node)
        self.open.append(node)
        self.pending_keys.append(None)

    def _expects_key(self) -> bool:
        return bool(self.open) and isinstance(self.open[-1].data, dict) and self.pending_keys[-1] is None

    def _key(self, key: str, place: Place) -> None:
        first = self.open[-1].keys.get(key)
        if first:
            self.findings.report(
                "duplicate-key",
                Origin(self.path, *place),
                f"the key {shown(key)} is already set in line {first[0]}",
            )
        self.pending_keys[-1] = (key, place)

    def _attach(self, node: Node) -> None:
        if not self.open:
            self.root = node
            return
        parent, pending = self.open[-1], self.pending_keys[-1]
        if pending is None:
            parent.add_item(node)
        elif pending[0] not in parent.fields:
            parent.add_field(*pending, node)
        self.pending_keys[-1] = None

    def _refuse_alias(self, event: yaml.AliasEvent) -> None:
        self._mislead("yaml-alias", _place(event), f"the alias *{event.anchor} stands for a value elsewhere")
        place = _place(event)
        if self._expects_key():
            self._key(f"*{event.anchor}", place)
        else:
            self._attach(Node(self.path, place, None))

    def _check_node(self, event: NodeEvent) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self._fail("yaml-too-large", _place(event), f"the file has more than {MAX_NODES} values")
        if event.anchor:
            self._mislead("yaml-alias", _place(event), f"the anchor &{event.anchor} names a value")
        tag = getattr(event, "tag", None)
        if tag:
            tag = tag.replace(CORE_TAGS, "!!")
            self._mislead("yaml-tag", _place(event), f"the tag {shown(tag)} changes the type of a value")

    def _mislead(self, id: str, place: Place, message: str) -> None:
        self.misleading = True
        self.findings.report(id, Origin(self.path, *place), message)

    def _fail(self, id: str, place: Place, message: str) -> None:
        self.findings.report(id, Origin(self.path, *place), message)
        raise _UnusableError


def _place(event: Event) -> Place:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)
