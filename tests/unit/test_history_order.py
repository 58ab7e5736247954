"""The order of the history: the database's, whatever the clock said."""

from __future__ import annotations

from typing import Any

from o_tui.guardian.evolving.chronicle import pick
from o_tui.guardian.evolving.program_runs import ORIGIN, in_order


def row(name: str, time_ns: int, origin: str = "file") -> dict[str, Any]:
    return {"id": name, "gene": "recall", "state": "rejected", "time_ns": time_ns, "origin": origin}


def test_a_clock_that_was_set_back_changes_no_order() -> None:
    newest_first = [row("c", 10), row("b", 5_000), row("a", 20)]
    assert [each["id"] for each in in_order(newest_first)] == ["c", "b", "a"]


def test_a_run_that_was_read_later_than_it_began_stands_where_it_began() -> None:
    newest_first = [row("late", 15, ORIGIN), row("b", 30), row("first", 35, ORIGIN), row("a", 20)]
    assert [each["id"] for each in in_order(newest_first)] == ["first", "b", "a", "late"]


def test_what_began_before_1970_is_in_the_history() -> None:
    rows = [row("a", -(10**17)), row("b", 5)]
    assert pick(rows) == rows and pick(rows, since_ns=1) == rows[1:]
