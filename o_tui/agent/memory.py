"""Reading the state: what genes see of it (`StateView`), and the two searches that `recall` fuses."""

from __future__ import annotations

import re
from typing import Any, Final

from o_tui import _native
from o_tui.agent.dsl import Block, BlockKind, Hit, Turn
from o_tui.agent.state import DIMENSIONS, VECTOR_BYTES, State

_BLOCK: Final = (
    "blocks.id, blocks.kind, blocks.text, blocks.source, blocks.context, blocks.time_ns, blocks.importance,"
    " blocks.accesses"
)
_WORD = re.compile(r"\w+")
_QUERY_WORDS = 48
_LIMIT = 1_000
_STOP_WORDS = frozenset(
    _WORD.findall(
        "a about am an and any are as at be been but by can could did do does for from had has have he her him his how"
        " i in is it its me my of on or our say she should so than that the their them then there they this to told us"
        " was we were what when where which who whom whose why will with would you your"
    )
)


def _block(row: tuple[Any, ...]) -> Block:
    return Block(*row)


def match_expression(text: str) -> str:
    """An FTS5 query for any of the words of `text`; words that say nothing are left out where others remain."""
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(text)))
    telling = [word for word in words if word not in _STOP_WORDS] or words
    return " OR ".join(f'"{word}"' for word in telling[:_QUERY_WORDS])


class View:
    """The `StateView` of genes."""

    __slots__ = ("_state",)

    def __init__(self, state: State) -> None:
        self._state = state

    def turns(self, session: str, n: int = 20) -> list[Turn]:
        """The last `n` turns of a session, oldest first."""
        rows = self._state.rows(
            "SELECT id, session, role, text, time_ns FROM turns WHERE session = ? ORDER BY n DESC LIMIT ?",
            (session, _bounded(n)),
        )
        return [Turn(*row) for row in rows][::-1]

    def blocks(self, kind: BlockKind | None = None, n: int = 100, before: int = 0) -> list[Block]:
        """The `n` newest memories, newest first; `before` a time in ns, where given."""
        conditions: list[str] = []
        parameters: list[str | int] = []
        if kind is not None:
            conditions.append("kind = ?")
            parameters.append(kind)
        if before:
            conditions.append("time_ns < ?")
            parameters.append(before)
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        rows = self._state.rows(
            f"SELECT {_BLOCK} FROM blocks {where}ORDER BY time_ns DESC, n DESC LIMIT ?", (*parameters, _bounded(n))
        )
        return [_block(row) for row in rows]

    def block(self, block_id: str) -> Block | None:
        """One memory."""
        for row in self._state.rows(f"SELECT {_BLOCK} FROM blocks WHERE id = ?", (block_id,)):
            return _block(row)
        return None

    def value(self, key: str, default: Any = None) -> Any:
        """A value that was stored with `StateUpdate`."""
        return self._state.value(key, default)

    def count(self) -> int:
        """How many memories there are."""
        for (count,) in self._state.rows("SELECT count(*) FROM blocks"):
            return int(count)
        return 0


class MemorySearch:
    """The `Search` of the gene `recall`. Blocks whose id starts with `hidden` do not exist for it.

    (A request that is delivered a second time has stored things already; it must not find itself.)
    """

    __slots__ = ("_hidden", "_state", "_vector")

    def __init__(self, state: State, hidden: str = "", vector: bytes = b"") -> None:
        """`vector` is the query's, by the model that embeds memories; empty: hashed n-grams stand for it."""
        self._state = state
        self._hidden = hidden
        self._vector = vector

    def lexical(self, text: str, n: int) -> list[Hit]:
        """The `n` best by BM25 over text (weight 1), context and source (one half each); scores are positive."""
        expression = match_expression(text)
        if not expression:
            return []
        rows = self._state.rows(
            f"SELECT {_BLOCK}, found.score FROM (SELECT rowid AS n, bm25(words, 1.0, 0.5, 0.5) AS score FROM words"
            " WHERE words MATCH ? ORDER BY score, rowid LIMIT ?) AS found JOIN blocks USING (n)"
            " ORDER BY found.score, blocks.n",
            (expression, _bounded(n) + self._spare()),
        )
        return self._own_removed([Hit(_block(row[:8]), -row[8]) for row in rows], n)

    def semantic(self, text: str, n: int) -> list[Hit]:
        """The `n` nearest by the cosine of their embeddings."""
        vector = self._vector if len(self._vector) == VECTOR_BYTES else _native.embed(text, DIMENSIONS)
        found = self._state.vectors.search(vector, _bounded(n) + self._spare())
        if not found:
            return []
        marks = ",".join("?" * len(found))
        rows = self._state.rows(
            f"SELECT {_BLOCK}, n FROM blocks WHERE n IN ({marks})", tuple(number for number, _score in found)
        )
        blocks = {row[8]: _block(row[:8]) for row in rows}
        return self._own_removed([Hit(blocks[number], score, score) for number, score in found if number in blocks], n)

    def recent(self, n: int) -> list[Hit]:
        """The `n` newest; the score counts down from 1."""
        n = _bounded(n)
        blocks = View(self._state).blocks(n=n + self._spare())
        hits = self._own_removed([Hit(block, 0.0) for block in blocks], n)
        return [Hit(hit.block, 1.0 - place / max(1, len(hits))) for place, hit in enumerate(hits)]

    def _spare(self) -> int:
        return 8 if self._hidden else 0

    def _own_removed(self, hits: list[Hit], n: int) -> list[Hit]:
        hidden = self._hidden
        if not hidden:
            return hits
        return [hit for hit in hits if not hit.block.id.startswith(hidden)][:n]


def _bounded(n: int) -> int:
    return max(0, min(n, _LIMIT))
