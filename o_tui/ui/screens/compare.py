"""Shows two checkpoints beside each other: what both have, what differs, what is only in one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll

from o_tui.ui.format import count, short, shown, size, stamp
from o_tui.ui.lists.paint import fit
from o_tui.ui.screens.dialog import Dialog
from o_tui.ui.screens.inspect import facts, table
from o_tui.ui.text import Static, Text

NAMES = {
    "time_ns": "written", "seq": "operation", "reason": "reason", "revision": "genome", "size_bytes": "size",
    "uncompressed_bytes": "uncompressed", "digest": "digest",
}  # fmt: skip


class CompareScreen(Dialog[None]):
    """Two columns of rows, then what the guardian found."""

    about = "Two checkpoints beside each other: what differs between them is marked."
    keys_help = (("Esc", "Close."),)

    DEFAULT_CSS = """
    CompareScreen > .box { width: 96; }
    CompareScreen VerticalScroll { height: auto; max-height: 100%; scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar = [Binding("q", "leave", "Close", show=False)]
    box_title = "Compare"

    def __init__(self, one: Mapping[str, Any], other: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        super().__init__()
        self._one = one
        self._other = other
        self._found = found

    def heading(self) -> str:
        """Which two."""
        return f"{short(shown(self._one.get('id')))} and {short(shown(self._other.get('id')))}"

    def compose_box(self) -> ComposeResult:
        """Everything scrolls as one."""
        with VerticalScroll(can_focus=True):
            width = min(96, int(self.app.size.width * 0.96)) - 4
            yield Static(beside(self._one, self._other, (width - 21) // 2))
            rest = facts(self._found, skip=("a", "b"))
            yield Static(table(rest, width))


def beside(one: Mapping[str, Any], other: Mapping[str, Any], width: int = 28) -> Text:
    """The rows' fields in two columns; `=` marks what is the same, `!=` what is not."""
    text = Text()
    text.append(f"{'':<14}  {fit(shown(one.get('id')), width)}     {fit(shown(other.get('id')), width)}\n", "bold")
    for key, name in NAMES.items():
        left, right = _value(key, one.get(key)), _value(key, other.get(key))
        if left == right == "-":
            continue
        same = one.get(key) == other.get(key)
        text.append(f"{name:<14}  ")
        text.append(f"{fit(left, width)} {'= ' if same else '!='}  ")
        text.append(f"{fit(right, width)}\n", "" if same else "bold")
    return text


def _value(key: str, value: Any) -> str:
    if value in (None, ""):
        return "-"
    if isinstance(value, bytes):
        return value.hex()
    if key == "time_ns":
        return stamp(int(value))
    if key.endswith("bytes"):
        return size(value)
    return count(value) if key == "seq" else shown(value, 200)
