"""What goes wrong with the XML of a guest."""

from __future__ import annotations

from reconciler.errors import ReconcilerError


class DomainXmlError(ReconcilerError):
    """A guest's or binding's XML cannot be read; nothing was changed."""


class InterfaceMissing(DomainXmlError):
    """The guest has no interface with this MAC."""


class InterfaceAmbiguous(DomainXmlError):
    """The guest has several interfaces with this MAC, so a change could hit the wrong one."""
