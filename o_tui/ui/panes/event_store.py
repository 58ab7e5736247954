"""The events that the pane has seen, in order, with older pages before them."""

from __future__ import annotations

from collections.abc import Sequence

from o_tui.ui.lists.filter_bar import matches
from o_tui.ui.lists.row_list import Row

MOST = 20_000
EXACT = ("level", "source", "kind")


class EventStore:
    """Rows by rising id. New ones come from the model, old ones from the guardian's pages."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.complete = False

    @property
    def first(self) -> int:
        """The oldest id; 0: there is none."""
        return int(self.rows[0]["id"]) if self.rows else 0

    @property
    def last(self) -> int:
        """The newest id; 0: there is none."""
        return int(self.rows[-1]["id"]) if self.rows else 0

    def take(self, rows: Sequence[Row]) -> int:
        """Appends what is newer than the last one; returns how many. After a gap it begins anew."""
        if rows and self.rows and int(rows[0]["id"]) > self.last + 1:
            self.rows, self.complete = [], False
        last = self.last
        start = len(rows)
        while start and int(rows[start - 1]["id"]) > last:
            start -= 1
        fresh = list(rows[start:])
        self.rows += fresh
        if len(self.rows) > MOST:
            del self.rows[: len(self.rows) - MOST]
            self.complete = False
        return len(fresh)

    def prepend(self, rows: Sequence[Row], asked: int) -> int:
        """Puts a page of older rows before the others; fewer than asked for: there are no older ones."""
        first = self.first
        known = {int(row["id"]) for row in self.rows}
        older = sorted((row for row in rows if int(row["id"]) not in known), key=lambda row: int(row["id"]))
        self.complete = len(rows) < asked or not older
        # a filtered page may skip rows: they are asked for again when the filter is gone
        self.rows = sorted([*older, *self.rows], key=lambda row: int(row["id"])) if first else list(older)
        return len(older)

    def filtered(self, query: str) -> list[Row]:
        """The rows that a query means, as the guardian reads it: `level:error`, `source:nursery`, `kind:…` words must
        be so exactly, other words are looked for in text, source, level and kind.
        """
        words = query.split()
        if not words:
            return self.rows
        exact = [word.partition(":")[::2] for word in words if word.partition(":")[0] in EXACT and ":" in word]
        rest = " ".join(word for word in words if not (word.partition(":")[0] in EXACT and ":" in word))
        return [
            row
            for row in self.rows
            if all(str(row.get(key)) == value for key, value in exact)
            and matches(rest, row.get("text"), row.get("source"), row.get("level"), row.get("kind"))
        ]
