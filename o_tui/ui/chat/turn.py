"""One turn: what the operator said and everything that came of it, as pieces."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from o_tui.ui import format
from o_tui.ui.chat.fold import fold, shown
from o_tui.ui.chat.paint import Paint
from o_tui.ui.chat.pieces import Piece, plain
from o_tui.ui.chat.stream import MarkdownStream

Row = dict[str, Any]
RUNNING = ("accepted", "running")
_RATED = {"good": "you: good", "bad": "you: bad"}


class Turn:
    """The pieces of one request, and where each begins.

    Attributes:
        row: The request row, as far as it is known.
        pieces: In order of the lines.
        height: Lines of all pieces, after `measure`.
    """

    def __init__(self, row: Row) -> None:
        self.row = dict(row)
        self.pieces: list[Piece] = []
        self.starts: list[int] = []
        self.height = 0
        self.width = 0
        self._stream = MarkdownStream()
        self._tail: Piece | None = None
        self._clean = 0
        self._shed = 0
        self._streamed = False
        you = {"who": "you", "time_ns": row.get("time_ns") or 0}
        self._head = Piece("head", data={"who": "O", "time_ns": row.get("time_ns") or 0}, gap=True)
        if text := str(row.get("text") or ""):  # none: what the view says by itself
            self.pieces += [Piece("head", data=you, gap=True), *_plain(text)]
        self.pieces.append(self._head)
        self._finished = False
        self._now: Piece | None = None
        self.take_row(row)

    @property
    def changed_from(self) -> int | None:
        """The first line, counted in the turn, that `measure` would make anew; None: nothing has changed."""
        if self._clean == len(self.pieces) == len(self.starts):
            return None
        return self.starts[self._clean] if self._clean < len(self.starts) else self.height

    @property
    def request_id(self) -> str:
        """Whose turn it is."""
        return str(self.row["request_id"])

    @property
    def running(self) -> bool:
        """The answer is not complete."""
        return self.row.get("state") in RUNNING

    @property
    def failed(self) -> bool:
        """It ended without an answer, and may be tried again."""
        return not self.running and bool(self.row.get("error"))

    @property
    def is_answered(self) -> bool:
        """The guardian has an answer of it: what the view says itself is none."""
        return self.row.get("state") == "done" and not self.request_id.startswith("local-")

    # --- what comes

    def take_row(self, row: Row) -> None:
        """A newer row of the same request: its state, and at the end the whole answer."""
        self.row |= row
        self._head.data["state"] = _state_words(self.row)
        self._touch(self._head)
        if self.running or self._finished:
            return
        self._finished = True
        answer = str(self.row.get("answer") or "")
        if not self._streamed and answer:
            self._stream.append(answer)
        self._close_text()
        for piece in self.pieces:
            if piece.kind == "tool" and "ok" not in piece.data:
                piece.data["ended"] = True
                self._touch(piece)
        error = str(self.row.get("error") or "")
        if error:
            self._add(Piece("error", error))
            self._add(Piece("note", "r here, or /retry, sends it again"))

    def tell_now(self, text: str) -> None:
        """The last line of what the view says by itself: how far it is now what has begun there."""
        if self._now is None:
            self._now = Piece("note", text)
            self._add(self._now)
        elif self._now.source != text:
            self._now.source = text
            self._touch(self._now)

    def take_event(self, kind: str, data: Row) -> None:
        """An event of the running request; the text of deltas is only kept until `flush`."""
        if self._finished:
            return
        if kind == "text":
            self._streamed = True
            self._stream.append(str(data.get("text") or ""))
            return
        self.flush()
        if kind == "tool_call":
            self._close_text()
            gap = self.pieces[-1].kind not in ("tool", "head")
            self._add(Piece("tool", data={"name": data.get("name"), "arguments": data.get("arguments") or {}}, gap=gap))
        elif kind == "tool_result":
            self._result(data)
        elif kind == "notice":
            self._close_text()
            self._add(Piece("note", str(data.get("text") or "")))
        elif kind == "recall":
            hits = data.get("hits")
            count = len(hits) if isinstance(hits, list) else hits
            if count:
                self._add(Piece("note", f"recalled {count} {'memory' if count == 1 else 'memories'}"))

    def flush(self) -> bool:
        """Makes pieces of the text that has come; returns whether anything changed."""
        before = self._tail.source if self._tail else ""
        self._fold()
        found = self._stream.take()
        self._take_blocks(found)
        tail = self._stream.tail.rstrip("\n")
        if not tail.strip():
            self._drop_tail()
        elif self._tail is None:
            self._tail = Piece("markdown", tail, gap=self._gap(self._stream.continued))
            self._add(self._tail)
        elif tail != before:
            self._tail.source = tail
            self._touch(self._tail)
        return bool(found) or tail != before

    # --- lines

    def measure(self, width: int, paint: Paint) -> int:
        """Makes what has to be made for a width; returns the height."""
        if width != self.width:
            self.width, self._clean, self._shed = width, 0, 0
        position = self.starts[self._clean - 1] + self.pieces[self._clean - 1].height if self._clean else 0
        del self.starts[self._clean :]
        for piece in self.pieces[self._clean :]:
            if piece.width != width:
                piece.lines(width, paint)
            self.starts.append(position)
            position += piece.height
        self._clean = len(self.pieces)
        self.height = position
        return position

    def shed(self, keep: int) -> None:
        """Lets the drawn lines of all but the last pieces go: those that are seen again are drawn again."""
        end = len(self.pieces) - keep
        for piece in self.pieces[self._shed : max(self._shed, end)]:
            piece.strips = None
        self._shed = max(self._shed, end)

    def piece_at(self, line: int) -> int:
        """The index of the piece that a line belongs to, after `measure`."""
        return max(0, bisect_right(self.starts, line) - 1)

    def forget(self) -> None:
        """Other styles: everything is drawn anew."""
        for piece in self.pieces:
            piece.forget()
        self._clean = 0

    def answer_text(self) -> str:
        """What is copied of the answer."""
        return str(self.row.get("answer") or "") or "\n\n".join(
            plain(piece) for piece in self.pieces if piece.kind == "markdown" or is_folded_answer(piece)
        )

    # --- inside

    def toggle(self, piece: Piece) -> None:
        """Opens or closes a tool block."""
        piece.open = not piece.open
        self._touch(piece)

    def folded_near(self, piece: Piece) -> Piece | None:
        """What was left out of a long text, below a piece or else above it."""
        at = self.pieces.index(piece)
        return next((each for each in [*self.pieces[at:], *reversed(self.pieces[:at])] if each.kind == "fold"), None)

    def unfold(self, folded: Piece) -> Piece:
        """Shows the next part of what was left out; returns the first piece of it."""
        answer = is_folded_answer(folded)
        text, folded.source = shown(folded.source, markdown=answer)
        new = [Piece("plain", text)]
        if answer:
            stream = MarkdownStream()
            stream.append(text)
            new = [Piece("markdown", source, gap=not continues) for source, continues in stream.finish()] or new
        at = self.pieces.index(folded)
        self.pieces[at : at + 1] = [*new, folded] if folded.source else new
        folded.forget()
        self._clean, self._shed = min(self._clean, at), min(self._shed, at)
        return new[0]

    def _touch(self, piece: Piece) -> None:
        piece.forget()
        if piece in self.pieces:
            self._clean = min(self._clean, self.pieces.index(piece))

    def _add(self, piece: Piece) -> None:
        if self._tail is not None and piece is not self._tail and self.pieces[-1] is self._tail:
            self.pieces.insert(len(self.pieces) - 1, piece)
            self._clean = min(self._clean, len(self.pieces) - 2)
        else:
            self.pieces.append(piece)

    def _gap(self, continues: bool) -> bool:
        last = self.pieces[-2] if self._tail is not None and len(self.pieces) > 1 else self.pieces[-1]
        return not continues and last.kind != "head"

    def _take_blocks(self, found: list[tuple[str, bool]]) -> None:
        for source, continues in found:
            self._add(Piece("markdown", source, gap=self._gap(continues)))

    def _drop_tail(self) -> None:
        if self._tail is not None:
            self._clean = min(self._clean, self.pieces.index(self._tail))
            self.pieces.remove(self._tail)
            self._tail = None

    def _fold(self) -> None:
        """Of more than can be drawn at once only the ends are made pieces: nobody has read any of it yet."""
        parts = fold(self._stream.tail)
        if parts is not None:
            self._stream.tail = parts.start
            self._end_text()
            self._add(Piece("fold", parts.middle, gap=True))
            self._stream.append(parts.end)

    def _close_text(self) -> None:
        self._fold()
        self._end_text()

    def _end_text(self) -> None:
        self._take_blocks(self._stream.finish())
        self._drop_tail()

    def _result(self, data: Row) -> None:
        for piece in reversed(self.pieces):
            if piece.kind == "tool" and "ok" not in piece.data and piece.data.get("name") == data.get("name"):
                piece.data |= {"ok": bool(data.get("ok")), "text": str(data.get("text") or "")}
                piece.source = piece.data["text"]
                self._touch(piece)
                return


def is_folded_answer(piece: Piece) -> bool:
    """It stands for a part of the answer, not of what the operator said."""
    return piece.kind == "fold" and not piece.data


def _plain(text: str) -> list[Piece]:
    parts = fold(text, markdown=False)
    if parts is None:
        return [Piece("plain", text)]
    return [Piece("plain", parts.start), Piece("fold", parts.middle, data={"plain": True}), Piece("plain", parts.end)]


def _state_words(row: Row) -> str:
    state = row.get("state")
    if state in RUNNING:
        return "answering" if int(row.get("attempts") or 1) < 2 else "answering again, an instance died"
    elapsed = row.get("elapsed_ms")
    took = format.milliseconds(float(elapsed)) if elapsed else ""
    if row.get("error"):
        return "failed"
    words = ["recovered" if row.get("recovered") else "", took, _RATED.get(str(row.get("feedback")), "")]
    return ", ".join(word for word in words if word)
