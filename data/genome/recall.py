"""Which memories answer a query: those with its words or beside them; newer and weightier ones first where those agree.

Words are weighed by where they stand, and a turn of a conversation is found by its neighbours' words too. Scores are
0 to 1: the best memory's is the share of the query's words that it has, so a score near 0 means "nothing about that".
"""

from __future__ import annotations

import re

from o_tui.agent.dsl import Block, Hit, Search

CONTEXT_WEIGHT = 0.5
SOURCE_WEIGHT = 0.5
NEIGHBOUR_WEIGHT = 0.5
REPEATS = 1.2
LENGTH = 0.75
COVERAGE = 0.7
MEANING_WEIGHT = 0.35
"""Counts only where an embedding model is set up."""
OTHER_SPEAKER = 0.25
"""How much less counts what somebody else said than the one whom the query names."""
ONLY_ASKS = 0.1
"""How much less a memory counts that is a question itself."""
RECENCY_WEIGHT = 0.02
IMPORTANCE_WEIGHT = 0.02
HALF_LIFE_DAYS = 30.0
POOL = 40

_DAY_NS = 86_400_000_000_000
_WORD = re.compile(r"[^\W_]+")
_SPEAKER = re.compile(r"([^\W\d_][\w.'-]*(?: [\w.'-]+){0,2}): ")
_EMPTY_WORDS = frozenset(
    _WORD.findall(
        "a about am an and any are as at be been but by can could d did do does don ever for from had has have he her"
        " him his how i in is it its know ll m many me much my of on or our re remember s say said she should so t tell"
        " than that the their them then there they this to told us ve was we were what when where which who whom whose"
        " why will with would you your"
    )
)


def recall(query: str, search: Search, k: int, now_ns: int) -> list[Hit]:
    """The `k` best memories for `query`, best first; equal scores by id, so that the order never depends on chance."""
    if k <= 0:
        return []
    wanted = telling_words(query)
    found = search.find(
        " ".join(wanted),
        max(POOL, 4 * k),
        context=CONTEXT_WEIGHT,
        source=SOURCE_WEIGHT,
        neighbour=NEIGHBOUR_WEIGHT,
        repeats=REPEATS,
        length=LENGTH,
        coverage=COVERAGE,
        meaning=MEANING_WEIGHT,
    )
    speakers = [speaker(hit.block.text) & set(wanted) for hit in found]
    named = any(speakers)
    hits = []
    for hit, spoken_by in zip(found, speakers, strict=True):
        score = hit.score * (1.0 + tie_breaker(hit.block, now_ns))
        if named and not spoken_by:
            score *= 1.0 - OTHER_SPEAKER
        if hit.block.text.endswith("?"):
            score *= 1.0 - ONLY_ASKS
        hits.append(Hit(hit.block, score, hit.similarity))
    hits.sort(key=lambda hit: (-hit.score, hit.block.id))
    return hits[:k]


def telling_words(text: str) -> list[str]:
    """The words that say what a text is about, in order; all words where none does."""
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(text)))
    return [word for word in words if word not in _EMPTY_WORDS] or words


def speaker(text: str) -> set[str]:
    """The words of the name before the colon where a text begins with who said it."""
    match = _SPEAKER.match(text)
    return set(_WORD.findall(match[1].lower())) if match else set()


def tie_breaker(block: Block, now_ns: int) -> float:
    """A little more for what is new or important: at most a few hundredths."""
    age_days = max(0, now_ns - block.time_ns) / _DAY_NS
    return RECENCY_WEIGHT * 0.5 ** (age_days / HALF_LIFE_DAYS) + IMPORTANCE_WEIGHT * block.importance
