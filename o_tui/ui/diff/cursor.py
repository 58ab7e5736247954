"""Where in a diff the operator is: at a hunk, or at one changed line of it. Pure: it moves, the view shows it."""

from __future__ import annotations

from o_tui.ui.diff.document import Document
from o_tui.ui.diff.layout import Row
from o_tui.ui.diff.marks import LineKey, keys_of


class Cursor:
    """A place in a document.

    Attributes:
        hunk: The hunk's place among all, from 0.
        line: The index of the line's row; -1: at the whole hunk.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self.hunk = 0
        self.line = -1

    @property
    def by_line(self) -> bool:
        """Whether it is at a line and not at a whole hunk."""
        return self.line >= 0

    @property
    def hunk_row(self) -> int:
        """The index of its hunk's header; -1: there is no hunk."""
        hunks = self._document.hunk_rows
        return hunks[self.hunk] if hunks else -1

    @property
    def file(self) -> int:
        """Its file, from 0; -1: there is none."""
        return self._document.rows[self.hunk_row].file if self.hunk_row >= 0 else -1

    def enter(self, document: Document) -> None:
        """The rows are other ones now: it stays in its hunk."""
        self._document = document
        self.hunk = max(0, min(self.hunk, len(document.hunk_rows) - 1))
        if self.by_line:
            self.line = -1
            self.toggle_lines()

    def toggle_lines(self) -> None:
        """From hunks to single lines, or back."""
        lines = self._changed()
        behind = (row for row in lines if row > self.hunk_row)
        self.line = -1 if self.by_line or not lines else next(behind, lines[-1])
        self._follow_line()

    def move_line(self, step: int) -> None:
        """To the next (1) or the previous (-1) changed line."""
        lines = self._changed()
        place = lines.index(self.line) + step if self.line in lines else 0
        self.line = lines[max(0, min(len(lines) - 1, place))]
        self._follow_line()

    def _follow_line(self) -> None:
        if self.by_line:
            self.hunk = sum(row < self.line for row in self._document.hunk_rows) - 1

    def move_hunk(self, step: int) -> bool:
        """To the next or the previous hunk; False: there is none at all."""
        hunks = self._document.hunk_rows
        if hunks:
            self._go(max(0, min(len(hunks) - 1, self.hunk + step)))
        return bool(hunks)

    def move_file(self, step: int) -> bool:
        """To the first hunk of the next or the previous file; False: there is none."""
        rows, goal = self._document.rows, self.file + step
        hunks = (index for index, row in enumerate(self._document.hunk_rows) if rows[row].file == goal)
        first = next(hunks, -1) if self.file >= 0 else -1
        if first >= 0:
            self._go(first)
        return first >= 0

    def _go(self, hunk: int) -> None:
        self.hunk = hunk
        if self.by_line:
            self.line = next((row for row in self._changed() if row > self.hunk_row), self.line)

    def point(self, index: int) -> bool:
        """To the hunk of a row, and to its line where single lines are chosen; False: it is in no hunk."""
        rows = self._document.rows
        for hunk, row in enumerate(self._document.hunk_rows):
            if _same_hunk(rows[row], rows[index]):
                self._go(hunk)
                if self.by_line and _is_change(rows[index]):
                    self.line = index
                return True
        return False

    def holds(self, row: Row) -> bool:
        """Whether a row is of its hunk."""
        return self.hunk_row >= 0 and _same_hunk(row, self._document.rows[self.hunk_row])

    def keys(self) -> list[LineKey]:
        """The lines that it is at: all of the hunk, or one (side by side: with the one that it replaces)."""
        at = self.line if self.by_line else self.hunk_row
        if at < 0:
            return []
        row = self._document.rows[at]
        lines = (row.left, row.right) if self.by_line else self._document.hunk(row).lines
        return keys_of(self._document.files[row.file], lines)

    def _changed(self) -> list[int]:
        return [index for index, row in enumerate(self._document.rows) if _is_change(row)]


def _is_change(row: Row) -> bool:
    return any(line is not None and line.kind in ("added", "removed") for line in (row.left, row.right))


def _same_hunk(one: Row, other: Row) -> bool:
    return (one.file, one.hunk) == (other.file, other.hunk)
