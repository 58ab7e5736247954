"""Which evaluations go to the cluster together. Pure: orders in, batches out; the client only carries them.

A task costs some 10 ms of its own, so short evaluations travel together; long ones alone, so that no worker has a
queue while another has nothing. A batch that was lost with its worker is tried again, each of its orders alone: a
neighbour's death is nobody's fault.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from o_tui.programs.orders import Order

BATCH = 4
"""Orders of one task at most. More would travel for less, and the search would have to look back less far for it."""
AHEAD = 2
"""Tasks for each thread of the cluster: one that it does and one that waits."""
TASK_S = 0.5
"""How long a task should take; the last answers say how many orders that is."""
LOSSES = 3
_WEIGHT = 0.2


class Batches:
    """What waits, what is out, and how often it was lost."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        """Of all workers; it may change."""
        self._waiting: deque[Order] = deque()
        self._out = 0
        self._losses: dict[int, int] = {}
        self._each_s = 0.0

    def add(self, order: Order) -> None:
        """One more to evaluate."""
        self._waiting.append(order)

    def take(self) -> tuple[Order, ...]:
        """The next batch; empty: nothing waits, or enough is out."""
        free = AHEAD * max(1, self.threads) - self._out
        if free <= 0 or not self._waiting:
            return ()
        self._out += 1
        batch = [self._waiting.popleft()]
        size = min(BATCH, -(-(len(self._waiting) + 1) // free), self._worth())
        while batch[0].number not in self._losses and self._waiting and len(batch) < size:
            if self._waiting[0].number in self._losses:
                break
            batch.append(self._waiting.popleft())
        return tuple(batch)

    def done(self, batch: tuple[Order, ...], times_s: Iterable[float]) -> None:
        """A batch was answered; how long each of its evaluations took."""
        self._out -= 1
        for each in batch:
            self._losses.pop(each.number, None)
        for time_s in times_s:
            self._each_s += (time_s - self._each_s) * (_WEIGHT if self._each_s else 1.0)

    def lost(self, batch: tuple[Order, ...]) -> tuple[Order, ...]:
        """A batch has gone with its worker: its orders come next, but for those that are given up, which it returns."""
        self._out -= 1
        for each in batch:
            self._losses[each.number] = self._losses.get(each.number, 0) + 1
        over = tuple(each for each in batch if self._losses[each.number] >= LOSSES)
        self._waiting.extendleft(each for each in reversed(batch) if each not in over)
        for each in over:
            del self._losses[each.number]
        return over

    def _worth(self) -> int:
        return max(1, int(TASK_S / self._each_s)) if self._each_s else BATCH
