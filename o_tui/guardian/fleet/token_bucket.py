"""How much somebody may do of something: a burst at once, and so much a second from then on."""

from __future__ import annotations

import time
from collections.abc import Callable


class TokenBucket:
    """A bucket of tokens; `refused` counts those that were not there."""

    def __init__(self, burst: int, each_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.refused = 0
        self._burst = burst
        self._each_s = each_s
        self._clock_s = clock_s
        self._left = float(burst)
        self._at_s = clock_s()

    def take(self) -> bool:
        """Takes one; False if none is left just now."""
        now_s = self._clock_s()
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._each_s)
        self._at_s = now_s
        if self._left < 1:
            self.refused += 1
            return False
        self._left -= 1
        return True
