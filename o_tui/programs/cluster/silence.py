"""Which workers are there and say nothing: frozen, or cut off without a word. Pure; seconds are `time.monotonic`'s.

A worker tells its scheduler that it lives, at most every few seconds, whatever its threads evaluate; the scheduler
itself gives it up after five minutes only (Dask's `worker-ttl`).
"""

from __future__ import annotations

from collections.abc import Mapping

SILENT_S = 20.0
"""How long a worker may say nothing: the beats of 1,000 workers are 6 s apart, and a busy machine is late."""


class Silence:
    """When each worker was heard of last."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[float, float]] = {}

    def look(self, seen: Mapping[str, float], now_s: float) -> set[str]:
        """The silent ones; `seen` is when the scheduler has heard of each, by a clock of its own."""
        self._heard = {
            name: before if (before := self._heard.get(name)) is not None and before[0] == at else (at, now_s)
            for name, at in seen.items()
        }
        return {name for name, (_at, heard_s) in self._heard.items() if now_s - heard_s > SILENT_S}
