"""What `o-tui evolve` says while it goes on."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from o_tui.cli.output import Output
from o_tui.cli.progress import Progress

FIRST = {"number": 1, "of": 2, "size": 2, "measured": 2, "score": 1.2, "quality": 0.12}
FIRST |= {"operator": "literals", "detail": "K: 3 -> 4"}
SECOND = {"number": 2, "of": 2, "size": 2, "measured": 1, "score": 0.0, "operator": "literals", "detail": "K: 3 -> 2"}


def told(rows: list[dict[str, Any]], *, as_json: bool = False) -> list[str]:
    out = io.StringIO()
    progress = Progress(Output(as_json, out, out), many=True)
    for row in rows:
        progress.tell({"state": "validate", "revision": "r", **row})
    return out.getvalue().splitlines()


def test_a_generation_is_a_line_when_it_is_over_and_once() -> None:
    rows = [
        {
            "generations": [FIRST | {"measured": 1}],
            "stages": [{"name": "ruff", "verdict": "fail", "ms": 1, "detail": ""}],
        },
        {"generations": [FIRST]},
        {"generations": [FIRST, SECOND]},
        {"generations": [FIRST, SECOND], "state": "shadow"},
    ]
    assert told(rows) == [
        "generation 1 of 2: 2 looked at  quality +0.120  literals: K: 3 -> 4",
        "generation 2 of 2: 1 looked at  nothing better",
        "shadow",
    ]


def test_for_programs_each_event_is_a_line_of_json() -> None:
    lines = [
        json.loads(line) for line in told([{"generations": [FIRST]}, {"generations": [FIRST, SECOND]}], as_json=True)
    ]
    assert [len(line["generations"]) for line in lines] == [1, 2] and {line["event"] for line in lines} == {"evolution"}


def test_where_no_line_can_be_written_anew_what_is_done_is_said_now_and_then() -> None:
    out, now = io.StringIO(), [0.0]
    progress = Progress(Output(False, out, out), many=True, clock_s=lambda: now[0])
    for at in range(1, 41):
        now[0] = float(at)
        work = {"doing": "validate", "at": at, "of": 40, "failed": 2}
        progress.tell({"state": "validate", "revision": "", "work": work})
    assert out.getvalue().splitlines() == [f"  validating candidate {at} of 40, 2 failed" for at in (10, 20, 30, 40)]


def test_on_a_terminal_one_line_says_what_is_done_and_goes_when_something_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(err, "isatty", lambda: True)
    progress = Progress(Output(False, out, err), many=True)
    row = {"state": "validate", "revision": "", "generations": [FIRST | {"measured": 1}]}
    progress.tell(row | {"work": {"doing": "look", "at": 2, "of": 2, "failed": 0}})
    progress.tell(row | {"generations": [FIRST]})
    progress.end()
    clear = "\r\033[K"
    assert err.getvalue() == f"{clear}{clear}generation 1 of 2: looking at candidate 2 of 2{clear}{clear}"
    assert out.getvalue().startswith("generation 1 of 2: 2 looked at")
