"""The order of the words' search."""

from __future__ import annotations

from o_tui.agent.dsl import Hit, Search


def recall(query: str, search: Search, k: int, now_ns: int) -> list[Hit]:
    """What the words find."""
    return search.lexical(query, k)
