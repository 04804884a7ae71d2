"""What libvirt's texts mean. Nothing is asked here."""

from __future__ import annotations

from reconciler.domain.parse import parse_nics, snapshot_definitions
from reconciler.host.answers import FilterText
from reconciler.host.filter_files import filter_file
from reconciler.host.reading import GuestTexts
from reconciler.host.saved import SavedText
from reconciler.host.well_formed import well_formed
from reconciler.model.live import MANAGED_SAVE, Domain, LiveFilter, SavedState
from reconciler.nwfilter.guard import mark_uuid, temporary_uuid
from reconciler.nwfilter.parse import parse_dump


def domain_of(texts: GuestTexts) -> Domain:
    stored, running = well_formed(texts.stored), well_formed(texts.running)
    return Domain(
        texts.name,
        texts.uuid,
        texts.state.active,
        autostart=texts.state.autostart,
        persistent=parse_nics(stored) if stored else (),
        live=parse_nics(running) if running else (),
        persistent_xml=stored,
        live_xml=running,
        saved=tuple(map(_saved_state, texts.saved)),
        busy=texts.busy,
    )


def _saved_state(text: SavedText) -> SavedState:
    """Only an image's definition can be replaced, so only its text is kept."""
    xml = well_formed(text.xml)
    if text.name == MANAGED_SAVE:
        return SavedState(text.name, parse_nics(xml), xml)
    nics = (nic for definition in snapshot_definitions(xml) for nic in parse_nics(definition))
    return SavedState(text.name, tuple(dict.fromkeys(nics)))


def filter_of(text: FilterText) -> LiveFilter | None:
    """None where libvirt knows no filter of that name."""
    if text.xml is None:
        return None
    xml = well_formed(text.xml)
    definition = parse_dump(xml, f"filter/{text.name}")
    uuid = definition.uuid or ""
    file = filter_file(text.file, text.xml, definition)
    owned, temporary = uuid == mark_uuid(text.name), uuid == temporary_uuid(text.name)
    return LiveFilter(definition, uuid, owned, xml, file, temporary)
