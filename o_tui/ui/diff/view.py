"""The diff of the review: virtual, so 20,000 lines open as fast as 20. It shows; what is decided is the pane's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style
from textual.timer import Timer

from o_tui.ui.boundary import Guarded
from o_tui.ui.diff.cursor import Cursor
from o_tui.ui.diff.document import Document, Options
from o_tui.ui.diff.layout import DEFAULT_CONTEXT
from o_tui.ui.diff.marks import Mark, Marks
from o_tui.ui.diff.parse import FileDiff, parse
from o_tui.ui.diff.strips import Frame, RowPainter
from o_tui.ui.lists.paint import rich_style

STYLE_NAMES = (
    "context", "added", "removed", "note", "added-word", "removed-word", "gutter", "file", "hunk", "current", "blank",
    "match", "flag",
)  # fmt: skip
MOST_CONTEXT = 99
LEAST_SPLIT = 84
"""Cells from which on two sides have room beside each other."""
IDLE_S = 0.02


class DiffView(Guarded, ScrollView, can_focus=True):
    """A unified diff, highlighted, unified or side by side, with a cursor that goes from hunk to hunk."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"diff--{name}" for name in STYLE_NAMES}
    DEFAULT_CSS = """
    DiffView {
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 1;
        & > .diff--context { color: $foreground; }
        & > .diff--added { background: $success 14%; }
        & > .diff--removed { background: $error 14%; }
        & > .diff--added-word { background: $success 34%; color: $foreground; }
        & > .diff--removed-word { background: $error 34%; color: $foreground; }
        & > .diff--gutter { color: $foreground 60%; }
        & > .diff--note { color: $foreground 70%; text-style: italic; }
        & > .diff--file { text-style: bold; background: $panel; }
        & > .diff--hunk { color: $text-secondary; }
        & > .diff--current { color: $text-primary; text-style: bold; background: $primary 20%; }
        & > .diff--blank { color: $foreground 15%; }
        & > .diff--flag { background: $error; color: $background; text-style: bold; }
        & > .diff--match { background: $warning 45%; color: $foreground; }
    }
    """

    @dataclass
    class Moved(Message):
        """The cursor is at another hunk, or there are other hunks: counts for a title (from 1; 0: none)."""

        file: int
        files: int
        hunk: int
        hunks: int

    @dataclass
    class SourceWanted(Message):
        """More context is asked for than the diff has: the old text of these paths would give it."""

        paths: list[str]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._files: list[FileDiff] = []
        self._sources: dict[str, str] = {}
        self._document = Document([], Options(), {})
        self._painter: RowPainter | None = None
        self._measured = 0
        self._tops: list[int] = []
        self._lines: list[tuple[int, int]] = []
        self._strips: dict[int, Strip] = {}
        self._cursor = Cursor(self._document)
        self._query = ""
        self._idle: Timer | None = None
        self.marks = Marks()
        # code that runs on behind the edge would not be read
        self.wrapped = True
        self.split: bool | None = None
        self.context = DEFAULT_CONTEXT
        self.ascii_only = False

    @property
    def window(self) -> Size:
        """What lines are drawn in: without the scrollbars."""
        return self.scrollable_content_region.size

    # --- what it shows

    @property
    def files(self) -> list[FileDiff]:
        """The diff as data."""
        return self._files

    @property
    def is_split(self) -> bool:
        """Side by side: as chosen, else where there is room for it."""
        return self.size.width >= LEAST_SPLIT if self.split is None else self.split

    def show(self, text: str) -> None:
        """Shows a diff's text from its beginning."""
        self._files = parse(text)
        self._sources = {}
        self.marks = Marks(self._files)
        self._cursor = Cursor(self._document)
        self._query = ""
        self._rebuild()
        self.scroll_to(0, 0, animate=False)

    def give_sources(self, sources: Mapping[str, str]) -> None:
        """The old text of files, for more context."""
        self._sources.update(sources)
        self._rebuild()

    def hunk_text(self) -> str:
        """The hunk at the cursor as diff text; empty where there is none."""
        row = self._cursor.hunk_row
        return self._document.hunk(self._document.rows[row]).text() if row >= 0 else ""

    # --- marking

    @property
    def by_line(self) -> bool:
        """Whether the cursor is at a line and not at a whole hunk."""
        return self._cursor.by_line

    def toggle_lines(self) -> None:
        """From hunks to single lines, or back."""
        self._cursor.toggle_lines()
        self._show_line()

    def mark(self, mark: Mark) -> None:
        """Marks the hunk at the cursor, or the line (side by side: with the one that it replaces)."""
        self.marks.put(self._cursor.keys(), mark)
        self._redraw()

    def unmark(self) -> bool:
        """Takes the last marking back; False: there is none."""
        done = self.marks.undo()
        self._redraw()
        return done

    def _show_line(self) -> None:
        if self.by_line:
            top, height = self._tops[self._cursor.line], self.window.height
            if not self.scroll_offset.y <= top < self.scroll_offset.y + height:
                self.scroll_to(y=max(0, top - height // 2), animate=False)
        self._redraw()
        self._tell()

    def action_scroll_up(self) -> None:
        """Up: a line of the window, or the line cursor."""
        if self.by_line:
            self._cursor.move_line(-1)
            self._show_line()
        else:
            super().action_scroll_up()

    def action_scroll_down(self) -> None:
        """Down."""
        if self.by_line:
            self._cursor.move_line(1)
            self._show_line()
        else:
            super().action_scroll_down()

    # --- moving and options

    def move_hunk(self, step: int) -> None:
        """To the next (1) or the previous (-1) hunk."""
        if self._cursor.move_hunk(step):
            self._show_hunk()

    def move_file(self, step: int) -> None:
        """To the first hunk of the next or the previous file."""
        if self._cursor.move_file(step):
            self._show_hunk()

    def _show_hunk(self) -> None:
        row = self._cursor.hunk_row
        # the file's name stays in sight above its first hunk
        above = row - 1 if row and self._document.rows[row - 1].kind != "line" else row
        self.scroll_to(y=self._tops[above], animate=False)
        self._redraw()
        self._tell()

    def toggle_wrap(self) -> None:
        """Long lines go on in the next row, or to the right."""
        self.wrapped = not self.wrapped
        self._rebuild()

    def toggle_split(self) -> None:
        """Side by side or unified, whatever the width."""
        self.split = not self.is_split
        self._rebuild()

    def change_context(self, step: int) -> None:
        """More or fewer unchanged lines around the changes."""
        self.context = max(0, min(MOST_CONTEXT, self.context + step))
        missing = [diff.old_path for diff in self._files if diff.old_path and diff.old_path not in self._sources]
        if self.context > DEFAULT_CONTEXT and missing:
            self.post_message(self.SourceWanted(missing))
        self._rebuild()

    def search(self, query: str, step: int = 1) -> bool:
        """Marks a text and goes to its next place from the top of the window; whether there is one."""
        fresh = query != self._query
        self._query = query
        self._redraw()
        if not query or not self._lines:
            return False
        top = self._lines[min(len(self._lines) - 1, self.scroll_offset.y)][0]
        amount = len(self._document.rows)
        for distance in range(0 if fresh else 1, amount + 1):
            index = (top + distance * step) % amount
            if self._row_has(index, query.casefold()):
                self.scroll_to(y=self._tops[index], animate=False)
                self._strips.clear()
                return True
        return False

    def _row_has(self, index: int, query: str) -> bool:
        row = self._document.rows[index]
        texts = (row.text, row.left.text if row.left else "", row.right.text if row.right else "")
        return any(query in self._document.display(text).casefold() for text in texts)

    # --- building

    def _rebuild(self) -> None:
        options = Options(split=self.is_split, context=self.context)
        self._document = Document(self._files, options, self._sources)
        self._cursor.enter(self._document)
        self._measure()
        self._show_line()

    def _measure(self) -> None:
        """The rows' heights and the size of it all, for the present width."""
        document, width = self._document, max(20, self.window.width)
        self._measured = self.window.width
        self._painter = None
        frame = Frame.of(document, width, scroll=0, wrap=self.wrapped, ascii_only=self.ascii_only)
        measuring = RowPainter(document, frame, {})
        # hidden, it has no width yet: rows wrapped for the least one would bring a scrollbar for a moment
        wrapped = self.wrapped and self._measured > 0
        heights = [measuring.height(row) for row in document.rows] if wrapped else [1] * len(document.rows)
        self._tops, self._lines = [], []
        for index, height in enumerate(heights):
            self._tops.append(len(self._lines))
            self._lines += [(index, part) for part in range(height)]
        over = 0 if self.wrapped else max(0, document.widest - frame.text)
        self.virtual_size = Size(width + over if over else 0, len(self._lines))
        self._redraw()

    def _redraw(self) -> None:
        self._strips.clear()
        self._painter = None
        self.refresh()

    def _tell(self) -> None:
        cursor, hunks = self._cursor, len(self._document.hunk_rows)
        self.post_message(self.Moved(cursor.file + 1, len(self._files), cursor.hunk + 1 if hunks else 0, hunks))

    # --- drawing

    def _ready_painter(self) -> RowPainter:
        if self._painter is None:
            styles: dict[str, Style] = {name: self.get_visual_style(f"diff--{name}") for name in STYLE_NAMES}
            for name in ("added-word", "removed-word", "match"):
                # with letters of its own: not every colour of the syntax can be read on this ground
                whole = styles[name]
                styles[name] = Style(whole.background, whole.foreground, bold=True, underline=name == "match")
            styles["base"] = self.visual_style
            scroll = self.scroll_offset.x
            frame = Frame.of(
                self._document, self.window.width, scroll=scroll, wrap=self.wrapped, ascii_only=self.ascii_only
            )
            line = self._document.rows[self._cursor.line] if self.by_line else None
            self._painter = RowPainter(self._document, frame, styles, self._query, self.marks, line)
        return self._painter

    def render_line(self, y: int) -> Strip:
        """One line of the window."""
        width = self.window.width
        if width != self._measured and width > 0:
            # Textual sends no Resize where a widget was hidden, or a scrollbar came or went, at the same size
            self._measured = width
            self.call_later(self._measure)
        line = y + self.scroll_offset.y
        if line >= len(self._lines) or width <= 0:
            return Strip.blank(width, rich_style(self.visual_style))
        found = self._strips.get(line)
        if found is not None:
            return found
        painter = self._ready_painter()
        index, part = self._lines[line]
        row = self._document.rows[index]
        segments = painter.segments(row, part, current=self._cursor.holds(row))
        strip = Strip(segments).adjust_cell_length(width, rich_style(self.visual_style))
        if painter.unfinished:
            painter.unfinished = False
            self._work_later()
        else:
            if len(self._strips) > 1024:
                self._strips.clear()
            self._strips[line] = strip
        return strip

    def _work_later(self) -> None:
        if self._idle is None:
            self._idle = self.set_interval(IDLE_S, self._work)

    def _work(self) -> None:
        """Highlighting that was too far away for one frame, a slice at a time."""
        if self._document.work():
            return
        if self._idle is not None:
            self._idle.stop()
            self._idle = None
        self._redraw()

    # --- events

    def on_resize(self, event: events.Resize) -> None:
        """Another width may be another layout."""
        if self._document.options.split != self.is_split:
            self._rebuild()
        else:
            self._measure()

    def watch_scroll_x(self, old_value: float, new_value: float) -> None:
        """Sideways, every line is another one."""
        self._redraw()
        super().watch_scroll_x(old_value, new_value)

    def notify_style_update(self) -> None:
        """Another theme."""
        super().notify_style_update()
        self._strips.clear()
        self._painter = None

    def on_click(self, event: events.Click) -> None:
        """A click takes the cursor to its hunk."""
        line = event.y + self.scroll_offset.y
        if line >= len(self._lines):
            return
        if self._cursor.point(self._lines[line][0]):
            self._redraw()
            self._tell()
