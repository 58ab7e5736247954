"""Every promise of docs/PROMISES.md names tests that hold it, and those exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> list[tuple[str, str]]:
    """The promises, each with the cell of its tests."""
    found = []
    for line in (ROOT / "docs" / "PROMISES.md").read_text("utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| promise |"):
            _, promise, tests, end = line.split("|")
            assert not end, line
            found.append((promise.strip(), tests.strip()))
    return found


@cache
def functions(path: Path) -> frozenset[str]:
    """The functions at the top level of a file."""
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_promise_names_its_tests() -> None:
    promises = [promise for promise, _ in rows()]
    assert len(promises) >= 50 and len(set(promises)) == len(promises)
    for promise, tests in rows():
        assert promise.endswith("."), promise
        assert _TEST.sub("", tests).replace(", ", "") == "" and tests, f"{promise}: not a list of tests: {tests}"


def test_the_tests_exist() -> None:
    named = [match for _, tests in rows() for match in _TEST.findall(tests)]
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not name.startswith("test_") or not (ROOT / path).is_file() or name not in functions(ROOT / path)
    ]
    assert named and not missing, missing
