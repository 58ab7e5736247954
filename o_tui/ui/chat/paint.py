"""Styles for the chat, from a theme; and styled text as the strips that Textual draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from o_tui.ui.glyphs import UNICODE, Glyphs
from o_tui.ui.text import Text

CONSOLE = Console(width=200, force_terminal=True, color_system="truecolor", legacy_windows=False, emoji=False)
"""Only for Rich's arithmetic: nothing is ever printed to it."""


@dataclass(frozen=True)
class Paint:
    """Styles by role, and the characters to draw with."""

    styles: Mapping[str, Style]
    glyphs: Glyphs = UNICODE

    def __getitem__(self, role: str) -> Style:
        return self.styles[role]


def paint_from(variables: Mapping[str, str], glyphs: Glyphs) -> Paint:
    """The chat's styles from a theme's variables."""

    def style(
        name: str, *, bold: bool | None = None, italic: bool | None = None, underline: bool | None = None
    ) -> Style:
        return Style(color=variables[name], bold=bold, italic=italic, underline=underline)

    base = Style(color=variables["foreground"], bgcolor=variables["background"])
    styles = {
        "base": base,
        "text": style("foreground"),
        "muted": style("muted"),
        "disabled": style("disabled"),
        "you": style("you", bold=True),
        "agent": style("agent", bold=True),
        "heading": style("primary", bold=True),
        "strong": Style(bold=True),
        "emphasis": Style(italic=True),
        "strike": Style(strike=True),
        "code": Style(color=variables["accent"]),
        "fence": Style(color=variables["foreground"], bgcolor=variables["code"]),
        "link": style("primary", underline=True),
        "quote": style("muted", italic=True),
        "rule": style("border-blurred"),
        "success": style("success"),
        "warning": style("warning"),
        "error": style("error"),
        "accent": style("accent"),
        "selected": Style(bgcolor=variables["cursor-row"]),
        "syntax.keyword": style("agent"),
        "syntax.string": style("success"),
        "syntax.comment": style("muted", italic=True),
        "syntax.number": style("warning"),
        "syntax.name": style("primary"),
        "syntax.builtin": style("accent"),
    }
    return Paint(styles, glyphs)


def styled(text: str, style: Style | None = None) -> Text:
    """A text with a style of its own, which what is appended does not get."""
    return Text().append(text, style)


def wrap(text: Text, width: int) -> list[Text]:
    """Cuts a text into lines of at most `width` cells, at spaces where there are some."""
    if text.cell_len <= width and "\n" not in text.plain:
        return [text]
    lines: list[Text] = []
    for line in cast("Iterable[Text]", text.split("\n", allow_blank=True)):
        folded = line.wrap(CONSOLE, max(1, width), overflow="fold") if line.cell_len > width else [line]
        lines.extend(cast("Iterable[Text]", folded))
    for line in lines:
        line.rstrip()
    return lines


def strip(line: Text, base: Style, width: int, indent: int = 0) -> Strip:
    """One line as a strip of exactly `width` cells."""
    segments: list[Segment] = [Segment(" " * indent, base)] if indent else []
    for segment in line.render(CONSOLE, end=""):
        segments.append(Segment(segment.text, base + segment.style if segment.style else base))
    return Strip(segments).adjust_cell_length(width, base)


def strips(lines: Iterable[Text], base: Style, width: int, indent: int = 0) -> list[Strip]:
    """Several lines as strips."""
    return [strip(line, base, width, indent) for line in lines]
