"""How often something may be done: token buckets and sliding windows, the time passed in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass
class Bucket:
    capacity: float
    rate: float
    tokens: float = 0.0
    updated: float = 0.0

    def refill(self, now: float) -> float:
        if now > self.updated:
            self.tokens = min(self.capacity, self.tokens + (now - self.updated) * self.rate)
            self.updated = now
        return self.tokens


class Limiter:
    def __init__(self, limit: int = 3, window: float = 10.0) -> None:
        if limit < 1 or window <= 0:
            raise ValueError("limits must be positive")
        self.limit = limit
        self.window = window
        self._seen: dict[str, deque[float]] = {}
        self._blocked: set[str] = set()

    def allow(self, user: str, now: float) -> bool:
        if user in self._blocked:
            return False
        seen = self._seen.setdefault(user, deque())
        while seen and seen[0] <= now - self.window:
            seen.popleft()
        if len(seen) >= self.limit:
            return False
        seen.append(now)
        return True

    def wait(self, user: str, now: float) -> float:
        """Seconds until the next one is allowed."""
        seen = self._seen.get(user)
        if not seen or len(seen) < self.limit:
            return 0.0
        return max(0.0, seen[0] + self.window - now)

    def block(self, user: str) -> None:
        self._blocked.add(user)

    def unblock(self, user: str) -> bool:
        if user not in self._blocked:
            return False
        self._blocked.remove(user)
        self._seen.pop(user, None)
        return True

    def users(self) -> list[str]:
        return sorted(self._seen)


def spread(total: int, parts: int) -> list[int]:
    """A whole number in so many parts that differ by one at most, the larger ones first."""
    if parts < 1:
        raise ValueError("parts must be positive")
    base, more = divmod(total, parts)
    return [base + 1] * more + [base] * (parts - more)


def take(bucket: Bucket, amount: float, now: float) -> bool:
    if amount < 0:
        raise ValueError("amount must not be negative")
    if bucket.refill(now) < amount:
        return False
    bucket.tokens -= amount
    return True
