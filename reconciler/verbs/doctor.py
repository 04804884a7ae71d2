"""`doctor`: what this host lacks."""

from __future__ import annotations

from reconciler.model.health import Health
from reconciler.report import document as json_document
from reconciler.settings import settle
from reconciler.verbs.common import EXIT_FAILED, EXIT_OK, Arguments, console, print_document


def doctor(arguments: Arguments) -> int:
    from reconciler.stories.doctor import findings

    found = findings(settle(arguments))
    if arguments.output != "text":
        texts = [
            {"id": each.id, "health": str(each.health), "message": each.message, "hint": each.hint} for each in found
        ]
        print_document(arguments, json_document.document("doctor", checks=texts))
    else:
        from reconciler.report.guests import show_findings

        show_findings(console(), found)
    return EXIT_FAILED if any(each.health is Health.FAILED for each in found) else EXIT_OK
