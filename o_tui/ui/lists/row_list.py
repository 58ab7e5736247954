"""A list of any length, drawn line by line: only the rows in sight are formatted, only the changed ones are sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style

from o_tui.ui.boundary import Guarded
from o_tui.ui.lists.columns import GAP, Column, layout
from o_tui.ui.lists.paint import fit, paint, rich_style
from o_tui.ui.text import safe_line

Row: TypeAlias = dict[str, Any]
Cell: TypeAlias = "str | tuple[str, str]"
"""A text, or a text and the name of a style: good, bad, warn, accent, dim, strong."""
WAITING = "Waiting for the guardian."
"""What a list shows until somebody has told it what there is: nothing known is not nothing there."""
LONGEST_CELL = 500
"""Characters of a cell that are looked at."""
STYLE_NAMES = ("header", "cursor", "blurred", "good", "bad", "warn", "accent", "dim", "strong", "empty")


class RowList(Guarded, ScrollView, can_focus=True):
    """A windowed list with a header, a cursor that stays with its row, and marks."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"rows--{name}" for name in STYLE_NAMES}
    DEFAULT_CSS = """
    RowList {
        scrollbar-size-vertical: 1;
        overflow-x: hidden;
        & > .rows--header { color: $foreground 70%; text-style: underline; }
        & > .rows--cursor { background: $primary 35%; text-style: bold; }
        & > .rows--blurred { background: $foreground 8%; }
        & > .rows--good { color: $text-success; }
        & > .rows--bad { color: $text-error; }
        & > .rows--warn { color: $text-warning; }
        & > .rows--accent { color: $text-accent; }
        & > .rows--dim { color: $foreground 70%; }
        & > .rows--strong { text-style: bold; }
        & > .rows--empty { color: $foreground 75%; }
    }
    """
    BINDINGS: ClassVar = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "first", "First", show=False),
        Binding("end,G", "last", "Last", show=False),
        Binding("enter", "choose", "Open", show=False),
    ]

    @dataclass
    class Moved(Message):
        """The cursor is at another row (or none)."""

        rows: RowList
        key: str

    @dataclass
    class Chosen(Message):
        """Enter or a second click on a row."""

        rows: RowList
        key: str

    @dataclass
    class TopReached(Message):
        """The window shows the first row: whoever has older ones may put them before."""

        rows: RowList

    def __init__(
        self,
        columns: Sequence[Column],
        cells: Callable[[Row], Sequence[Cell]],
        *,
        key: str = "id",
        empty: str = WAITING,
        follow: bool = False,
        header: bool = True,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.columns = columns
        self.marked: set[str] = set()
        self.follow = follow
        self.ascii_only = False
        self._cells = cells
        self._key = key
        self._empty = empty
        self._header = header
        self._rows: Sequence[Row] = []
        self._keys: list[str] = []
        self._cursor = 0
        self._following = follow
        self._drawn: dict[int, Strip] = {}

    @property
    def window(self) -> Size:
        """What rows are drawn in: without the scrollbar, with the header."""
        return self.scrollable_content_region.size

    # --- what it shows

    @property
    def rows(self) -> Sequence[Row]:
        """The rows as they were given."""
        return self._rows

    @property
    def current(self) -> Row | None:
        """The row at the cursor."""
        return self._rows[self._cursor] if self._rows else None

    @property
    def current_key(self) -> str:
        """The key of the row at the cursor; empty: there is none."""
        return self._keys[self._cursor] if self._keys else ""

    @property
    def following(self) -> bool:
        """New rows at the end take the window with them."""
        return self._following

    def show(self, rows: Sequence[Row], *, empty: str | None = None) -> None:
        """Shows other rows. Cursor and window stay with the row that they are at, where it is still there.

        A window at the top of a list that nobody moves in stays at the top: what is new there is to be seen.
        """
        before = self.current_key
        held = self._cursor - self.scroll_offset.y
        self._rows = rows
        self._keys = [str(row.get(self._key, "")) for row in rows]
        if empty is not None:
            self._empty = empty
        self.marked &= set(self._keys)
        at = self._position(before)
        self._cursor = at if at >= 0 else max(0, min(self._cursor, len(rows) - 1))
        self.virtual_size = Size(0, len(rows) + self._header if rows else 0)
        if self._following:
            self._cursor = max(0, len(rows) - 1)
            self.scroll_end(animate=False, immediate=True)
        elif at >= 0 and (self.has_focus or self.scroll_offset.y):
            self.scroll_to(y=at - held, animate=False, immediate=True)
        self.redraw()
        if self.current_key != before:
            self.post_message(self.Moved(self, self.current_key))

    def _position(self, key: str) -> int:
        if not key:
            return -1
        # mostly nothing has moved
        if self._cursor < len(self._keys) and self._keys[self._cursor] == key:
            return self._cursor
        try:
            return self._keys.index(key)
        except ValueError:
            return -1

    def redraw(self) -> None:
        """Draws again the lines that would look different, and sends only those."""
        for y in range(self.window.height):
            fresh = self._line(y)
            old = self._drawn.get(y)
            if old is None or old != fresh:
                self._drawn[y] = fresh
                self.refresh(Region(0, y, self.window.width, 1))

    # --- moving

    def select(self, key: str) -> bool:
        """Puts the cursor on a row; False: it is not here."""
        at = self._position(key)
        if at >= 0:
            self._go(at)
        return at >= 0

    def _go(self, index: int) -> None:
        if not self._rows:
            return
        before = self.current_key
        self._cursor = max(0, min(len(self._rows) - 1, index))
        self._following = self.follow and self._cursor == len(self._rows) - 1
        window = max(1, self.window.height - self._header)
        top = self.scroll_offset.y
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False, immediate=True)
        elif self._cursor >= top + window:
            self.scroll_to(y=self._cursor - window + 1, animate=False, immediate=True)
        self.redraw()
        if self.current_key != before:
            self.post_message(self.Moved(self, self.current_key))
        if self._cursor == 0:
            self.post_message(self.TopReached(self))

    def action_move(self, step: int) -> None:
        """One row up or down."""
        self._go(self._cursor + step)

    def action_page(self, step: int) -> None:
        """One window up or down."""
        self._go(self._cursor + step * max(1, self.window.height - 1 - self._header))

    def action_first(self) -> None:
        """The first row."""
        self._go(0)

    def action_last(self) -> None:
        """The last row; a list that follows, follows again."""
        self._go(len(self._rows) - 1)

    def action_choose(self) -> None:
        """Opens the row at the cursor."""
        if self._rows:
            self.post_message(self.Chosen(self, self.current_key))

    def toggle_mark(self) -> None:
        """Marks the row at the cursor, or takes its mark away."""
        self.marked ^= {self.current_key} if self._rows else set()
        self.redraw()

    # --- drawing

    def render_line(self, y: int) -> Strip:
        """One line of the window."""
        strip = self._line(y)
        self._drawn[y] = strip
        return strip

    def _line(self, y: int) -> Strip:
        width = self.window.width
        base = self.visual_style
        if not self._rows:
            return self._empty_line(y, width, base)
        if self._header and y == 0:
            return Strip(self._header_segments(width)).adjust_cell_length(width, rich_style(base))
        index = y - self._header + self.scroll_offset.y
        if not 0 <= index < len(self._rows):
            return Strip.blank(width, rich_style(base))
        return Strip(self._row_segments(index, width, base)).adjust_cell_length(width, rich_style(base))

    def _empty_line(self, y: int, width: int, base: Style) -> Strip:
        lines: list[str] = []
        for paragraph in self._empty.split("\n"):
            lines += _fold(paragraph, width - 2)
        text = " " + lines[y - 1] if 0 < y <= len(lines) else ""
        return Strip(paint(fit(text, width), base + self._style("empty")))

    @property
    def _gutter(self) -> int:
        """Cells before the columns: for the cursor, and for marks where there are any: neither hides the other."""
        return 2 if self.marked else 1

    def _header_segments(self, width: int) -> list[Segment]:
        style = self._style("header")
        segments = [*paint(" " * self._gutter, self.visual_style)]
        for number, (index, cells) in enumerate(layout(self.columns, width - self._gutter)):
            column = self.columns[index]
            gap = " " * GAP if number else ""
            segments += paint(gap, self.visual_style)
            segments += paint(fit(column.title, cells, right=column.right), style)
        return segments

    def _row_segments(self, index: int, width: int, base: Style) -> list[Segment]:
        key = self._keys[index]
        at_cursor = index == self._cursor
        style = self._style("cursor" if self.has_focus else "blurred") if at_cursor else base
        pointer = ">" if at_cursor else " "
        if self.marked:
            pointer += "*" if key in self.marked else " "
        segments = [*paint(pointer, style + self._ink("accent"))]
        cells = self._cells(self._rows[index])
        mark = "." if self.ascii_only else "…"
        for number, (column_index, size) in enumerate(layout(self.columns, width - self._gutter)):
            cell = cells[column_index]
            text, name = cell if isinstance(cell, tuple) else (cell, "")
            shown = fit(safe_line(text, LONGEST_CELL), size, right=self.columns[column_index].right, mark=mark)
            segments += paint(" " * GAP if number else "", style)
            segments += paint(shown, style + self._ink(name) if name else style)
        used = sum(segment.cell_length for segment in segments)
        return [*segments, *paint(" " * max(0, width - used), style)]

    def _style(self, name: str) -> Style:
        return self.get_visual_style(f"rows--{name}")

    def _ink(self, name: str) -> Style:
        # without its background, so that the cursor's shows through
        found = self.get_visual_style(f"rows--{name}")
        return Style(foreground=found.foreground, bold=found.bold)

    # --- events

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """The window is elsewhere."""
        super().watch_scroll_y(old_value, new_value)
        if self.follow:
            self._following = self._following and new_value >= self.max_scroll_y
        if new_value <= 0 < old_value:
            self.post_message(self.TopReached(self))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Who scrolls back wants to read: new rows do not move the window."""
        self._following = False

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor, a second one opens the row."""
        index = event.y - self._header + self.scroll_offset.y
        if event.y >= self._header and 0 <= index < len(self._rows):
            self._go(index)
            if event.chain >= 2:
                self.action_choose()

    def on_focus(self) -> None:
        """The cursor's row looks different."""
        self.redraw()

    def on_blur(self) -> None:
        """The cursor's row looks different."""
        self.redraw()

    def on_resize(self, event: events.Resize) -> None:
        """Another window."""
        self._drawn.clear()
        if self._following:
            self.scroll_end(animate=False, immediate=True)

    def notify_style_update(self) -> None:
        """Another theme."""
        super().notify_style_update()
        self._drawn.clear()


def _fold(text: str, width: int) -> list[str]:
    """Breaks a sentence at blanks."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return lines
