"""Styled text to segments and cells: what every line-drawn widget needs, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.style import Style

Part = tuple[int, int, Style]
"""A style for the characters from start to end; later parts lie over earlier ones."""


@lru_cache(maxsize=2048)
def rich_style(style: Style) -> RichStyle:
    """The style as Rich writes it, computed once."""
    return style.rich_style


def paint(text: str, base: Style, parts: Iterable[Part] = ()) -> list[Segment]:
    """Cuts `text` where styles begin and end."""
    length = len(text)
    inside = [
        (max(0, start), min(length, end), style)
        for start, end, style in parts
        if start < length and end > max(0, start)
    ]
    if not inside:
        return [Segment(text, rich_style(base))] if text else []
    cuts = sorted({0, length, *(part[0] for part in inside), *(part[1] for part in inside)})
    styles = [base] * (len(cuts) - 1)
    place = {cut: index for index, cut in enumerate(cuts)}
    for start, end, style in inside:
        for index in range(place[start], place[end]):
            styles[index] += style
    return [
        Segment(text[start:end], rich_style(style)) for (start, end), style in zip(pairwise(cuts), styles, strict=True)
    ]


def cells(text: str) -> int:
    """How many cells a text takes."""
    return len(text) if text.isascii() else cell_len(text)


def fit(text: str, width: int, *, right: bool = False, mark: str = "…") -> str:
    """The text in exactly `width` cells: padded, or cut with a mark where something is missing."""
    if width <= 0:
        return ""
    length = cells(text)
    if length > width:
        return set_cell_size(text, width - 1) + mark if width > 1 else set_cell_size(text, width)
    space = " " * (width - length)
    return space + text if right else text + space


def wrap_cells(text: str, width: int) -> list[int]:
    """The character indexes at which parts of at most `width` cells begin; always at least `[0]`."""
    if width <= 0 or cells(text) <= width:
        return [0]
    if text.isascii():
        return list(range(0, len(text), width))
    starts, used = [0], 0
    for index, character in enumerate(text):
        wide = cell_len(character)
        if used + wide > width and used:
            starts.append(index)
            used = 0
        used += wide
    return starts
