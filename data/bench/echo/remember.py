"""Everything as it is."""

from __future__ import annotations

from o_tui.agent.dsl import Block, Change


def chunk(text: str) -> list[str]:
    """In one piece."""
    return [text]


def importance(text: str, kind: str) -> float:
    """The same for all."""
    return 0.5


def consolidate(blocks: list[Block], now_ns: int) -> list[Change]:
    """Nothing."""
    return []
