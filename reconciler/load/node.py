"""A YAML file as plain data, with the place of every value and key."""

from __future__ import annotations

from reconciler.model.origin import Origin

Location = tuple[int | str, ...]
Place = tuple[int, int]


class Node:
    """One value. `data` is plain Python; `fields` and `items` are the nodes of its children.

    `damaged` says that something faulty was removed from it or from a descendant, so what is left is true
    but not complete.
    """

    __slots__ = ("damaged", "data", "fields", "items", "keys", "path", "place")

    def __init__(self, path: str, place: Place, data: object) -> None:
        self.path = path
        self.place = place
        self.data = data
        self.fields: dict[str, Node] = {}
        self.items: list[Node] = []
        self.keys: dict[str, Place] = {}
        self.damaged = False

    @property
    def origin(self) -> Origin:
        return Origin(self.path, *self.place)

    def key_origin(self, key: str) -> Origin:
        return Origin(self.path, *self.keys[key]) if key in self.keys else self.origin

    def add_field(self, key: str, place: Place, child: Node) -> None:
        assert isinstance(self.data, dict)
        self.data[key] = child.data
        self.fields[key] = child
        self.keys[key] = place

    def add_item(self, child: Node) -> None:
        assert isinstance(self.data, list)
        self.data.append(child.data)
        self.items.append(child)

    def replace_field(self, key: str, value: str) -> None:
        place = self.fields[key].place if key in self.fields else self.place
        self.add_field(key, self.keys.get(key, place), Node(self.path, place, value))
        self.damaged = True

    def child(self, step: int | str) -> Node | None:
        if isinstance(step, str):
            return self.fields.get(step)
        return self.items[step] if 0 <= step < len(self.items) else None

    def at(self, *location: int | str) -> Node:
        """The node at a location, or the nearest one above it that exists."""
        return self.trail(location)[-1][1]

    def trail(self, location: Location) -> list[tuple[int | str, Node]]:
        """Steps from this node down a location; steps that lead nowhere are passed over."""
        trail: list[tuple[int | str, Node]] = [("", self)]
        for step in location:
            child = trail[-1][1].child(step)
            if child is not None:
                trail.append((step, child))
        return trail

    def discard(self, nodes: set[int]) -> None:
        """Remove descendants, given by id(), and mark what they were part of."""
        children = [*self.fields.values(), *self.items]
        for child in children:
            child.discard(nodes)
        if any(id(child) in nodes for child in children):
            self._keep_all_but(nodes)
            self.damaged = True
        elif any(child.damaged for child in children):
            self.damaged = True

    def _keep_all_but(self, nodes: set[int]) -> None:
        if isinstance(self.data, list):
            self.items = [item for item in self.items if id(item) not in nodes]
            self.data[:] = [item.data for item in self.items]
        elif isinstance(self.data, dict):
            for key in [key for key, child in self.fields.items() if id(child) in nodes]:
                del self.data[key], self.fields[key]
