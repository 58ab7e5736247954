"""After a promotion: the version before stays as a warm twin, and real requests are given to old and new code too.

A quiet agent has every request mirrored; under load one in ten by time, so that nobody who asks waits for the watch.
It ends after so many requests or hours, with another version, or when harm is shown: then the old code comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

from o_tui.evolution.watch import HarmWatch, Paired
from o_tui.guardian.evolving.in_service import InService
from o_tui.guardian.evolving.seams import Served, Traffic
from o_tui.guardian.evolving.twin import Twins
from o_tui.protocol import refusals
from o_tui.protocol.errors import OError

WATCH_REQUESTS = 1_000
WATCH_S = 24 * 3600.0
KEEP_PAIRS = 50
"""Pairs after which how far it is becomes durable: a guardian's death costs at most so many."""
REST = 9.0
"""Under load the watch rests for so many times what a pair took."""
AGAIN_S = 5.0
"""After which it tries again where no shadow could be forked."""


class Watching:
    """The watch over one promotion."""

    def __init__(
        self,
        traffic: Traffic,
        twins: Twins,
        *,
        expected: float,
        pairs: int,
        seconds: float,
        requests: int,
        keep: Callable[[dict[str, Any]], Awaitable[None]],
        held: Callable[[], str],
    ) -> None:
        """`expected`: the ratio of times that was approved; `pairs` were seen by a guardian before, `seconds` are left;
        `keep` makes the row's key `canary` durable.
        """
        self._traffic = traffic
        self._twins = twins
        self._pairs = pairs
        self._ends_s = time.monotonic() + seconds
        self._requests = requests
        self._keep = keep
        self._held = held
        self._watch = HarmWatch(expected=expected)
        self._live = InService()
        self._newest: Served | None = None
        self._news = asyncio.Event()

    async def run(self) -> str:
        """Watches; returns the harm that was shown, in one line, or "" when it is over."""
        unfollow = self._traffic.follow(self._heard)
        try:
            while self._pairs < self._requests and (left_s := self._ends_s - time.monotonic()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left_s):  # `wait_for` loses a cancelling that meets the event
                        await self._news.wait()
                if harm := await self._look():
                    return harm
            await self._keep(self.row("watched"))
            return ""
        finally:
            unfollow()
            await self._twins.close()

    def row(self, state: str, reason: str = "") -> dict[str, Any]:
        """What the evolution's row says of it."""
        return {"requests": self._pairs, "total": self._requests, "state": state, "reason": reason}

    def _heard(self, served: Served) -> None:
        if served.kind == "chat":
            self._newest = served
            self._news.set()

    async def _look(self) -> str:
        """The newest real request is given to both."""
        served, self._newest = self._newest, None
        self._news.clear()
        if served is None or self._held():  # what fails for want of a disk is not the code's
            return ""
        began_s = time.monotonic()
        try:
            harm = await self._pair(served)
        except OError:
            await asyncio.sleep(AGAIN_S)  # no nursery just now: whoever starts it again says so
            return ""
        if not harm and self._pairs % KEEP_PAIRS == 0:
            await self._keep(self.row("watching"))
        if not harm and self._news.is_set():
            await asyncio.sleep(REST * (time.monotonic() - began_s))
        return harm

    async def _pair(self, served: Served) -> str:
        beside = await self._twins.pair(await self._traffic.recorded(served))
        self._pairs += 1
        if beside.refused:
            return f"the sandbox refused it {refusals.summary(beside.refused)}"
        harm = self._watch.add(Paired(*beside.failed, *beside.times_ns))
        return harm or self._live.add(served, beside.new, beside.new_ok_at_once)
