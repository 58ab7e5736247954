"""Parts of the prober that run nothing: what it tries, and how a case is made smaller."""

from __future__ import annotations

import ast
import re
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.evolution.probe import boundaries, compare, patterns, plan
from o_tui.evolution.probe.case import Call, Case
from o_tui.evolution.probe.changed import unguarded
from o_tui.evolution.probe.harvest import harvest
from o_tui.evolution.probe.shrink import shrink

SOURCE = """
import threading

def cut(text: str, limit: int = 40) -> str:
    return text[:limit]

class Box:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: dict[str, int] = {}

    def put(self, name: str, count: int) -> int:
        with self._lock:
            self._items[name] = count
            return len(self._items)
"""


@pytest.mark.parametrize(
    "pattern", [r"\{\{|\}\}|\{(\w+)\}", r'"(.*?)"', r"<[^<>]*?>", r"(\d+)", r"[a-z0-9]+(?:-[a-z]{2,3})?", r"a|b+|\s"]
)
def test_examples_of_a_pattern_are_matched_by_it(pattern: str) -> None:
    made = patterns.examples(pattern)
    assert made
    assert all(re.fullmatch(pattern, text) for text in made)
    assert made == patterns.examples(pattern)


@given(st.text(max_size=20))
def test_what_is_no_pattern_has_no_examples(text: str) -> None:
    assert all(isinstance(made, str) and made for made in patterns.examples(text))


@pytest.mark.parametrize(
    "pattern",
    ["a{4000000000}", "(?:){4000000000}", "(?:(?:(?:a{60}){60}){60}){60}", "(?:" * 9 + "){9}" * 9, "(" * 5000],
)
def test_a_pattern_that_asks_for_too_much_has_no_examples(pattern: str) -> None:
    assert patterns.examples(pattern) == []


def test_the_core_is_the_same_each_time_and_has_the_boundaries_of_the_source() -> None:
    found = harvest(ast.parse(SOURCE))
    tried = boundaries.cases(found)
    assert tried == boundaries.cases(harvest(ast.parse(SOURCE)))
    limits = {case.calls[0].kwargs.get("limit") for case in tried}
    assert {39, 40, 41, 0, -1} <= limits
    sizes = {len(case.calls[0].args[0]) for case in tried}
    assert {40, 41, 256, 257} <= sizes


def test_what_was_changed_under_a_lock_only_is_seen() -> None:
    inside = SOURCE.replace("return len(self._items)", "return len(self._items) + 1")
    outside = SOURCE.replace(
        "        with self._lock:\n            self._items[name] = count\n",
        "        self._items[name] = count\n        with self._lock:\n",
    )
    assert not unguarded(ast.parse(SOURCE), ast.parse(inside))
    assert unguarded(ast.parse(SOURCE), ast.parse(outside))


def test_names_that_hang_together_are_tried() -> None:
    found = harvest(ast.parse("class Plan:\n    def add(self, id: str, deps: tuple[str, ...] = ()) -> None: ..."))
    first = next(batch for batch in plan.batches(found, 1, plan.Corpus()) if batch.cases)
    linked = [call.kwargs["deps"] for case in first.cases for call in case.calls if "deps" in call.kwargs]
    assert any(len(link) > 1 for link in linked)


def test_kinds_come_by_turns() -> None:
    found = harvest(ast.parse(SOURCE))
    kinds = [batch.cases[0].kind for batch in islice(plan.batches(found, 1, plan.Corpus()), 12) if batch.cases]
    assert {"calls", "large", "race"} <= set(kinds)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=30), st.integers(-9, 9))
def test_the_smaller_case_still_shows_it(numbers: list[int], wanted: int) -> None:
    case = Case("calls", [Call("f", [["list", *numbers, wanted]])])

    def first(cases: list[Case]) -> int:
        shown = [place for place, each in enumerate(cases) if wanted in each.calls[0].args[0][1:]]
        return shown[0] if shown else -1

    assert shrink(case, first, lambda: True).calls[0].args[0] == ["list", wanted]


def test_calls_at_once_are_torn_where_no_order_gives_what_came_out() -> None:
    assert compare.torn(["race", [[1, 2], [2, 1]], [[1, 2], [1, 1]]])
    assert not compare.torn(["race", [[1, 2], [2, 1]], [[2, 1]]])
