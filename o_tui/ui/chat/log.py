"""The chat log: thousands of turns on Textual's line API, drawn when they are seen."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable
from time import monotonic
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Offset, Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.timer import Timer

from o_tui.ui import boundary
from o_tui.ui.chat.paint import Paint
from o_tui.ui.chat.pieces import Piece, plain
from o_tui.ui.chat.turn import Turn, is_folded_answer
from o_tui.ui.text import safe

Row = dict[str, Any]
FLUSH_S, FLUSH_REMOTE_S = 0.08, 0.15
"""The open end of an answer is drawn again at most this often."""
SLICE_S = 0.008
"""Time that old turns may take at once while the log is filled or laid out anew."""
KEPT_PIECES = 200
"""Seen pieces whose drawn lines are kept; others are drawn again when they are seen."""
FRESH_PIECES = 60
"""Pieces at the end of a turn whose lines are kept although they may not have been seen."""


class ChatLog(boundary.Guarded, ScrollView, can_focus=True, inherit_bindings=False):
    """Turns in the order in which they came, following the end until the operator scrolls up."""

    ALLOW_SELECT = True
    # up and down are the pane's: they select
    BINDINGS: ClassVar = [Binding("home", "scroll_home", "Home", show=False)]

    class Moved(Message):
        """Lines below the visible ones are other ones: `below` are new since the operator scrolled away."""

        def __init__(self, below: int) -> None:
            super().__init__()
            self.below = below

    def __init__(self, paint: Paint, *, remote: bool = False) -> None:
        super().__init__(id="chat-log")
        self.turns: list[Turn] = []
        self.following = True
        self.selected: tuple[Turn, Piece] | None = None
        self._by_id: dict[str, Turn] = {}
        self._paint = paint
        self._starts: list[int] = []
        self._first = 0
        self._seen_height = 0
        self._flush_s = FLUSH_REMOTE_S if remote else FLUSH_S
        self._flush_timer: Timer | None = None
        self._slice_timer: Timer | None = None
        self._changed: set[str] = set()
        self._drawn: OrderedDict[int, Piece] = OrderedDict()
        self._below = -1
        self._laying_out = False

    # --- data down

    def load(self, rows: Iterable[Row]) -> None:
        """Takes a snapshot's rows: known turns are kept with what they have streamed, others are made."""
        for row in rows:
            self.put(row)

    def put(self, row: Row) -> None:
        """A new request, or a newer row of a known one."""
        turn = self._by_id.get(row["request_id"])
        if turn is None:
            turn = Turn(row)
            self._by_id[turn.request_id] = turn
            self.turns.append(turn)
        else:
            turn.flush()
            turn.take_row(row)
        self._later(turn.request_id)

    def event(self, request_id: str, kind: str, data: Row) -> None:
        """An event of a running request."""
        turn = self._by_id.get(request_id)
        if turn is not None:
            turn.take_event(kind, data)
            self._later(request_id)

    def tell_now(self, request_id: str, text: str) -> None:
        """Writes anew the last line of what the view has said by itself (`Turn.tell_now`)."""
        turn = self._by_id.get(request_id)
        if turn is not None:
            turn.tell_now(text)
            self._later(request_id)

    def turn(self, request_id: str) -> Turn | None:
        """A turn by its request."""
        return self._by_id.get(request_id)

    def set_paint(self, paint: Paint) -> None:
        """Other styles: everything is drawn anew."""
        self._paint = paint
        for turn in self.turns:
            turn.forget()
        self._drawn.clear()
        self._layout_all()

    # --- layout

    def _later(self, request_id: str) -> None:
        self._changed.add(request_id)
        if self._flush_timer is None and self.is_mounted:
            self._flush_timer = self.set_timer(self._flush_s, self.flush)

    def flush(self) -> None:
        """Shows what has come."""
        self._flush_timer = None
        for request_id in self._changed:
            turn = self._by_id.get(request_id)
            if turn is not None:
                turn.flush()
        self._changed.clear()
        self._layout_end()

    @property
    def _width(self) -> int:
        return max(20, self.scrollable_content_region.width)

    def _layout_all(self) -> None:
        """Another width or other styles: the end first, the rest in slices."""
        if not self.is_mounted or not self.size:
            return
        anchor = self._anchor()
        self._first = len(self.turns)
        lines = 0
        wanted = 2 * self.size.height
        while self._first and (lines < wanted or (anchor and self._first > self.turns.index(anchor[0]))):
            self._first -= 1
            lines += self.turns[self._first].measure(self._width, self._paint)
        # the height is a part of the whole for now: where that moves the view is nobody's wish
        self._laying_out = True
        self._restack()
        if self.following or anchor is None:
            self._go(self.max_scroll_y)
        else:
            self._go(self._start(anchor[0]) + anchor[1])
        self._laying_out = False
        self._fill()

    def _fill(self) -> None:
        if self._first and self._slice_timer is None:
            self._slice_timer = self.set_timer(0.01, self._slice)

    def _slice(self) -> None:
        """Lays out older turns for a few milliseconds, without moving what is seen."""
        self._slice_timer = None
        until = monotonic() + SLICE_S
        added = 0
        while self._first and monotonic() < until:
            self._first -= 1
            added += self.turns[self._first].measure(self._width, self._paint)
            self.turns[self._first].shed(0)
        if added:
            self._seen_height += added
            self._restack()
            self._go(round(self.scroll_y) + added)
        self._fill()

    def _layout_end(self) -> None:
        if not self.is_mounted or not self.size:
            return
        if self._first >= len(self.turns) or self.turns[-1].width not in (0, self._width):
            self._layout_all()
            return
        first_changed = self.virtual_size.height
        position = 0
        for turn in self.turns[self._first :]:
            if turn.changed_from is not None or turn.width != self._width:
                first_changed = min(first_changed, position + (turn.changed_from or 0))
            position += turn.measure(self._width, self._paint)
            turn.shed(FRESH_PIECES)
        self._restack(first_changed)
        if self.following:
            self._go(self.max_scroll_y)
        self._tell_below()

    def _restack(self, first_changed: int = 0) -> None:
        position = 0
        self._starts = []
        for turn in self.turns[self._first :]:
            self._starts.append(position)
            position += turn.height
        # not by assignment: that would lay out the whole screen for every line that comes
        size = Size(self._width, position + 1)
        if size != self.virtual_size:
            self.set_reactive(ScrollView.virtual_size, size)
            self._scroll_update(size)
        top = max(0, first_changed - self.scroll_offset.y)
        if top < self.size.height:
            self.refresh(Region(0, top, self.size.width, self.size.height - top))

    def _anchor(self) -> tuple[Turn, int] | None:
        if self.following or not self._starts:
            return None
        line = round(self.scroll_y)
        index = max(0, bisect_right(self._starts, line) - 1)
        return self.turns[self._first + index], line - self._starts[index]

    def _start(self, turn: Turn) -> int:
        if len(self._starts) < len(self.turns) - self._first:
            self.flush()  # what has come must have its place first
        return self._starts[self.turns.index(turn) - self._first]

    def _go(self, line: int) -> None:
        self.scroll_to(y=line, animate=False, immediate=True)

    # --- following

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """The operator (or new text) has moved the view."""
        super().watch_scroll_y(old_value, new_value)
        if self._laying_out:
            return
        at_end = new_value >= self.max_scroll_y
        if at_end != self.following:
            self.following = at_end
            self._seen_height = self.virtual_size.height
        self._tell_below()

    def _tell_below(self) -> None:
        below = 0 if self.following else max(0, self.virtual_size.height - self._seen_height)
        mark = -1 if self.following else below
        if mark != self._below:
            self._below = mark
            self.post_message(self.Moved(below if not self.following else -1))

    def follow(self) -> None:
        """To the end, and stay there."""
        self.following = True
        self._go(self.max_scroll_y)
        self._tell_below()

    def on_resize(self, event: events.Resize) -> None:
        """Another width: other lines."""
        if self.turns and self.turns[-1].width == self._width:
            self._restack()
            if self.following:
                self._go(self.max_scroll_y)
            return
        self._layout_all()

    # --- drawing

    def _at(self, line: int) -> tuple[Turn, Piece, int] | None:
        if line < 0 or not self._starts:
            return None
        index = bisect_right(self._starts, line) - 1
        turn = self.turns[self._first + index]
        inner = line - self._starts[index]
        if inner >= turn.height:
            return None
        number = turn.piece_at(inner)
        return turn, turn.pieces[number], inner - turn.starts[number]

    def _draw(self, piece: Piece) -> list[Strip]:
        lines = piece.lines(self._width, self._paint)
        self._drawn[id(piece)] = piece
        self._drawn.move_to_end(id(piece))
        while len(self._drawn) > KEPT_PIECES:
            _id, old = self._drawn.popitem(last=False)
            old.strips = None
        return lines

    def render_line(self, y: int) -> Strip:
        """One visible line."""
        line = y + self.scroll_offset.y
        width = self.size.width
        base = self._paint["base"]
        found = self._at(line)
        if found is None:
            return Strip.blank(width, base)
        _turn, piece, inner = found
        drawn = self._draw(piece)
        strip = drawn[inner] if inner < len(drawn) else Strip.blank(width, base)
        if self.selected is not None and self.selected[1] is piece and self.has_focus:
            strip = self._mark(strip)
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(line)) is not None:
            strip = _highlight(strip, span, self.screen.get_component_rich_style("screen--selection"))
        return strip.adjust_cell_length(width, base).apply_offsets(0, line)

    def _mark(self, strip: Strip) -> Strip:
        mark = Segment(self._paint.glyphs.mark, self._paint["base"] + self._paint["heading"])
        shaded = strip.apply_style(self._paint["selected"]) if strip.text.strip() else strip
        return Strip.join([Strip([mark]), shaded.crop(1)])

    # --- selecting

    def move(self, step: int) -> None:
        """Selects the message or tool block before or after the selected one."""
        if self._changed:  # what has come must have its place before it can be selected
            self.flush()
        found = [(turn, piece) for turn in self.turns[self._first :] for piece in turn.pieces if _selectable(piece)]
        if not found:
            return
        index = found.index(self.selected) + step if self.selected in found else len(found) - 1
        self.select(*found[max(0, min(len(found) - 1, index))])

    def select(self, turn: Turn, piece: Piece) -> None:
        """Selects a piece and brings it into view."""
        self.selected = (turn, piece)
        top = self._start(turn) + turn.starts[turn.pieces.index(piece)]
        height = self.size.height
        if top < self.scroll_y:
            self._go(top)
        elif top + piece.height > self.scroll_y + height:
            self._go(min(top, top + piece.height - height))
        self.refresh()

    def toggle(self) -> bool:
        """Opens or closes the selected tool block, or shows more of the selected long text; False: it is neither."""
        if self.selected is None:
            return False
        turn, piece = self.selected
        if piece.kind == "tool":
            turn.toggle(piece)
        elif (folded := turn.folded_near(piece)) is not None:
            piece = turn.unfold(folded)
        else:
            return False
        before = turn.height
        # what was asked for here is not new
        self._seen_height += turn.measure(self._width, self._paint) - before
        self._restack()
        self.select(turn, piece)
        return True

    def copied(self) -> tuple[str, str] | None:
        """The selected message's text and a word for it; without a selection the last answer."""
        if self.selected is None:
            answers = [turn for turn in self.turns if turn.answer_text()]
            return (answers[-1].answer_text(), "the last answer") if answers else None
        turn, piece = self.selected
        if piece.kind == "markdown" or is_folded_answer(piece):
            return turn.answer_text(), "the answer"
        if piece.kind == "tool":
            return str(piece.source), "the tool's result"
        return (plain(piece) if piece.kind == "error" else safe(str(turn.row["text"]))), "the message"

    def rated(self) -> Turn | None:
        """The turn whose answer a rating is about: the selected one, else the last; None: it has no answer."""
        if self.selected is not None:
            turn = self.selected[0]
            return turn if turn.is_answered else None
        return next((turn for turn in reversed(self.turns) if turn.is_answered), None)

    def on_click(self, event: events.Click) -> None:
        """Selects what was clicked; a click on a tool's line opens it."""
        found = self._at(event.y + self.scroll_offset.y)
        if found is not None and _selectable(found[1]):
            self.selected = found[:2]
            if found[1].kind == "fold" or (found[1].kind == "tool" and found[2] <= int(found[1].gap)):
                self.toggle()
            self.refresh()

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text between two points."""
        last = self.virtual_size.height - 1
        first_line = selection.start.y if selection.start else 0
        last_line = min(last, selection.end.y if selection.end else last)
        lines = []
        for line in range(first_line, last_line + 1):
            found = self._at(line)
            lines.append(self._draw(found[1])[found[2]].text.rstrip() if found else "")
        moved = Selection(
            Offset(selection.start.x, 0) if selection.start else None,
            Offset(selection.end.x, selection.end.y - first_line) if selection.end else None,
        )
        return moved.extract("\n".join(lines)), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Something else is selected with the mouse."""
        self.refresh()


def _selectable(piece: Piece) -> bool:
    return piece.kind in ("plain", "markdown", "tool", "error", "fold")


def _highlight(strip: Strip, span: tuple[int, int], style: Style) -> Strip:
    start, end = span
    end = strip.cell_length if end == -1 else end
    return Strip.join([strip.crop(0, start), strip.crop(start, end).apply_style(style), strip.crop(end)])
