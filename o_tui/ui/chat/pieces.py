"""The pieces that a turn of the chat is made of, and how each becomes lines. Pure: no widget, no clock."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from textual.strip import Strip

from o_tui.ui import format
from o_tui.ui.chat.paint import Paint, strips, styled, wrap
from o_tui.ui.text import Text, safe, safe_line

Kind = Literal["head", "plain", "markdown", "tool", "note", "error", "fold"]
GUTTER = 2
"""Cells on the left: the mark of the selected message."""
TOOL_LINES = 200
"""Lines of a tool's result that an open block shows."""


@dataclass(slots=True, eq=False)
class Piece:
    """Something with lines.

    Attributes:
        kind: How it is drawn.
        source: Its text as it came, not yet safe to show.
        gap: A blank line stands before it.
        data: What else there is to draw (see the functions below).
        open: A tool block shows all it has.
        width: The width that `height` and `strips` are for; 0: none yet.
    """

    kind: Kind
    source: str = ""
    gap: bool = False
    data: dict[str, Any] = field(default_factory=dict)
    open: bool = False
    width: int = 0
    height: int = 0
    strips: list[Strip] | None = None

    def forget(self) -> None:
        """Its lines are to be made anew."""
        self.width, self.strips = 0, None

    def lines(self, width: int, paint: Paint) -> list[Strip]:
        """Its lines, each exactly `width` cells wide; made once and kept until `forget`."""
        if self.strips is None or self.width != width:
            self.strips = draw(self, width, paint)
            self.width, self.height = width, len(self.strips)
        return self.strips


def draw(piece: Piece, width: int, paint: Paint) -> list[Strip]:
    """The lines of a piece."""
    room = max(8, width - GUTTER)
    match piece.kind:
        case "head":
            lines = [_head(piece, paint)]
        case "plain":
            lines = wrap(Text(piece.source), room)
        case "markdown":
            from o_tui.ui.chat import markdown  # here: the parser is not needed for the first frame

            lines = markdown.render(safe(piece.source), room, paint)
        case "tool":
            lines = _tool(piece, room, paint)
        case "note":
            lines = _marked(piece.source, room, paint, "muted", paint.glyphs.dot)
        case "error":
            lines = _marked(piece.source, room, paint, "error", "!")
        case "fold":
            lines = _marked(_left_out(piece.source), room, paint, "accent", paint.glyphs.ellipsis)
    if piece.gap:
        lines.insert(0, Text())
    return strips(lines, paint["base"], width, GUTTER)


def plain(piece: Piece) -> str:
    """What is copied of a piece: its source, harmless but unwrapped."""
    return "" if piece.kind == "head" else safe(piece.source)


def _left_out(source: str) -> str:
    lines = format.count(source.count("\n") + 1)
    return f"{lines} more lines ({format.size(len(source.encode()))}): Enter shows the next of them, y copies all"


def _head(piece: Piece, paint: Paint) -> Text:
    who = piece.data["who"]
    line = styled(f"{who}  ", paint["you" if who == "you" else "agent"])
    line.append(format.clock(piece.data["time_ns"])[:5], paint["muted"])
    state = piece.data.get("state", "")
    if state:
        role = {"failed": "error", "cancelled": "warning", "recovered": "warning"}.get(state.split(" ")[0], "muted")
        line.append(f"  {paint.glyphs.dot} {safe_line(state)}", paint[role])
    return line


def _marked(source: str, width: int, paint: Paint, role: str, mark: str) -> list[Text]:
    lines = []
    for index, line in enumerate(wrap(Text(source), width - 2)):
        row = styled(f"{mark} " if index == 0 else "  ", paint[role])
        row.append_text(line)
        row.stylize(paint[role])
        lines.append(row)
    return lines


def _tool(piece: Piece, width: int, paint: Paint) -> list[Text]:
    data = piece.data
    state, role = _tool_state(data)
    line = styled(paint.glyphs.expanded if piece.open else paint.glyphs.collapsed, paint["muted"])
    line.append(f" {safe_line(str(data.get('name', 'tool')), 24):<8} ", paint["accent"])
    room = width - line.cell_len - len(state) - 2
    about = Text(safe_line(brief(data.get("arguments") or {}), 300), paint["muted"])
    if room > 4:
        about.truncate(room, overflow="ellipsis", pad=True)
        line.append_text(about)
    line.append(f"  {state}", paint[role])
    lines = [line]
    if piece.open:
        lines += _opened(data, width, paint)
    return lines


def _opened(data: dict[str, Any], width: int, paint: Paint) -> list[Text]:
    parts = [json.dumps(data.get("arguments") or {}, ensure_ascii=False, indent=1, default=str)]
    if data.get("text"):
        parts.append(str(data["text"]))
    found: list[Text] = []
    for part in parts:
        whole = safe(part).split("\n")
        for line in whole[:TOOL_LINES]:
            for piece in wrap(Text(line), width - 6):
                row = styled(f"    {paint.glyphs.bar} ", paint["rule"])
                row.append_text(piece)
                found.append(row)
        if len(whole) > TOOL_LINES:
            found.append(Text(f"    {len(whole) - TOOL_LINES} more lines; y copies all", paint["muted"]))
    return found


def _tool_state(data: dict[str, Any]) -> tuple[str, str]:
    if "ok" not in data:
        return ("ended", "muted") if data.get("ended") else ("running", "warning")
    return ("ok", "success") if data["ok"] else ("failed", "error")


def brief(arguments: dict[str, Any]) -> str:
    """Arguments in one line: the value alone where there is one, else `name=value`."""
    values = [
        (str(name), value if isinstance(value, str) else json.dumps(value, default=str))
        for name, value in arguments.items()
    ]
    if len(values) == 1:
        return values[0][1]
    return "  ".join(f"{name}={value}" for name, value in values)
