"""A diff ready to be drawn: rows for one way of showing it, display texts, highlighters made when first needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from o_tui.ui.diff.highlight import Highlighter, Span
from o_tui.ui.diff.layout import DEFAULT_CONTEXT, Row, rows, with_context
from o_tui.ui.diff.parse import FileDiff, Hunk, parse
from o_tui.ui.format import shown
from o_tui.ui.lists.paint import cells

TAB = 4


@dataclass(frozen=True, slots=True)
class Options:
    """How a diff is shown."""

    split: bool = False
    context: int = DEFAULT_CONTEXT


class Document:
    """The rows of a diff under some options.

    Attributes:
        files: The files with the context that the options ask for.
        rows: What is drawn, from top to bottom.
        hunk_rows: The indexes of hunk headers in `rows`.
        number_width: Cells of the widest line number.
    """

    def __init__(self, files: Sequence[FileDiff], options: Options, sources: Mapping[str, str]) -> None:
        self.options = options
        self.files = [with_context(diff, options.context, sources.get(diff.old_path)) for diff in files]
        self.rows = rows(self.files, split=options.split)
        self.hunk_rows = [index for index, row in enumerate(self.rows) if row.kind == "hunk"]
        numbers = (max(line.old, line.new) for diff in self.files for hunk in diff.hunks for line in hunk.lines)
        self.number_width = max(3, len(str(max(numbers, default=0))))
        self._texts: dict[str, str] = {}
        self._highlighters: dict[tuple[int, int, bool], Highlighter] = {}
        self._widest = -1

    @classmethod
    def of(cls, text: str) -> Document:
        """A document of a diff's text with the usual options."""
        return cls(parse(text), Options(), {})

    @property
    def widest(self) -> int:
        """Cells of the longest line."""
        if self._widest < 0:
            lines = (line.text for diff in self.files for hunk in diff.hunks for line in hunk.lines)
            self._widest = max((cells(self.display(text)) for text in lines), default=0)
        return self._widest

    def display(self, text: str) -> str:
        """A line as it is shown: tabs as blanks, characters that a terminal would act on made visible."""
        if text.isascii() and text.isprintable():
            return text
        found = self._texts.get(text)
        if found is None:
            found = self._texts[text] = shown(text.expandtabs(TAB))
        return found

    def hunk(self, row: Row) -> Hunk:
        """The hunk that a row is of."""
        return self.files[row.file].hunks[row.hunk]

    def spans(self, row: Row, index: int, *, new: bool) -> list[Span] | None:
        """Highlighting of line `index` of a hunk's old or new side; None where it is not there yet (call `work` and
        draw again).
        """
        return self._highlighter(row, new=new).line(index)

    def work(self) -> bool:
        """Highlights a little more of what was asked for; whether something is still to do."""
        for highlighter in self._highlighters.values():
            if not highlighter.complete:
                highlighter.advance()
                return True
        return False

    def _highlighter(self, row: Row, *, new: bool) -> Highlighter:
        key = (row.file, row.hunk, new)
        found = self._highlighters.get(key)
        if found is None:
            diff = self.files[row.file]
            lines = [line.text for line in self.hunk(row).lines if (line.new if new else line.old)]
            path = diff.new_path if new else diff.old_path
            found = self._highlighters[key] = Highlighter([self.display(line) for line in lines], path)
        return found
