"""Marks in a diff: named by lines, undone one by one, counted by hunks."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from o_tui.ui import plots
from o_tui.ui.diff.layout import with_context
from o_tui.ui.diff.marks import LineKey, Mark, Marks, keys_of
from o_tui.ui.diff.parse import parse
from tests.support.panes import NEW, OLD, diff_text

FILES = parse(diff_text() + diff_text("a\n", "b\n", "tools/dates.py"))
HUNKS = [keys_of(diff, hunk.lines) for diff in FILES for hunk in diff.hunks]
KEYS = [key for keys in HUNKS for key in keys]


def test_keys_name_lines_of_both_sides() -> None:
    by_text = {key.text(): key for key in KEYS}
    removed = OLD.split("\n").index("    lexical = search.lexical(query, 4 * k)") + 1
    added = NEW.split("\n").index("HALF_LIFE_DAYS = 14.0") + 1
    assert LineKey("recall.py", "-", removed) == by_text[f"recall.py:-{removed}"]
    assert f"recall.py:+{added}" in by_text
    assert {"tools/dates.py:-1", "tools/dates.py:+1"} <= set(by_text)


def test_more_or_less_context_changes_no_key() -> None:
    for context in (0, 1, 9):
        files = [with_context(diff, context, OLD if diff.path == "recall.py" else "a\n") for diff in FILES]
        assert [key for diff in files for hunk in diff.hunks for key in keys_of(diff, hunk.lines)] == KEYS


def test_a_mark_given_twice_is_taken_back() -> None:
    marks = Marks(FILES)
    marks.put(HUNKS[0], "accepted")
    assert marks.state(HUNKS[0]) == "accepted"
    marks.put(HUNKS[0][:1], "rejected")
    assert marks.state(HUNKS[0]) == "partly"
    marks.put(HUNKS[0][:1], "rejected")
    assert marks.get(HUNKS[0][0]) is None


@given(st.lists(st.tuples(st.integers(0, len(HUNKS) - 1), st.sampled_from(["accepted", "rejected"])), max_size=12))
def test_undo_goes_back_step_by_step(steps: list[tuple[int, Mark]]) -> None:
    marks = Marks(FILES)
    seen = [{key: marks.get(key) for key in KEYS}]
    for hunk, mark in steps:
        marks.put(HUNKS[hunk], mark)
        seen.append({key: marks.get(key) for key in KEYS})
        assert sum(marks.counts().values()) == len(HUNKS)
        assert marks.open == sum(marks.get(key) is None for key in KEYS)
        assert marks.accepted == [key for key in KEYS if marks.get(key) == "accepted"]
    for before in reversed(seen[:-1]):
        assert marks.undo()
        assert {key: marks.get(key) for key in KEYS} == before
    assert not marks.undo()


def test_the_whole_is_every_line() -> None:
    marks = Marks(FILES)
    for keys in HUNKS[:-1]:
        marks.put(keys, "accepted")
    assert not marks.whole
    marks.put(HUNKS[-1], "accepted")
    assert marks.whole
    assert marks.open == 0


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=40), st.integers(5, 60), st.booleans())
def test_plots_are_as_wide_as_they_should_be(ratios: list[float], width: int, ascii_only: bool) -> None:
    end = plots.axis_range(ratios)
    bars = plots.histogram(ratios, width, end, ascii_only=ascii_only)
    assert len(bars) == width
    assert (bars.strip() != "") == any(ratio > 0 and math.isfinite(ratio) for ratio in ratios)
    assert bars.isascii() or not ascii_only


def test_faster_is_left_and_the_same_is_in_the_middle() -> None:
    assert plots.histogram([0.9] * 9 + [1.0], 21, 0.2).index("█") < 10
    assert plots.histogram([1.0], 21, 0.2).index("█") == 10
    assert plots.histogram([1.1], 21, 0.2).index("█") > 10
    assert plots.whisker(0.85, 0.9, 0.95, 21, 0.2).index("●") < 10
    assert plots.whisker(0.85, 0.9, 0.95, 21, 0.2)[10] == "┊"
    assert plots.axis(21, 0.2).index("0 ") < plots.axis(21, 0.2).index("+20 %")
