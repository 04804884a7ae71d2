"""`verify`, `trace` and `status`: what guests can do, on which rules, and why."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reconciler import app
from reconciler.errors import UsageError
from reconciler.model.coverage import Unmanaged
from reconciler.report import document as json_document
from reconciler.settings import settle
from reconciler.stories.health import HostHealth, health, health_lines
from reconciler.stories.trial import try_frames_of
from reconciler.verbs.common import EXIT_FAILED, EXIT_OK, Arguments, console, has_scapy, print_document
from reconciler.verbs.looking import survey

if TYPE_CHECKING:
    from reconciler.model.outcome import InterfaceProof
    from reconciler.model.site import Desired
    from reconciler.nwfilter.explain import Wish


def add_verify_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--frames", action="store_true", help="send real frames through the site's filters in a lab")
    parser.add_argument(
        "--explain", metavar="CASE", action="append", default=[], help="say why a case ended as it did (repeatable)"
    )
    parser.add_argument("--guest", metavar="NAME", help="explain the cases of this guest alone")


def add_trace_options(parser: argparse.ArgumentParser) -> None:
    """With the grammar in the help, whose import other verbs do not pay."""
    from reconciler.nwfilter.trace import GRAMMAR

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = GRAMMAR
    parser.add_argument("guest", metavar="GUEST", help="the guest's name")
    parser.add_argument("words", metavar="WORDS", nargs="+", help="the frame, in one word or in several")
    parser.add_argument("--mac", metavar="MAC", help="which interface, where the guest has several")
    parser.add_argument("--to-guest", action="store_true", help="a frame that comes to the guest, not from it")
    parser.add_argument("--live", action="store_true", help="judge on the rules that the kernel has for the guest")


def add_status_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--desired", action="store_true", help="without a host: what the site's filters will do")


def verify(arguments: Arguments) -> int:
    if arguments.guest and not arguments.explain:
        raise UsageError("--guest goes with --explain", hint="without both, every guest is proven")
    if arguments.frames:
        return _verify_frames(arguments)
    _, seen = survey(arguments)
    wish = _wish(arguments, seen.desired, seen.host)
    proofs = app.proofs_of(seen, whole_battery=bool(wish) or _has_scapy())
    if wish:
        proofs = app.explain(proofs, seen.desired, seen.host, wish, seen.live)
    parts = {"host": seen.host, "source": seen.desired.source, "drift": json_document.drift(seen.drift)}
    _print_proofs(arguments, proofs, "kernel", parts)
    if seen.drift and arguments.output == "text" and not wish:
        from reconciler.report.text import show_drift

        show_drift(console(), seen.drift)
    return EXIT_FAILED if any(drift.counts for drift in seen.drift) or _has_failed(proofs) else EXIT_OK


def _verify_frames(arguments: Arguments) -> int:
    settings = settle(arguments)
    desired = app.load_site(settings)
    name = app.host_name(settings, desired)
    wish = _wish(arguments, desired, name)
    print("real frames in a lab of their own; this host's guests and bridges are not touched", file=sys.stderr)
    proofs = try_frames_of(desired, name)
    if wish:
        proofs = app.explain(proofs, desired, name, wish, None)
    _print_proofs(arguments, proofs, "frames", {"host": name, "source": desired.source})
    return EXIT_FAILED if _has_failed(proofs) else EXIT_OK


def _wish(arguments: Arguments, desired: Desired, host: str) -> Wish | None:
    """What is to be explained; refused before anything is judged when there is no such case."""
    if not arguments.explain:
        return None
    from reconciler.nwfilter.explain import Wish, check_wish

    wish = Wish(frozenset(arguments.explain), arguments.guest)
    limited = desired.policy.flood_limit is not None
    check_wish(wish, desired.guests_on(host), with_structure=not arguments.frames, with_limit=limited)
    return wish


def _has_scapy() -> bool:
    found = has_scapy()
    if not found:
        print("scapy is not installed: only the core cases are judged (the extra `frames` has all)", file=sys.stderr)
    return found


def _has_failed(proofs: tuple[InterfaceProof, ...]) -> bool:
    return any(case.fails for proof in proofs for case in proof.cases)


def _print_proofs(arguments: Arguments, proofs: tuple[InterfaceProof, ...], layer: str, parts: dict[str, Any]) -> None:
    if arguments.output != "text":
        parts |= {"cases": json_document.cases(proofs, layer), "interfaces": json_document.interfaces(proofs)}
        print_document(arguments, json_document.document("verify", **parts))
        return
    if arguments.explain:
        from reconciler.report.guests import show_explanations

        show_explanations(console(), proofs, layer)
        return
    from reconciler.report.text import show_proofs

    show_proofs(console(), proofs)


def trace(arguments: Arguments) -> int:
    from reconciler.nwfilter.explain import Described

    seen = survey(arguments)[1] if arguments.live else None
    desired = seen.desired if seen else app.load_site(settle(arguments))
    asked = Described(arguments.guest, " ".join(arguments.words), arguments.mac, arguments.to_guest)
    found = app.trace(desired, asked, seen)
    if arguments.output != "text":
        parts = {"host": seen.host if seen else None, "source": desired.source}
        print_document(arguments, json_document.document("trace", **parts, cases=[json_document.traced(found)]))
        return EXIT_OK
    from reconciler.report.guests import show_trace

    show_trace(console(), found)
    return EXIT_OK


def status(arguments: Arguments) -> int:
    how: HostHealth | None = None
    if arguments.desired:
        settings = settle(arguments)
        desired = app.load_site(settings)
        parts: dict[str, Any] = {"host": None, "source": desired.source}
        unmanaged = Unmanaged()
        found = app.desired_status(settings, desired, whole_battery=_has_scapy())
    else:
        settings, seen = survey(arguments)
        how = health(settings, seen)
        parts = {"host": seen.host, "source": seen.desired.source, **_health_parts(how)}
        unmanaged = app.unmanaged_of(seen)
        parts["unmanaged"] = json_document.unmanaged(unmanaged)
        found = app.status_of(settings, seen, whole_battery=_has_scapy())
    if arguments.output != "text":
        print_document(arguments, json_document.document("status", **parts, interfaces=json_document.statuses(found)))
        return EXIT_OK
    from reconciler.report.guests import show_status, show_unmanaged

    if how is not None:
        print("\n".join(health_lines(how, datetime.now(UTC))))
    show_status(console(), found)
    show_unmanaged(console(), unmanaged)
    return EXIT_OK


def _health_parts(how: HostHealth) -> dict[str, Any]:
    return {
        "applied": {"commit": how.applied.commit, "time": how.applied.time or None},
        "asked": how.asked.isoformat(timespec="seconds") if how.asked else None,
        "drift": json_document.drift(how.drift),
        "waiting": [json_document.waiting(each) for each in how.plan.waiting],
        "suspended": [each.target for each in how.suspensions],
    }
