"""Whether two texts are the same guest definition, however they are laid out."""

from __future__ import annotations

from lxml import etree


def same_definition(one: str, other: str) -> bool:
    """Equal but for white space between elements, quotes and the order of attributes; an empty text is absent."""
    if one == other or not one or not other:
        return one == other
    return _canonical(one) == _canonical(other)


def _canonical(xml: str) -> bytes:
    parser = etree.XMLParser(
        remove_blank_text=True, remove_comments=True, resolve_entities=False, no_network=True, load_dtd=False
    )
    canonical: bytes = etree.tostring(etree.fromstring(xml.encode(), parser), method="c14n")
    return canonical
