"""Which memories answer a query: words and meaning together, newer and weightier ones first where those agree.

BM25 finds the words, the embedding finds near spellings and related ones. Both are scaled to 0..1 before they are
added, so that a score can be compared with another query's, and a score near 0 means "nothing about that".
"""

from __future__ import annotations

import re

from o_tui.agent.dsl import Block, Hit, Search

LEXICAL_WEIGHT = 0.85
SEMANTIC_WEIGHT = 0.15
RECENCY_WEIGHT = 0.02
IMPORTANCE_WEIGHT = 0.02
HALF_LIFE_DAYS = 30.0
POOL = 40

_DAY_NS = 86_400_000_000_000
_WORD = re.compile(r"\w+")
_EMPTY_WORDS = frozenset(
    _WORD.findall(
        "a about am an and any are as at be been but by can could did do does ever for from had has have he her him his"
        " how i in is it its know many me much my of on or our remember say said she should so tell than that the their"
        " them then there they this to told us was we were what when where which who whom whose why will with would"
        " you your"
    )
)


def recall(query: str, search: Search, k: int, now_ns: int) -> list[Hit]:
    """The `k` best memories for `query`, best first; equal scores by id, so that the order never depends on chance."""
    if k <= 0:
        return []
    pool = max(POOL, 4 * k)
    lexical = {hit.block.id: hit for hit in search.lexical(query, pool)}
    semantic = {hit.block.id: hit for hit in search.semantic(query, pool)}
    best_words = max((hit.score for hit in lexical.values()), default=0.0) or 1.0
    wanted = telling_words(query)
    pattern = matcher(wanted)
    hits = []
    for block_id, found in {**semantic, **lexical}.items():
        block = found.block
        cosine = max(0.0, semantic[block_id].similarity) if block_id in semantic else 0.0
        words = 0.0
        if pattern is not None and block_id in lexical:
            words = lexical[block_id].score / best_words * coverage(pattern, len(wanted), block)
        relevance = LEXICAL_WEIGHT * words + SEMANTIC_WEIGHT * cosine
        hits.append(Hit(block, relevance * (1.0 + tie_breaker(block, now_ns)), cosine))
    hits.sort(key=lambda hit: (-hit.score, hit.block.id))
    return hits[:k]


def telling_words(text: str) -> list[str]:
    """The stems of the words that say what a text is about; of all words where none does."""
    words = {word.lower() for word in _WORD.findall(text)}
    return sorted({stem(word) for word in (words - _EMPTY_WORDS or words)})


def stem(word: str) -> str:
    """A word without its commonest endings: rough, but it is only looked for at the beginning of words."""
    for ending in ("ing", "ies", "ied", "ed", "es", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def matcher(wanted: list[str]) -> re.Pattern[str] | None:
    """Finds the wanted stems in a text, all in one pass; None: nothing is wanted."""
    longest_first = sorted(wanted, key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(map(re.escape, longest_first))})", re.IGNORECASE) if wanted else None


def coverage(pattern: re.Pattern[str], count: int, block: Block) -> float:
    """The share of the wanted words that a memory has; those that only its context has count half."""
    own = {found.lower() for found in pattern.findall(f"{block.text} {block.source}")}
    around = {found.lower() for found in pattern.findall(block.context)} - own if len(own) < count else ()
    return (len(own) + 0.5 * len(around)) / count


def tie_breaker(block: Block, now_ns: int) -> float:
    """A little more for what is new or important: at most a few hundredths."""
    age_days = max(0, now_ns - block.time_ns) / _DAY_NS
    return RECENCY_WEIGHT * 0.5 ** (age_days / HALF_LIFE_DAYS) + IMPORTANCE_WEIGHT * block.importance
