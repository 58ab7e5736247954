"""Figures of a report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator


def mean(values: Iterable[float]) -> float:
    """NaN where there are none."""
    total, count = 0.0, 0
    for value in values:
        total += value
        count += 1
    return total / count if count else math.nan


def spread(values: Iterable[float]) -> float:
    """The largest less the smallest."""
    given = list(values)
    return max(given) - min(given) if given else 0.0


def median(values: list[float]) -> float:
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def totals(rows: list[tuple[str, int]]) -> dict[str, int]:
    """The sum of each group, groups in the order of their first row."""
    out: dict[str, int] = {}
    for group, value in rows:
        out[group] = out.get(group, 0) + value
    return out


def percent(part: int, whole: int) -> int:
    """Rounded to the nearest, halves up; 0 of nothing is 0."""
    return (200 * part + whole) // (2 * whole) if whole > 0 else 0


def running(values: Iterable[float], window: int = 3) -> Iterator[float]:
    """The mean of the last `window` values, after each."""
    if window < 1:
        raise ValueError("window must be positive")
    last: list[float] = []
    for value in values:
        last.append(value)
        if len(last) > window:
            last.pop(0)
        yield sum(last) / len(last)


def bins(values: list[int], width: int) -> dict[int, int]:
    """How many fall into each bin; a bin is named by its lower end."""
    if width <= 0:
        raise ValueError("width must be positive")
    out: dict[int, int] = {}
    for value in values:
        start = value // width * width
        out[start] = out.get(start, 0) + 1
    return dict(sorted(out.items()))


def steps(values: list[int]) -> list[int]:
    """Where a value differs from the one before."""
    return [place for place in range(1, len(values)) if values[place] != values[place - 1]]


def outliers(values: list[float], times: float = 3.0) -> list[float]:
    """Values further from the median than `times` the median distance."""
    if len(values) < 3:
        return []
    centre = median(values)
    usual = median([abs(value - centre) for value in values])
    return [value for value in values if abs(value - centre) > times * usual]
