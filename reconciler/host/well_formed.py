"""libvirt's texts as XML: it prints the name of a filter as it is, be there an `&` in it, a `<` or a quote."""

from __future__ import annotations

import re
from xml.parsers import expat

_NAME = re.compile(r"(?<=^<filter name=').*(?=' chain=')|(?<=<filterref filter=').*(?='/?>$)", re.MULTILINE)
_TAG = re.compile(r"<filter(?: name|ref filter)=(.*)")
_PLAIN = re.compile(r"'[^&<']*'(?: chain='[^&<']*'(?: priority='[^&<']*')?)?/?>")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", "'": "&apos;"})


def well_formed(xml: str) -> str:
    """What libvirt printed, with the names of its filters escaped where it is no XML otherwise.

    One such name would keep everybody else on the host from being looked at.
    """
    if all(map(_PLAIN.fullmatch, _TAG.findall(xml))) or _is_xml(xml):
        return xml
    return _NAME.sub(lambda name: name[0].translate(_ESCAPES), xml)


def _is_xml(text: str) -> bool:
    try:
        expat.ParserCreate("utf-8").Parse(text.encode(), True)
    except expat.ExpatError:
        return False
    return True
