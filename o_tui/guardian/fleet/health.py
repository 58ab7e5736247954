"""Heartbeats: who has been silent for too long. `Deadlines` is the pure logic, `HealthMonitor` its timer.

A guardian that was itself stopped (SIGSTOP, a suspended machine) must not take its own absence for the silence of
the others: the time in which it did not look is not counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Pulse = Literal["ok", "late", "dead"]


@dataclass(slots=True)
class _Watched:
    heard_ns: int
    told: Pulse = "ok"


class Deadlines:
    """Pure: time is an argument (monotonic ns)."""

    def __init__(self, heartbeat_ns: int, death_ns: int) -> None:
        if not 0 < heartbeat_ns <= death_ns:
            raise ValueError("death comes after at least one heartbeat")
        self.heartbeat_ns = heartbeat_ns
        self.death_ns = death_ns
        self._watched: dict[str, _Watched] = {}
        self._looked_ns: int | None = None

    def watch(self, name: str, now_ns: int) -> None:
        """From now on `name` has to be heard; its time starts anew."""
        self._watched[name] = _Watched(now_ns)

    def forget(self, name: str) -> None:
        """It may be silent."""
        self._watched.pop(name, None)

    def beat(self, name: str, now_ns: int) -> bool:
        """It was heard; True if it had been called late before."""
        watched = self._watched.get(name)
        if watched is None:
            return False
        watched.heard_ns = now_ns
        back = watched.told == "late"
        if watched.told != "dead":
            watched.told = "ok"
        return back

    def look(self, now_ns: int) -> list[tuple[str, Pulse, int]]:
        """Who has become late (two heartbeats missed) or dead since the last look: (name, pulse, silence in ns).

        To be called at least every heartbeat: more than two without a look do not count as silence.
        """
        if self._looked_ns is not None and now_ns - self._looked_ns > 2 * self.heartbeat_ns:
            absent_ns = now_ns - self._looked_ns
            for watched in self._watched.values():
                watched.heard_ns = min(now_ns, watched.heard_ns + absent_ns)
        self._looked_ns = now_ns
        news: list[tuple[str, Pulse, int]] = []
        for name, watched in self._watched.items():
            silence_ns = now_ns - watched.heard_ns
            pulse: Pulse = "ok"
            if silence_ns >= self.death_ns:
                pulse = "dead"
            elif silence_ns >= 2 * self.heartbeat_ns:
                pulse = "late"
            if pulse != "ok" and pulse != watched.told and watched.told != "dead":
                watched.told = pulse
                news.append((name, pulse, silence_ns))
        return news

    def next_look_ns(self, now_ns: int) -> int:
        """When to look again: at the next deadline, at the latest after one heartbeat."""
        due_ns = now_ns + self.heartbeat_ns
        for watched in self._watched.values():
            if watched.told != "dead":
                due_ns = min(due_ns, watched.heard_ns + self.death_ns)
        return max(due_ns, now_ns + self.heartbeat_ns // 20)


class HealthMonitor:
    """Looks at the deadlines on the running loop and tells."""

    def __init__(
        self,
        heartbeat_s: float,
        death_s: float,
        on_dead: Callable[[str, float], None],
        on_late: Callable[[str, float], None] | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`on_dead` and `on_late` get the name and the seconds of silence, once for each silence."""
        self._deadlines = Deadlines(int(heartbeat_s * 1e9), int(death_s * 1e9))
        self._on_dead = on_dead
        self._on_late = on_late
        self._clock_ns = clock_ns
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins to look."""
        self._look()

    def stop(self) -> None:
        """Ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def watch(self, name: str) -> None:
        """From now on `name` has to be heard."""
        self._deadlines.watch(name, self._clock_ns())

    def forget(self, name: str) -> None:
        """It may be silent."""
        self._deadlines.forget(name)

    def beat(self, name: str) -> None:
        """It was heard (any frame counts, not only a heartbeat)."""
        self._deadlines.beat(name, self._clock_ns())

    def _look(self) -> None:
        now_ns = self._clock_ns()
        delay_s = (self._deadlines.next_look_ns(now_ns) - now_ns) / 1e9
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._look)
        for name, pulse, silence_ns in self._deadlines.look(now_ns):
            if pulse == "dead":
                self._on_dead(name, silence_ns / 1e9)
            elif self._on_late is not None:
                self._on_late(name, silence_ns / 1e9)
