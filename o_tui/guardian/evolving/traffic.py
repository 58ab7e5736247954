"""Which request goes where while a canary takes its share, and when a step of it has seen enough. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

SHARES = (0.1, 0.5, 1.0)
"""The shares of real requests that a canary takes, step by step."""
QUIET_S = 1.0
"""Nobody has asked for this long: a step does not wait for real requests any longer."""
LONGEST_S = 60.0
"""Nor longer than this where few of many requests are the canary's."""
LIVE_SHARE = 0.25
"""How many of a step's requests are to be real ones that the canary has served, where somebody asks at all."""


def takes(request_id: str, share: float) -> bool:
    """Whether the canary takes a request: the same answer each time, and what it takes at 10 % it takes at 50 %."""
    digest = hashlib.blake2b(request_id.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64


@dataclass(slots=True)
class Step:
    """One step of a canary: so many requests given to old and new code, some of them real ones that it served.

    Attributes:
        share: Of the real requests, 0 to 1.
        wanted: Requests that both are to be given.
        fills: There are recorded requests to give them where no real ones come.
        pairs: Requests that both have been given.
        served: Real requests that the canary has ended.
        began_s, asked_s: When it began, and when a real request last came (monotonic).
    """

    share: float
    wanted: int
    fills: bool
    began_s: float
    asked_s: float = float("-inf")
    pairs: int = 0
    served: int = 0

    def needs_pairs(self) -> bool:
        """Whether another pair is needed, of a replayed request if there is no real one."""
        return self.pairs < self.wanted

    def is_over(self, now_s: float) -> bool:
        """Whether it has seen enough: its pairs, and its real requests unless hardly anybody asks."""
        alone = now_s - self.asked_s >= QUIET_S or now_s - self.began_s >= LONGEST_S
        if self.needs_pairs():
            return alone and not self.fills
        return alone or self.served >= self.wanted * LIVE_SHARE
