"""The one door of the screen: whatever is drawn passes here, and what passes is harmless.

A `Text` cannot hold anything that acts on a terminal or hides from a reader, whatever it is made of; a `Static` takes
nothing but a `Text`, so nothing is ever read as markup. Rich's and Textual's own are not used anywhere else
(tests/unit/test_text_doors.py). `LAST_DOOR` sees every line that any widget draws, Textual's own too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from rich.cells import cell_len
from rich.containers import Lines
from rich.segment import Segment
from rich.style import Style
from rich.text import Text as RichText
from textual import widgets
from textual.color import Color
from textual.content import Content
from textual.filter import LineFilter
from textual.widget import Widget
from textual.widgets.option_list import Option

from o_tui.protocol import safe_text
from o_tui.protocol.safe_text import Safe, Untrusted

TAB_CELLS = 4


def safe(text: str | Untrusted) -> Safe:
    """Text of several lines, harmless on a terminal, without tabs."""
    shown = safe_text.safe(text)
    return Safe(shown.expandtabs(TAB_CELLS)) if "\t" in shown else shown


def safe_line(text: str | Untrusted, limit: int = 200) -> Safe:
    """One line of at most `limit` characters, harmless on a terminal."""
    return safe_text.safe_line(text, limit)


class Text(RichText):
    """Rich's `Text`, of harmless characters only. Brackets are brackets: there is no markup in it."""

    __slots__ = ()

    def __init__(self, text: str | Untrusted = "", style: str | Style = "", **options: Any) -> None:
        super().__init__(safe(text), style, **options)

    def append(self, text: RichText | str | Untrusted, style: str | Style | None = None) -> Text:
        """Adds a text, with a style of its own."""
        super().append(text if isinstance(text, RichText) else safe(text), style)
        return self

    # what Rich makes of one is one too: `join`, `split` and `wrap` are made of these

    def blank_copy(self, plain: str = "") -> Text:
        """A text that looks the same."""
        return _ours(super().blank_copy(safe(plain)))

    def copy(self) -> Text:
        """The same again."""
        return _ours(super().copy())

    def divide(self, offsets: Iterable[int]) -> Lines:
        """The parts between the offsets."""
        return Lines(_ours(line) for line in super().divide(offsets))

    def join(self, lines: Iterable[RichText]) -> Text:
        """The lines with this one between them."""
        return _ours(super().join(lines))


def _ours(text: RichText) -> Text:
    text.__class__ = Text
    return cast(Text, text)


class Static(widgets.Static):
    """Textual's `Static`, for a `Text`: a str would be read as markup."""

    def __init__(self, content: RichText | None = None, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(_text(content), id=id, classes=classes, markup=False)

    def update(self, content: RichText | None = None, *, layout: bool = True) -> None:  # type: ignore[override]
        """Shows another text; None is the empty one."""
        super().update(_text(content), layout=layout)


def _text(content: object) -> RichText:
    # the type checker does not see into a row of the guardian's: what it lets through is data all the same
    return content if isinstance(content, RichText) else Text("" if content is None else str(content))


def option(text: str | Untrusted, id: str | None = None) -> Option:
    """A line of an OptionList."""
    return Option(Text(safe_line(text)), id=id)


def entitle(widget: Widget, title: str | Untrusted = "", keys: str | Untrusted = "") -> None:
    """Writes into a widget's frame: a title above, the keys below."""
    widget.border_title = Content(safe_line(title))
    widget.border_subtitle = Content(safe_line(keys))


class KeyLine(widgets.Footer):
    """Textual's footer: it shows the titles of bindings, which are ours."""


class LastDoor(LineFilter):
    """Every line of every widget passes it on the way to the terminal.

    Our own lines are harmless already and stay as they are; Textual's fields show whatever was pasted into them.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The line without anything that could act."""
        line = "".join([segment.text for segment in segments])
        if safe_text.safe_line(line, 0) is line:
            return segments
        shown = [Segment(safe_text.safe_line(text, 0), style, control) for text, style, control in segments]
        return list(Segment.adjust_line_length(shown, cell_len(line)))


LAST_DOOR = LastDoor()


def flow(items: Sequence[Text], width: int) -> list[Text]:
    """Items one behind the other, broken between them where `width` ends."""
    lines = [Text()]
    for item in items:
        if lines[-1].cell_len and lines[-1].cell_len + 2 + item.cell_len > width:
            lines.append(Text())
        elif lines[-1].cell_len:
            lines[-1].append("  ")
        lines[-1].append_text(item)
    return lines
