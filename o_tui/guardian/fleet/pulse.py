"""Hangs, seen in shared memory: an instance that has nothing to do beats every 50 ms, and three beats missed end it.

Where the operator's limit for silence (`health.death_s`, 5 s) is a long one, so is this: it is never under 3 % of it.

Who works says so and may be silent (health.py has the limit for that). Who cannot get a processor is not hung: before
anybody is killed, the system is asked what the process waits for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from o_tui import _native

BEAT_NS = 50_000_000
"""See bridge.PULSE_S."""
BEATS = 3
SHARE = 0.03
_NEXT_LOOK_NS = 5_000_000
_ABSENT_NS = 2 * BEAT_NS
_WANTS_TO_RUN = "RD"
"""States in /proc/<pid>/stat of who waits for a processor, or for a page."""


class Beating(Protocol):
    """A process with counters."""

    name: str
    pid: int
    counters: _native.SharedReader


class Pulse:
    """Looks on the running loop, and tells of each hang once: the name and the seconds of silence."""

    def __init__(
        self,
        instances: Callable[[], Iterable[Beating]],
        on_hang: Callable[[str, float], None],
        death_s: float,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._instances = instances
        self._on_hang = on_hang
        self._limit_ns = max(BEATS * BEAT_NS, int(SHARE * death_s * 1e9))
        self._clock_ns = clock_ns
        self._since_ns = self._looked_ns = clock_ns()
        self._told: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins to look."""
        delay_s = self.look() / 1e9
        self._timer = asyncio.get_running_loop().call_later(delay_s, self.start)

    def stop(self) -> None:
        """Ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> int:
        """One look at everybody; returns in how many nanoseconds the next one is due."""
        now_ns = self._clock_ns()
        if now_ns - self._looked_ns > _ABSENT_NS:
            self._since_ns = now_ns  # this process stood still itself: nobody's silence before now counts
        self._looked_ns = now_ns
        due_ns = BEAT_NS
        for instance in list(self._instances()):
            silence_ns = self._silence_ns(instance, now_ns)
            if silence_ns < self._limit_ns:
                due_ns = min(due_ns, self._limit_ns - silence_ns)
            elif instance.name not in self._told and self._sleeps(instance, now_ns):
                self._told.add(instance.name)
                self._on_hang(instance.name, silence_ns / 1e9)
        return max(due_ns, _NEXT_LOOK_NS)

    def _sleeps(self, instance: Beating, now_ns: int) -> bool:
        # it may have got a processor, beaten and gone to sleep again since its beats were read
        return not wants_to_run(instance.pid) and self._silence_ns(instance, now_ns) >= self._limit_ns

    def _silence_ns(self, instance: Beating, now_ns: int) -> int:
        """0 for who is at work, or has not begun."""
        reading = instance.counters.read()
        if reading is None or reading.busy or not reading.heartbeat_ns:
            return 0
        return now_ns - max(reading.heartbeat_ns, self._since_ns)


def wants_to_run(pid: int) -> bool:
    """Whether a process would run if it could; one that has ended is none of our business: true."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return True
    return text.rpartition(")")[2].strip()[:1] in _WANTS_TO_RUN
