"""Every bad site of tests/golden/bad_input gives exactly the problems of its expected.txt.

After a wanted change of messages or positions: `RECONCILER_REGENERATE=1 pytest tests/unit/test_load_bad_input.py`
writes the expected.txt files anew. Review their diff by eye: the position is where the author must look.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.load import examine
from reconciler.model.problem import Severity

CASES = Path(__file__).parents[1] / "golden" / "bad_input"
EXPECTED = "expected.txt"


def read_case(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path != folder / EXPECTED)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_bad_site_gives_exactly_these_problems(case: str) -> None:
    desired, problems = examine(read_case(CASES / case))
    found = "".join(f"{problem.origin}: {problem.id}: {problem.message}\n" for problem in problems)
    if os.environ.get("RECONCILER_REGENERATE"):
        (CASES / case / EXPECTED).write_text(found, encoding="utf-8")
    assert found == (CASES / case / EXPECTED).read_text(encoding="utf-8")
    assert all(problem.hint for problem in problems)
    assert (desired is None) == any(problem.severity is Severity.ERROR for problem in problems)
