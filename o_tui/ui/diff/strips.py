"""One row of a diff as segments: gutter with line numbers and signs, highlighted text, what changed in it, matches."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rich.segment import Segment
from textual.style import Style

from o_tui.protocol.safe_text import hidden
from o_tui.ui.diff.document import Document
from o_tui.ui.diff.layout import Row, common_ends
from o_tui.ui.diff.marks import Marks, key_of, keys_of
from o_tui.ui.diff.parse import Line
from o_tui.ui.lists.paint import Part, cells, fit, paint, rich_style, wrap_cells

_MARK = re.compile(r"<U\+[0-9A-F]{4,6}>")
"""How `safe_text` writes a character that cannot be seen."""
SIGNS = {"context": " ", "added": "+", "removed": "-", "note": "\\"}
_HUNK_MARKS = {"open": "[   ?    ]", "accepted": "[accepted]", "rejected": "[rejected]", "partly": "[ partly ]"}
_LINE_MARKS = {"accepted": "✓", "rejected": "✗"}
_LINE_MARKS_ASCII = {"accepted": "y", "rejected": "n"}


@dataclass(frozen=True, slots=True)
class Frame:
    """The geometry of a view: cells of the whole row, of the text in it (of one side), columns scrolled away."""

    width: int
    text: int
    scroll: int
    wrap: bool
    ascii_only: bool

    @classmethod
    def of(cls, document: Document, width: int, *, scroll: int, wrap: bool, ascii_only: bool) -> Frame:
        """The geometry that a document has in `width` cells."""
        number = document.number_width
        text = (width - 1) // 2 - number - 3 if document.options.split else width - 2 * number - 4
        return cls(width, max(4, text), 0 if wrap else scroll, wrap, ascii_only)


class RowPainter:
    """Draws rows of one document in one frame with one set of styles (`base`, `added`, `removed`, `gutter`, …)."""

    def __init__(
        self,
        document: Document,
        frame: Frame,
        styles: dict[str, Style],
        query: str = "",
        marks: Marks | None = None,
        line: Row | None = None,
    ) -> None:
        """`marks` are shown where there are any; `line` is the row at the line cursor."""
        self._document = document
        self._frame = frame
        self._styles = styles
        self._marks = marks or Marks()
        self._line = line
        self._query = query.casefold()
        self._tokens: dict[str, Style] = {}
        self.unfinished = False

    def height(self, row: Row) -> int:
        """Lines that the row takes."""
        if not self._frame.wrap or row.kind != "line":
            return 1
        display = self._document.display
        sides = (side for side in (row.left, row.right) if side is not None)
        return max(len(wrap_cells(display(side.text), self._frame.text)) for side in sides)

    def segments(self, row: Row, part: int, *, current: bool) -> list[Segment]:
        """Line `part` of a row; `current`: it belongs to the hunk that n and p are at."""
        if row.kind != "line":
            return self._header(row, current=current)
        if self._document.options.split:
            return self._pair(row, part)
        assert row.left is not None
        return self._unified(row, row.left, part)

    def _header(self, row: Row, *, current: bool) -> list[Segment]:
        name = "current" if row.kind == "hunk" and current else row.kind
        pointer = (">" if self._frame.ascii_only else "▶") if name == "current" else " "
        mark = {"file": "", "hunk": f"{pointer} ", "note": "  \\ "}[row.kind]
        text = mark + self._document.display(row.text)
        if row.kind == "hunk" and self._marks:
            keys = keys_of(self._document.files[row.file], self._document.hunk(row).lines)
            text = f"{mark}{_HUNK_MARKS[self._marks.state(keys)]} {self._document.display(row.text)}"
        if row.kind == "file":
            diff = self._document.files[row.file]
            text = f"{text}   +{diff.added} -{diff.removed}"
        return paint(fit(text, self._frame.width), self._styles[name], self._matches(text))

    def _unified(self, row: Row, line: Line, part: int) -> list[Segment]:
        width = self._document.number_width
        old, new = (str(number) if number and not part else "" for number in (line.old, line.new))
        gutter = f"{old:>{width}} {new:>{width}}{self._mark(row, line, part)}"
        style = self._styles[line.kind]
        sign = SIGNS[line.kind] if not part else " "
        return [
            *paint(gutter, self._gutter(row)),
            *paint(f"{sign} ", style + Style(bold=True)),
            *self._text(row, line, row.left_index, part, new=line.kind != "removed"),
        ]

    def _gutter(self, row: Row) -> Style:
        return self._styles["current" if row is self._line else "gutter"]

    def _mark(self, row: Row, line: Line, part: int) -> str:
        mark = self._marks.get(key_of(self._document.files[row.file], line)) if self._marks and not part else None
        marks = _LINE_MARKS_ASCII if self._frame.ascii_only else _LINE_MARKS
        return marks[mark] if mark else " "

    def _pair(self, row: Row, part: int) -> list[Segment]:
        left = self._side(row, row.left, row.left_index, part, old=True)
        bar = "|" if self._frame.ascii_only else "│"
        spare = self._frame.width - 1 - 2 * (self._frame.text + self._document.number_width + 3)
        right = self._side(row, row.right, row.right_index, part, old=False)
        rest = paint(" " * max(0, spare), self._styles["base"])
        return [*left, *paint(bar, self._styles["gutter"]), *right, *rest]

    def _side(self, row: Row, line: Line | None, index: int, part: int, *, old: bool) -> list[Segment]:
        width = self._document.number_width
        if line is None:
            fill = " " if self._frame.ascii_only else "╱"
            return paint(fill * (width + 3 + self._frame.text), self._styles["blank"])
        number = str(line.old if old else line.new) if not part else ""
        sign = SIGNS[line.kind] if not part else " "
        return [
            *paint(f"{number:>{width}}{self._mark(row, line, part)}", self._gutter(row)),
            *paint(f"{sign} ", self._styles[line.kind] + Style(bold=True)),
            *self._text(row, line, index, part, new=not old),
        ]

    def _text(self, row: Row, line: Line, index: int, part: int, *, new: bool) -> list[Segment]:
        document, frame = self._document, self._frame
        width = frame.text
        text = document.display(line.text)
        base = self._styles[line.kind]
        start, end = 0, len(text)
        if frame.wrap:
            starts = wrap_cells(text, frame.text)
            if part >= len(starts):
                return paint(" " * width, base)
            start, end = starts[part], (starts[part + 1] if part + 1 < len(starts) else len(text))
        elif text.isascii():
            start = min(frame.scroll, len(text))
        else:
            # a wide character that is half scrolled away goes as a whole
            while start < len(text) and cells(text[:start]) < frame.scroll:
                start += 1
        layers = (*self._syntax(row, index, new=new), *self._changed(row, line), *self._flags(line, text))
        parts = [(first - start, last - start, style) for first, last, style in layers]
        return paint(fit(text[start:end], width), base, parts)

    def _syntax(self, row: Row, index: int, *, new: bool) -> list[Part]:
        spans = self._document.spans(row, index, new=new)
        if spans is None:
            self.unfinished = True
            return []
        return [(start, end, self._token(style)) for start, end, style in spans if style]

    def _token(self, text: str) -> Style:
        found = self._tokens.get(text)
        if found is None:
            parsed = Style.parse(text)
            # only the letters: the background says whether a line comes or goes
            found = Style(foreground=parsed.foreground, bold=parsed.bold, italic=parsed.italic)
            self._tokens[text] = found
        return found

    def _changed(self, row: Row, line: Line) -> list[Part]:
        """What differs from the line that this one replaces, where they are alike enough for that to say something."""
        other = row.right if line is row.left else row.left
        if other is None or line.kind == "context" or other.kind == line.kind:
            return []
        text, against = self._document.display(line.text), self._document.display(other.text)
        start, end = common_ends(text, against)
        if 2 * (start + end) < min(len(text), len(against)) or not text.strip():
            return []
        return [(start, len(text) - end, self._styles[f"{line.kind}-word"])]

    def _flags(self, line: Line, text: str) -> list[Part]:
        """Letters that are not what they look like, and what was found."""
        flagged: list[Part] = []
        if line.kind == "added" and not line.text.isascii():
            flagged = [(index, index + 1, self._styles["flag"]) for index, _ in hidden(text)]
            flagged += [(match.start(), match.end(), self._styles["flag"]) for match in _MARK.finditer(text)]
        return [*flagged, *self._matches(text)]

    def _matches(self, text: str) -> list[Part]:
        if not self._query:
            return []
        low, found, at = text.casefold(), [], 0
        while (at := low.find(self._query, at)) >= 0:
            found.append((at, at + len(self._query), self._styles["match"]))
            at += len(self._query)
        return found


__all__ = ["SIGNS", "Frame", "RowPainter", "rich_style"]
