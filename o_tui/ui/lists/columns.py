"""Columns that give way: which of them a width has room for, and how wide each is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        title: Its header, lower case.
        width: Cells; 0: it takes what is left (one column of a list has that).
        right: Numbers stand at the right.
        rank: Columns of a higher rank go first where the room ends; rank 0 never goes.
        least: A flexible column's least width.
    """

    title: str
    width: int = 0
    right: bool = False
    rank: int = 0
    least: int = 10


def fitted(columns: Sequence[Column], texts: Mapping[str, Iterable[str]]) -> tuple[Column, ...]:
    """Columns no wider than what stands in them, which `texts` has by title: what is left goes to the flexible one."""
    return tuple(
        replace(column, width=min(column.width, max(map(len, texts[column.title]), default=column.width)))
        if column.title in texts
        else column
        for column in columns
    )


def layout(columns: Sequence[Column], width: int) -> list[tuple[int, int]]:
    """`(index, cells)` of the columns that are shown, in order."""
    shown = list(range(len(columns)))
    while len(shown) > 1 and _needed(columns, shown) > width:
        worst = max(shown, key=lambda index: (columns[index].rank, index))
        if columns[worst].rank == 0:
            break
        shown.remove(worst)
    spare = width - _needed(columns, shown)
    cells = []
    for index in shown:
        column = columns[index]
        cells.append((index, column.width or max(1, column.least + spare)))
    return cells


def _needed(columns: Sequence[Column], shown: Sequence[int]) -> int:
    return sum(columns[index].width or columns[index].least for index in shown) + GAP * (len(shown) - 1)
