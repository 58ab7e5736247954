"""What is in the stock, and who has reserved it."""

from __future__ import annotations

import threading
from collections import deque


class Stock:
    """Counts of things; several threads may ask at once."""

    def __init__(self, start: dict[str, int] | None = None, history: int = 8) -> None:
        self._counts: dict[str, int] = dict(start or {})
        self._held: dict[str, dict[str, int]] = {}
        self._history: deque[tuple[str, int]] = deque(maxlen=history)
        self._lock = threading.Lock()

    def add(self, name: str, count: int = 1) -> int:
        """How many there are now."""
        if count < 0:
            raise ValueError("count is negative")
        with self._lock:
            now = self._counts.get(name, 0) + count
            self._counts[name] = now
            self._history.append((name, count))
            return now

    def take(self, name: str, count: int = 1) -> bool:
        """False, and nothing is taken, where there are too few that nobody has reserved."""
        with self._lock:
            if self._free(name) < count:
                return False
            self._counts[name] = self._counts.get(name, 0) - count
            self._history.append((name, -count))
            return True

    def reserve(self, who: str, name: str, count: int) -> bool:
        with self._lock:
            if count > self._free(name):
                return False
            held = self._held.setdefault(who, {})
            held[name] = held.get(name, 0) + count
            return True

    def release(self, who: str) -> dict[str, int]:
        """What was held; nothing is held afterwards."""
        with self._lock:
            return self._held.pop(who, {})

    def free(self, name: str) -> int:
        with self._lock:
            return self._free(name)

    def _free(self, name: str) -> int:
        held = sum(things.get(name, 0) for things in self._held.values())
        return self._counts.get(name, 0) - held

    def low(self, limit: int = 3) -> list[str]:
        """Names of what there are at most `limit` of, fewest first."""
        with self._lock:
            found = [(count, name) for name, count in self._counts.items() if count <= limit]
        return [name for _, name in sorted(found)]

    def recent(self) -> list[tuple[str, int]]:
        """The last moves, oldest first."""
        return list(self._history)


class Prices:
    """Prices by customer group, computed once."""

    def __init__(self, base: dict[str, int], discounts: dict[str, int]) -> None:
        self._base = dict(base)
        self._discounts = dict(discounts)
        self._known: dict[tuple[str, str], int] = {}

    def price(self, name: str, group: str = "") -> int:
        """Cents. Raises KeyError: no such thing."""
        found = self._known.get((name, group))
        if found is None:
            full = self._base[name]
            found = self._known[name, group] = full - full * self._discounts.get(group, 0) // 100
        return found

    def change(self, name: str, cents: int) -> None:
        self._base[name] = cents
        for known in [known for known in self._known if known[0] == name]:
            del self._known[known]
