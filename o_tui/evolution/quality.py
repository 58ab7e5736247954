"""How good an answer is, judged from outside: what the request said that a right answer holds, looked for in it.

`expect` of a workload's line is one of:

| key | 1 is |
|---|---|
| `contains` | all of these texts stand in the answer (a share of them: that share) |
| `hits`, `k`? | each of these is the id or source of one of the first `k` (5) memories found, or stands in its text |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

KEYS = ("contains", "hits")
K = 5


def check(expect: Any) -> str:
    """What is wrong with an expectation, in one line; empty: nothing."""
    if not isinstance(expect, dict):
        return f'expect is an object like {{"contains": ["a text"]}}, not {json.dumps(expect)[:40]}'
    if unknown := sorted(expect.keys() - {*KEYS, "k"}):
        return f"expect has no key {unknown[0][:40]!r}: it has contains, or hits and k"
    given = [key for key in KEYS if key in expect]
    if len(given) != 1:
        return f"expect has {'both' if given else 'neither'} of contains and hits: one of them is needed"
    (key,) = given
    if not isinstance(expect[key], list) or not expect[key]:
        return f"expect.{key} is a list of one text or more, not {json.dumps(expect[key])[:40]}"
    for place, text in enumerate(expect[key]):
        if not isinstance(text, str) or not text:
            return f"expect.{key}[{place}] is a text, not {json.dumps(text)[:40]}"
    if "k" in expect and key != "hits":
        return "expect.k goes with hits only"
    k = expect.get("k", K)
    return "" if type(k) is int and k >= 1 else f"expect.k is a whole number from 1 on, not {json.dumps(k)[:40]}"


def score(expect: Mapping[str, Any] | None, answer: str) -> float | None:
    """0 to 1; None where nothing is expected. Case does not count; an answer that cannot be read is worth 0."""
    if not expect:
        return None
    if "contains" in expect:
        wanted, folded = expect["contains"], answer.casefold()
        return float(sum(text.casefold() in folded for text in wanted) / len(wanted))
    wanted, rows = expect["hits"], _hits(answer)[: expect.get("k", K)]
    return float(sum(any(_is_hit(text, row) for row in rows) for text in wanted) / len(wanted))


def _is_hit(wanted: str, row: Mapping[str, Any]) -> bool:
    return wanted in (row.get("id"), row.get("source")) or wanted.casefold() in str(row.get("text", "")).casefold()


def _hits(answer: str) -> list[Mapping[str, Any]]:
    try:
        rows = json.loads(answer)
    except (ValueError, RecursionError):
        return []
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
