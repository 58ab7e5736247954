"""Everything as it is."""

from __future__ import annotations

from o_tui.agent.dsl import Block, Change


def chunk(text: str) -> list[str]:
    return [text]


def importance(text: str, kind: str) -> float:
    return 0.5


def consolidate(blocks: list[Block], now_ns: int) -> list[Change]:
    return []
