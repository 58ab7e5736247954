"""Streams of things: in batches, in windows, merged, with statistics."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator


def batched(items: Iterable[int], size: int) -> Iterator[list[int]]:
    if size < 1:
        raise ValueError("size must be positive")
    batch: list[int] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def windows(items: list[int], size: int) -> list[tuple[int, ...]]:
    if size < 1:
        return []
    return [tuple(items[start : start + size]) for start in range(len(items) - size + 1)]


def merged(first: list[int], second: list[int]) -> list[int]:
    """Two sorted lists as one, each number once."""
    out: list[int] = []
    for item in heapq.merge(sorted(first), sorted(second)):
        if not out or out[-1] != item:
            out.append(item)
    return out


def runs(items: list[str]) -> list[tuple[str, int]]:
    out: list[tuple[str, int]] = []
    for item in items:
        if out and out[-1][0] == item:
            out[-1] = (item, out[-1][1] + 1)
        else:
            out.append((item, 1))
    return out


def retry(make: Callable[[], str], times: int) -> str | None:
    """The first result within so many tries; None where each of them failed."""
    for _ in range(times):
        try:
            return make()
        except ValueError:
            continue
    return None


def median(values: list[float]) -> float:
    if not values:
        raise ValueError("nothing to choose from")
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


class Recent:
    """The last values and what they come to."""

    def __init__(self, size: int = 4) -> None:
        if size < 1:
            raise ValueError("size must be positive")
        self._values: deque[float] = deque(maxlen=size)
        self.count = 0

    def add(self, value: float) -> None:
        self._values.append(value)
        self.count += 1

    def mean(self) -> float:
        return sum(self._values) / len(self._values) if self._values else 0.0

    def largest(self) -> float | None:
        return max(self._values, default=None)

    def rising(self) -> bool:
        values = list(self._values)
        return len(values) > 1 and all(a < b for a, b in zip(values, values[1:]))

    def values(self) -> list[float]:
        return list(self._values)
