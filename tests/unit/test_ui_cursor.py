"""The cursor in a diff: hunks, files, single lines; whatever is done, it is at something that is there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from o_tui.ui.diff.cursor import Cursor
from o_tui.ui.diff.document import Document, Options
from o_tui.ui.diff.parse import parse
from tests.support.panes import diff_text

FILES = parse(diff_text() + diff_text("a\n", "b\n", "tools/dates.py"))


def document(*, split: bool = False, context: int = 3) -> Document:
    return Document(FILES, Options(split=split, context=context), {})


def test_hunk_by_hunk_and_file_by_file_it_stops_at_the_ends() -> None:
    cursor = Cursor(document())
    assert cursor.move_hunk(-1) and (cursor.hunk, cursor.file) == (0, 0)
    assert cursor.move_file(1) and cursor.file == 1
    assert not cursor.move_file(1) and cursor.file == 1
    assert cursor.move_hunk(9) and cursor.hunk == len(document().hunk_rows) - 1


def test_a_line_stands_for_itself_and_a_hunk_for_all_its_lines() -> None:
    cursor = Cursor(document())
    whole = cursor.keys()
    cursor.toggle_lines()
    assert cursor.by_line and cursor.keys() == whole[:1]
    cursor.move_line(1)
    assert cursor.keys() == whole[1:2]
    cursor.toggle_lines()
    assert cursor.keys() == whole


def test_without_a_diff_there_is_nothing_to_be_at() -> None:
    cursor = Cursor(Document([], Options(), {}))
    cursor.toggle_lines()
    assert not (cursor.by_line or cursor.keys() or cursor.move_hunk(1) or cursor.move_file(1))


MOVES = st.one_of(
    st.tuples(st.sampled_from(["move_hunk", "move_file", "move_line"]), st.sampled_from([-1, 1])),
    st.tuples(st.sampled_from(["point"]), st.integers(0, 40)),
    st.tuples(st.sampled_from(["toggle_lines"]), st.none()),
    st.tuples(st.sampled_from(["enter"]), st.tuples(st.booleans(), st.sampled_from([0, 3, 9]))),
)


@given(st.lists(MOVES, max_size=20))
def test_whatever_is_done_it_is_at_a_hunk_and_its_line_is_one_of_it(moves: list) -> None:
    shown = document()
    cursor = Cursor(shown)
    for name, how in moves:
        if name == "enter":
            shown = document(split=how[0], context=how[1])
            cursor.enter(shown)
        elif name == "toggle_lines":
            cursor.toggle_lines()
        elif name != "move_line" or cursor.by_line:
            getattr(cursor, name)(min(how, len(shown.rows) - 1))
        assert shown.rows[cursor.hunk_row].kind == "hunk" and cursor.keys()
        if cursor.by_line:
            assert cursor.holds(shown.rows[cursor.line])
