"""Spans of whole numbers, from a first to a last one, and sets of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class Tag:
    """A name whose case does not matter."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tag) and self.name.lower() == other.name.lower()

    def __hash__(self) -> int:
        return hash(self.name.lower())


def tags(names: list[str]) -> int:
    """How many different ones."""
    return len({Tag(name) for name in names})


class Spans:
    """Numbers that are taken; spans that touch are one."""

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._spans: list[tuple[int, int]] = []
        for first, last in spans:
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Raises ValueError: it ends before it begins."""
        if last < first:
            raise ValueError("it ends before it begins")
        apart = []
        for span in self._spans:
            if span[1] + 1 < first or span[0] - 1 > last:
                apart.append(span)
            else:
                first, last = min(first, span[0]), max(last, span[1])
        self._spans = sorted([*apart, (first, last)])

    def remove(self, first: int, last: int) -> None:
        left: list[tuple[int, int]] = []
        for low, high in self._spans:
            if low < first:
                left.append((low, min(high, first - 1)))
            if high > last:
                left.append((max(low, last + 1), high))
            if low > high:
                break
        self._spans = left if first <= last else self._spans

    def drop_short(self, size: int) -> int:
        """Spans of fewer numbers go; how many did."""
        before = len(self._spans)
        self._spans = [span for span in self._spans if span[1] - span[0] + 1 >= size]
        return before - len(self._spans)

    def all(self) -> list[tuple[int, int]]:
        return list(self._spans)

    def gaps(self) -> list[tuple[int, int]]:
        """What is free between two of them."""
        return [(one[1] + 1, other[0] - 1) for one, other in zip(self._spans, self._spans[1:], strict=False)]

    def __contains__(self, number: int) -> bool:
        return any(first <= number <= last for first, last in self._spans)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self._spans)


def numbered(items: Iterable[str], start: int = 1) -> Iterator[tuple[int, str]]:
    """Blank ones are left out, and have no number."""
    number = start
    for item in items:
        if item.strip():
            yield number, item
            number += 1


def extremes(values: Iterable[int]) -> tuple[int, int] | None:
    """The smallest and the largest; None: there is none."""
    given = list(values)
    return (min(given), max(given)) if given else None


def grid(rows: int, width: int, marks: list[tuple[int, int]]) -> list[list[int]]:
    """How often each cell is marked; marks outside are nowhere."""
    cells = [[0] * max(0, width) for _ in range(max(0, rows))]
    for row, column in marks:
        if 0 <= row < rows and 0 <= column < width:
            cells[row][column] += 1
    return cells
