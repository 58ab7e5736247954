"""What `o-tui evolve` says while it goes on."""

from __future__ import annotations

import io
import json
from typing import Any

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
