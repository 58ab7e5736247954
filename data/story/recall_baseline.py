"""Which memories answer a query: those that have its words, as a plain full-text search finds them.

Where a story begins: nothing but the words of a memory's own text counts, and all words of the query.
"""

from __future__ import annotations

import re

from o_tui.agent.dsl import Hit, Search

CONTEXT_WEIGHT = 0.0
SOURCE_WEIGHT = 0.0
NEIGHBOUR_WEIGHT = 0.0
REPEATS = 1.2
LENGTH = 0.75
COVERAGE = 0.0
LEAVE_OUT_EMPTY_WORDS = False
OTHER_SPEAKER = 0.0
"""How much less counts what somebody else said than the one whom the query names."""
ONLY_ASKS = 0.0
"""How much less a memory counts that is a question itself."""

_POOL = 40
_WORD = re.compile(r"[^\W_]+")
_EMPTY_WORDS = frozenset(
    _WORD.findall(
        "a about am an and any are as at be been but by can could d did do does for from had has have he her him his"
        " how i in is it its ll m me my of on or our re s she so t that the their them then there they this to us ve"
        " was we were what when where which who whom whose why will with would you your"
    )
)


def recall(query: str, search: Search, k: int, now_ns: int) -> list[Hit]:
    """The `k` best memories for `query`, best first; equal scores by id."""
    if k <= 0:
        return []
    words = [word.lower() for word in _WORD.findall(query)]
    if LEAVE_OUT_EMPTY_WORDS:
        words = [word for word in words if word not in _EMPTY_WORDS] or words
    found = search.find(
        " ".join(words),
        max(_POOL, 4 * k),
        context=CONTEXT_WEIGHT,
        source=SOURCE_WEIGHT,
        neighbour=NEIGHBOUR_WEIGHT,
        repeats=REPEATS,
        length=LENGTH,
        coverage=COVERAGE,
    )
    hits = [Hit(hit.block, hit.score * weight(hit.block.text, words), hit.similarity) for hit in found]
    hits.sort(key=lambda hit: (-hit.score, hit.block.id))
    return hits[:k]


def weight(text: str, words: list[str]) -> float:
    """How much a memory's text counts by who says it and whether it asks."""
    said_by = set(_WORD.findall(text.partition(":")[0].lower()))
    spoken = 1.0 if said_by & set(words) else 1.0 - OTHER_SPEAKER
    return spoken * (1.0 - ONLY_ASKS if text.endswith("?") else 1.0)
