"""Things that are shared by threads or tasks, and given back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any


class Pool:
    """So many places; several threads may ask."""

    def __init__(self, size: int = 2) -> None:
        self.size = size
        self._lock = threading.RLock()
        self._used: dict[str, int] = {}
        self._waiting: list[str] = []

    def take(self, who: str) -> bool:
        """False: it is full, and who asked stands in the queue."""
        with self._lock:
            if sum(self._used.values()) < self.size:
                self._used[who] = self._used.get(who, 0) + 1
                return True
            if who not in self._waiting:
                self._waiting.append(who)
            return False

    def give(self, who: str) -> str | None:
        """Back; who is next gets it, and is named. Raises KeyError: he had none."""
        with self._lock:
            left = self._used[who] - 1
            if left:
                self._used[who] = left
            else:
                del self._used[who]
            if not self._waiting:
                return None
            following = self._waiting.pop(0)
            self.take(following)
            return following

    def run(self, who: str, work: Callable[[], Any]) -> Any:
        """What the work gives, with a place; None: there was none. The place is given back, come what may."""
        if not self.take(who):
            return None
        try:
            return work()
        finally:
            self.give(who)

    def users(self) -> list[str]:
        with self._lock:
            return sorted(self._used)


class Meter:
    """Counts by name; several threads may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._highest = 0

    def count(self, name: str, more: int = 1) -> int:
        with self._lock:
            now = self._counts.get(name, 0) + more
            self._counts[name] = now
            self._highest = max(self._highest, now)
            return now

    def highest(self) -> int:
        with self._lock:
            return self._highest

    def swap(self) -> dict[str, int]:
        """What was counted; from here on anew."""
        with self._lock:
            old, self._counts = self._counts, {}
            return old

    def both(self, one: str, other: str) -> tuple[int, int]:
        """Both at the same moment."""
        with self._lock:
            return self._counts.get(one, 0), self._counts.get(other, 0)


async def gathered(delays: list[float], limit: int = 2) -> list[int]:
    """Waits for all, at most `limit` at once; what each was, in the order given."""
    gate = asyncio.Semaphore(max(1, limit))

    async def one(place: int, delay: float) -> int:
        async with gate:
            await asyncio.sleep(max(0.0, delay))
            return place

    return list(await asyncio.gather(*(one(place, delay) for place, delay in enumerate(delays))))


async def first(delays: list[float], timeout: float = 10.0) -> int | None:
    """Which one ends first, of equal ones the first; None: none in time."""
    best: int | None = None
    for place, delay in enumerate(delays):
        if max(0.0, delay) <= timeout and (best is None or max(0.0, delay) < max(0.0, delays[best])):
            best = place
    await asyncio.sleep(0 if best is None else max(0.0, delays[best]))
    return best


def retried(work: Callable[[], str], times: int = 3, seen: Iterable[str] = ()) -> list[str]:
    """Results until one was seen before, at most so many; an error ends it, and is nobody's."""
    known = set(seen)
    done: list[str] = []
    for _ in range(times):
        try:
            result = work()
        except ValueError:
            break
        done.append(result)
        if result in known:
            break
        known.add(result)
    return done
