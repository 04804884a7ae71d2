"""A site with its mechanical mistakes corrected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.load.mend_yaml import mend_yaml
from reconciler.load.text import MAX_BYTES
from reconciler.model.filter import NwFilter
from reconciler.model.mend import Mend
from reconciler.nwfilter.mend import mend_filter
from reconciler.nwfilter.parse import parse_filter
from reconciler.nwfilter.syntax import FilterSyntax


@dataclass(frozen=True, slots=True)
class Mending:
    """The files that change, with their new content, and all mends in the order of the files."""

    files: Mapping[str, bytes]
    mends: tuple[Mend, ...]


def mend_site(files: Mapping[str, bytes]) -> Mending:
    """Mend every file of a site. Pure: nothing is written.

    A rule that leaves its chain by a return is only made once all filters are read: another may have that chain.
    """
    site = {path: content for path, content in files.items() if len(content) <= MAX_BYTES}
    yaml = (path for path in site if path == "site.yaml" or (path.startswith("guests/") and path.endswith(".yaml")))
    filters = [path for path in sorted(site) if path.startswith("filters/") and path.endswith(".xml")]
    found = [(path, *mend_yaml(path, site[path])) for path in sorted(yaml)]
    found += [(path, *mend_filter(site[path], path)) for path in filters]
    site |= {path: content for path, content, _ in found}
    mends = [mend for _, _, mended in found for mend in mended]
    for path in filters:
        others = _definitions(site, (other for other in filters if other != path))
        site[path], more = mend_filter(site[path], path, others)
        mends.extend(more)
    changed = {path: content for path, content in site.items() if content != files[path]}
    return Mending(changed, tuple(sorted(mends, key=lambda mend: mend.origin)))


def _definitions(site: Mapping[str, bytes], paths: Iterable[str]) -> tuple[NwFilter, ...] | None:
    """None where one of them cannot be read."""
    try:
        return tuple(parse_filter(site[path], path) for path in paths)
    except FilterSyntax:
        return None
