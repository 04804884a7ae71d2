"""The problems of a site as JUnit XML, which merge requests show as tests: a case a file, a failure a problem."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

from reconciler.model.problem import Problem, Severity


def junit(paths: Iterable[str], problems: Sequence[Problem], source: str) -> str:
    """A document with every file of a site. Warnings are told in a case's output: they refuse nothing."""
    cases = sorted({*paths, *(problem.origin.path for problem in problems)})
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    counts = {"tests": str(len(cases)), "failures": str(len(errors))}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": f"reconciler check {source}", **counts})
    for path in cases:
        _add_case(suite, path, [problem for problem in problems if problem.origin.path == path])
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_case(suite: ElementTree.Element, path: str, problems: Sequence[Problem]) -> None:
    case = ElementTree.SubElement(suite, "testcase", {"name": path, "classname": "check", "file": path})
    warnings: list[str] = []
    for problem in problems:
        line = _printable(f"{problem.origin}: {problem.message}\n{problem.hint}".strip())
        if problem.severity is Severity.ERROR:
            failure = {"type": problem.id, "message": _printable(f"{problem.message} [{problem.id}]")}
            ElementTree.SubElement(case, "failure", failure).text = line
        else:
            warnings.append(f"warning [{problem.id}]: {line}")
    if warnings:
        ElementTree.SubElement(case, "system-out").text = "\n".join(warnings)


def _printable(text: str) -> str:
    """XML 1.0 has no control characters, and a problem may quote one."""
    return "".join(sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in text)
