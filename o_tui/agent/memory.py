"""Reading the state: what genes see of it (`StateView`), and the searches that `recall` is made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from o_tui.agent.dsl import Block, BlockKind, Hit, Turn
from o_tui.agent.state import State

_BLOCK: Final = (
    "blocks.id, blocks.kind, blocks.text, blocks.source, blocks.context, blocks.time_ns, blocks.importance,"
    " blocks.accesses"
)
_WORD = re.compile(r"\w+")
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


def telling_words(text: str) -> str:
    """The words of `text` without those that say nothing, where others remain."""
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(text)))
    return " ".join([word for word in words if word not in _STOP_WORDS] or words)


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

    def oldest(self, kind: BlockKind, n: int) -> list[Block]:
        """The `n` oldest memories of a kind, oldest first."""
        rows = self._state.rows(
            f"SELECT {_BLOCK} FROM blocks WHERE kind = ? ORDER BY time_ns, n LIMIT ?", (kind, _bounded(n))
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
        return len(self._state.words)


class MemorySearch:
    """The `Search` of the gene `recall`. Blocks whose id starts with `hidden` do not exist for it.

    (A request that is delivered a second time has stored things already; it must not find itself.)

    `vector` is the query's embedding where a model made one; without it nothing is found by meaning.
    """

    __slots__ = ("_hidden", "_state", "_vector")

    def __init__(self, state: State, hidden: str = "", vector: bytes = b"") -> None:
        self._state = state
        self._hidden = hidden
        vectors = state.vectors
        self._vector = vector if vectors is not None and len(vector) == 4 * vectors.dimensions else b""

    def find(
        self,
        text: str,
        n: int,
        *,
        context: float = 0.5,
        source: float = 0.5,
        neighbour: float = 0.5,
        repeats: float = 1.2,
        length: float = 0.75,
        coverage: float = 0.7,
        meaning: float = 0.0,
    ) -> list[Hit]:
        """The `n` best by words and meaning together (`dsl.Search.find`)."""
        found = self._state.words.search(
            text,
            _bounded(n) + self._spare(),
            vectors=self._state.vectors if self._vector else None,
            vector=self._vector,
            meaning=meaning,
            context=context,
            source=source,
            neighbour=neighbour,
            repeats=repeats,
            length=length,
            coverage=coverage,
        )
        ranked = [(number, score) for number, score, _cosine in found]
        return self._hits(ranked, {number: cosine for number, _score, cosine in found}, n)

    def lexical(self, text: str, n: int) -> list[Hit]:
        """The `n` best by BM25 over text (weight 1), context and source (one half each); scores are positive."""
        found = self._state.words.find(telling_words(text), _bounded(n) + self._spare(), neighbour=0.0)
        return self._hits([(number, score) for number, score, _coverage in found], {}, n)

    def semantic(self, text: str, n: int) -> list[Hit]:
        """The `n` nearest by the cosine of their embeddings; none without a model for these."""
        vectors = self._state.vectors
        if vectors is None or not self._vector:
            return []
        found = vectors.search(self._vector, _bounded(n) + self._spare())
        return self._hits(found, dict(found), n)

    def recent(self, n: int) -> list[Hit]:
        """The `n` newest; the score counts down from 1."""
        n = _bounded(n)
        blocks = View(self._state).blocks(n=n + self._spare())
        hits = self._own_removed([Hit(block, 0.0) for block in blocks], n)
        return [Hit(hit.block, 1.0 - place / max(1, len(hits))) for place, hit in enumerate(hits)]

    def _hits(self, found: Sequence[tuple[int, float]], cosines: dict[int, float], n: int) -> list[Hit]:
        found = found[: _bounded(n) + self._spare()]
        numbers = msgspec.json.encode([number for number, _score in found]).decode()
        rows = self._state.rows(
            f"SELECT {_BLOCK}, n FROM blocks WHERE n IN (SELECT value FROM json_each(?))", (numbers,)
        )
        blocks = {row[8]: _block(row[:8]) for row in rows}
        hits = [Hit(blocks[number], score, cosines.get(number, 0.0)) for number, score in found if number in blocks]
        return self._own_removed(hits, n)

    def _spare(self) -> int:
        return 8 if self._hidden else 0

    def _own_removed(self, hits: list[Hit], n: int) -> list[Hit]:
        hidden = self._hidden
        return [hit for hit in hits if not (hidden and hit.block.id.startswith(hidden))][: _bounded(n)]


def _bounded(n: int) -> int:
    return max(0, min(n, _LIMIT))
