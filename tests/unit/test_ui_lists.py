"""Columns that give way, cells that fit, filters, and the store behind the events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.style import Style

from o_tui.ui.lists.columns import GAP, Column, layout
from o_tui.ui.lists.filter_bar import matches
from o_tui.ui.lists.paint import cells, fit, paint, wrap_cells
from o_tui.ui.panes.event_store import EventStore

COLUMNS = (Column("a", 8), Column("b", 6, rank=2), Column("c", least=10), Column("d", 4, rank=1))
words = st.text(st.sampled_from("ab 中é🙂z"), max_size=40)


@given(st.integers(1, 200))
def test_a_row_never_is_wider_than_its_window(width: int) -> None:
    shown = layout(COLUMNS, width)
    assert [index for index, _ in shown] == sorted(index for index, _ in shown)
    if width >= 8 + GAP + 10:
        assert sum(size for _, size in shown) + GAP * (len(shown) - 1) == width


def test_columns_go_by_rank() -> None:
    assert [index for index, _ in layout(COLUMNS, 60)] == [0, 1, 2, 3]
    assert [index for index, _ in layout(COLUMNS, 30)] == [0, 2, 3]
    assert [index for index, _ in layout(COLUMNS, 21)] == [0, 2]


@given(words, st.integers(0, 30), st.booleans())
def test_fit_is_exact(text: str, width: int, right: bool) -> None:
    assert cell_len(fit(text, width, right=right)) == width


@given(words, st.integers(1, 12))
def test_wrapping_keeps_every_character(text: str, width: int) -> None:
    starts = wrap_cells(text, width)
    parts = [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
    assert "".join(parts) == text
    assert all(cells(part) <= max(width, 2) for part in parts)


@given(words, st.lists(st.tuples(st.integers(-5, 45), st.integers(-5, 45)), max_size=5))
def test_painting_keeps_every_character(text: str, spans: list[tuple[int, int]]) -> None:
    segments = paint(text, Style(), [(start, end, Style(bold=True)) for start, end in spans])
    assert "".join(segment.text for segment in segments) == text


def test_filters() -> None:
    assert matches("", "anything")
    assert matches("Error wal", "a WAL", "an error")
    assert not matches("error wal", "an error")


def event(number: int, level: str = "info") -> dict[str, object]:
    return {"id": number, "text": f"event {number}", "source": "guardian", "level": level, "kind": "note"}


def test_new_events_come_once() -> None:
    store = EventStore()
    assert store.take([event(5), event(6)]) == 2
    assert store.take([event(5), event(6), event(7)]) == 1
    assert [row["id"] for row in store.rows] == [5, 6, 7]


def test_older_pages_go_before_in_any_order() -> None:
    store = EventStore()
    store.take([event(5)])
    assert store.prepend([event(4), event(3)], asked=2) == 2
    assert [row["id"] for row in store.rows] == [3, 4, 5]
    assert not store.complete
    store.prepend([event(2)], asked=2)
    assert store.complete


def test_after_a_gap_the_store_begins_anew() -> None:
    store = EventStore()
    store.take([event(1), event(2)])
    store.take([event(9), event(10)])
    assert [row["id"] for row in store.rows] == [9, 10]


def test_level_and_source_words_are_exact() -> None:
    store = EventStore()
    store.take([event(1), event(2, "error"), event(3)])
    assert [row["id"] for row in store.filtered("level:error")] == [2]
    assert [row["id"] for row in store.filtered("event source:guardian")] == [1, 2, 3]
    assert store.filtered("source:guard") == []


def test_what_a_filter_found_is_no_part_of_the_log() -> None:
    store = EventStore()
    store.take([event(50)])
    store.prepend([event(9, "error"), event(3, "error")], asked=2, filtered=True)
    assert [row["id"] for row in store.filtered("level:error")] == [3, 9]
    assert store.oldest == 3
    store.forget_found()
    assert store.oldest == 50
    assert [row["id"] for row in store.filtered("")] == [50]
