"""The order of the history: the database's, whatever the clock said."""

from __future__ import annotations

from typing import Any

from o_tui.guardian.evolving.program_runs import ORIGIN, in_order


def row(name: str, time_ns: int, origin: str = "file") -> dict[str, Any]:
    return {"id": name, "time_ns": time_ns, "origin": origin}


def test_a_clock_that_was_set_back_changes_no_order() -> None:
    newest_first = [row("c", 10), row("b", 5_000), row("a", 20)]
    assert [each["id"] for each in in_order(newest_first)] == ["c", "b", "a"]


def test_a_run_that_was_read_later_than_it_began_stands_where_it_began() -> None:
    newest_first = [row("late", 15, ORIGIN), row("b", 30), row("first", 35, ORIGIN), row("a", 20)]
    assert [each["id"] for each in in_order(newest_first)] == ["first", "b", "a", "late"]
