"""How good an answer is, judged from outside: what the request said that a right answer holds, looked for in it.

`expect` of a workload's line is one of:

| key | 1 is |
|---|---|
| `contains` | all of these texts stand in the answer (a share of them: that share) |
| `hits`, `k`? | all of these texts stand in one of the first `k` (5) memories found, as text, id or source |
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

KEYS = ("contains", "hits")
K = 5
_SHOWN = ("text", "id", "source")


def check(expect: Any) -> str:
    """What is wrong with an expectation, in one line; empty: nothing."""
    if not isinstance(expect, dict) or len(expect.keys() & set(KEYS)) != 1 or expect.keys() - {*KEYS, "k"}:
        return f"expect is an object with one of {', '.join(KEYS)}"
    (wanted,) = (expect[key] for key in KEYS if key in expect)
    if not isinstance(wanted, list) or not wanted or not all(isinstance(text, str) and text for text in wanted):
        return "expect lists one text or more"
    k = expect.get("k", K)
    return "" if isinstance(k, int) and k >= 1 else "k is 1 or more"


def score(expect: Mapping[str, Any] | None, answer: str) -> float | None:
    """0 to 1; None where nothing is expected. Case does not count; an answer that cannot be read is worth 0."""
    if not expect:
        return None
    if "contains" in expect:
        return _share(expect["contains"], [answer])
    return _share(expect["hits"], _hits(answer)[: expect.get("k", K)])


def _share(wanted: Sequence[str], places: Sequence[str]) -> float:
    folded = [place.casefold() for place in places]
    return sum(any(text.casefold() in place for place in folded) for text in wanted) / len(wanted)


def _hits(answer: str) -> list[str]:
    try:
        rows = json.loads(answer)
    except (ValueError, RecursionError):
        return []
    if not isinstance(rows, list):
        return []
    return ["\n".join(str(row.get(key, "")) for key in _SHOWN) for row in rows if isinstance(row, dict)]
