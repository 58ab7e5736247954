"""Markdown that is still being written: what is finished is given away once, only the open end is looked at again."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

TAIL_CHARS, TAIL_LINES = 6_000, 80
"""An open block larger than this is cut, so that the work for a chunk does not grow with the answer."""


@lru_cache(maxsize=1)
def _blocks() -> MarkdownIt:
    from markdown_it import MarkdownIt  # here: it is not needed for the first frame

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table"])
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


class MarkdownStream:
    """Takes chunks, gives away finished blocks.

    Attributes:
        tail: The source of the block that is open.
        continued: The open block goes on where the last finished one was cut.
    """

    def __init__(self) -> None:
        self.tail = ""
        self.continued = False
        self._looked = 0

    def append(self, chunk: str) -> None:
        """Adds what has come."""
        self.tail += chunk

    def take(self) -> list[tuple[str, bool]]:
        """The blocks that are finished now: `(source, continues the one before)`."""
        if "\n" not in self.tail[self._looked :] and len(self.tail) < TAIL_CHARS:
            return []
        found: list[tuple[str, bool]] = []
        lines = self.tail.split("\n")
        tops = [token for token in _blocks().parse(self.tail) if token.level == 0 and token.map and token.nesting >= 0]
        if not tops:
            self._looked = len(self.tail)
            return found
        starts = [token.map[0] for token in tops if token.map]
        for start, end in pairwise(starts):
            found.append(("\n".join(lines[start:end]).rstrip("\n"), self.continued))
            self.continued = False
        self.tail = "\n".join(lines[starts[-1] :])
        while (cut := self._cut(tops[-1])) is not None:
            found.append((cut, self.continued))
            self.continued = True
        self._looked = len(self.tail)
        return found

    def finish(self) -> list[tuple[str, bool]]:
        """Everything that is left."""
        self._looked = 0
        found = self.take()
        if self.tail.strip():
            found.append((self.tail.rstrip("\n"), self.continued))
        self.tail, self.continued, self._looked = "", False, 0
        return found

    def _cut(self, top: Token) -> str | None:
        """Cuts a piece off an open block that is too large; None if it is not."""
        lines = self.tail.split("\n")
        if len(self.tail) < TAIL_CHARS and len(lines) <= TAIL_LINES:
            return None
        if len(lines) < 3:
            return self._cut_text()
        half = len(lines) // 2
        if top.type == "fence":
            opening = lines[0]
            self.tail = "\n".join([opening, *lines[half:]])
            return "\n".join([*lines[:half], opening[: len(opening) - len(opening.lstrip())] + top.markup])
        if top.type == "table_open" and len(lines) > 4:
            self.tail = "\n".join([*lines[:2], *lines[half:]])
        else:
            half = _item_start(lines, half) if top.type.endswith("list_open") else half
            self.tail = "\n".join(lines[half:])
        return "\n".join(lines[:half])

    def _cut_text(self) -> str | None:
        if len(self.tail) < TAIL_CHARS:
            return None
        space = self.tail.rfind(" ", TAIL_CHARS // 4, TAIL_CHARS // 2)
        end = space if space > 0 else TAIL_CHARS // 2
        piece, self.tail = self.tail[:end], self.tail[end:].lstrip(" ")
        return piece


def _item_start(lines: list[str], near: int) -> int:
    """The line nearest before `near` that begins an item of the outer list."""
    for index in range(near, 0, -1):
        head = lines[index][:1]
        if head.isdigit() or head in ("-", "*", "+"):
            return index
    return near
