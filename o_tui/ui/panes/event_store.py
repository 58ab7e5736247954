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
        # older rows that the guardian found for a filter: others lie between them, so they are no part of `rows`
        self._found: list[Row] = []

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
            self.rows = []
            self.forget_found()
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

    @property
    def oldest(self) -> int:
        """The id before which the next page begins."""
        return int(self._found[0]["id"]) if self._found else self.first

    def forget_found(self) -> None:
        """Another filter: what was found for the last one goes."""
        self._found, self.complete = [], False

    def prepend(self, rows: Sequence[Row], asked: int, *, filtered: bool = False) -> int:
        """Puts a page of older rows before the others; fewer than asked for: there are no older ones."""
        oldest = self.oldest
        older = sorted((row for row in rows if int(row["id"]) < oldest), key=lambda row: int(row["id"]))
        self.complete = len(rows) < asked or not older
        if filtered:
            self._found = older + self._found
        else:
            self.rows = older + self.rows
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
            for row in (*self._found, *self.rows)
            if all(str(row.get(key)) == value for key, value in exact)
            and matches(rest, row.get("text"), row.get("source"), row.get("level"), row.get("kind"))
        ]
