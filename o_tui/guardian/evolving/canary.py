"""An approved revision on its way to all requests: a canary takes 10 %, 50 %, 100 % of them, and is watched.

What the canary has served is given to two shadows as well, one with the old code and one with the new; so is what was
recorded, where nobody asks. Each step has a watch of its own. Speed is judged between the two shadows, which differ in
nothing but their code; what is compared with the canary itself is whether it fails, what it asks of the world, and
whether it is far slower than its own code is on trial. That is how code is caught that knows when it is on trial.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from o_tui.evolution.samples import RecordedRequest, Side
from o_tui.evolution.watch import HarmWatch, Paired
from o_tui.guardian.evolving.in_service import InService
from o_tui.guardian.evolving.seams import Served, Traffic
from o_tui.guardian.evolving.traffic import SHARES, Step
from o_tui.guardian.evolving.twin import TwinPair, Twins
from o_tui.protocol import refusals

LOOK_S = 0.05
"""How often a step that waits for real requests looks whether it is over."""
TELL_S = 0.4
"""Least time between two notices of the same step."""
RESTARTS = 3
"""How often a canary that somebody else has ended is started again."""
_QUEUED = 64


class Canary:
    """One canary, once.

    Attributes:
        stopped: Why an operator has ended it; empty: none has.
    """

    def __init__(
        self,
        traffic: Traffic,
        twins: Twins,
        *,
        wanted: int,
        replayed: Sequence[RecordedRequest],
        effects_known: bool,
        expected: float,
        start: Callable[[], Awaitable[None]],
        tell: Callable[[dict[str, Any]], Awaitable[None]],
        first: int = 1,
        before: tuple[int, int] = (0, 0),
    ) -> None:
        """`wanted` pairs make a step; `effects_known`: its trial has shown that it asks the world for more;
        `expected`: the ratio of times that was approved. `first` is the step that it begins at, 2 or 3 where a guardian
        has died in it; `before` are the pairs, and the real requests, that were counted until then.

        `start` starts its instance; `tell` takes the row's key `canary` whenever that changes.
        """
        self._traffic = traffic
        self._twins = twins
        self._wanted = wanted
        self._replayed = itertools.cycle(replayed)
        self._fills = bool(replayed)
        self._effects_known = effects_known
        self._start = start
        self._tell = tell
        self._ended: deque[Served] = deque(maxlen=_QUEUED)
        self._news = asyncio.Event()
        self.stopped = ""
        self._restarts = 0
        self._first = first
        self._number = 0
        self._before = before
        self._step = Step(0.0, 0, False, 0.0)
        self._expected = expected
        self._watch = HarmWatch(expected=expected)
        self._live = InService()
        self._told_s = 0.0

    def stop(self, reason: str) -> None:
        """Ends it, as if harm had been shown."""
        self.stopped = reason
        self._news.set()

    async def run(self) -> str:
        """All steps; returns what harm was shown, in one line, or "".

        Raises:
            GenomeLoadError: The revision could not be loaded.
            OError: No instance could be forked.
        """
        unfollow = self._traffic.follow(self._heard)
        try:
            for number, share in enumerate(SHARES[self._first - 1 :], self._first):
                self._number = number
                if harm := await self._one(share):
                    await self._say("harm", harm)
                    return harm
            await self._say("passed")
            return ""
        finally:
            unfollow()
            await self._twins.close()

    def row(self, state: str = "running", reason: str = "") -> dict[str, Any]:
        """What the evolution's row says of it."""
        step = self._step
        return {
            "step": self._number,
            "share": step.share,
            "requests": step.pairs,
            "total": step.wanted,
            "served": step.served,
            "requests_all": self._before[0] + step.pairs,
            "served_all": self._before[1] + step.served,
            "state": state,
            "reason": reason,
        }

    # --- inside

    async def _one(self, share: float) -> str:
        now_s = time.monotonic()
        self._before = (self._before[0] + self._step.pairs, self._before[1] + self._step.served)
        self._step = step = Step(
            share, self._wanted, self._fills, now_s, self._step.asked_s if self._number > self._first else now_s
        )
        self._watch = HarmWatch(expected=self._expected)  # each step begins anew; what service shows is one story
        self._traffic.divert(share)
        await self._say("running")
        while not step.is_over(time.monotonic()):
            if harm := self.stopped or await self._fault() or await self._next():
                return harm
            if time.monotonic() - self._told_s >= TELL_S:
                await self._say("running")
        return self.stopped or await self._fault()

    async def _fault(self) -> str:
        """What the canary did that ends it at once; one that somebody else has ended is started again."""
        fault = await self._traffic.fault()
        if fault is None:
            return ""
        if fault.blame:
            return fault.text
        self._restarts += 1
        if self._restarts > RESTARTS:
            return f"it was ended {self._restarts} times: {fault.text}"
        await self._start()
        self._traffic.divert(self._step.share)
        return ""

    async def _next(self) -> str:
        """One more request for both, a real one first."""
        if self._ended:
            return await self._served(self._ended.popleft())
        if self._fills and self._step.needs_pairs():
            return self._judge(await self._twins.pair(next(self._replayed)))
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):  # `wait_for` loses a cancelling that meets the event
                await self._news.wait()
        return ""

    def _heard(self, served: Served) -> None:
        self._step.asked_s = time.monotonic()
        if served.by == "canary" or served.fault:
            self._step.served += 1
            self._ended.append(served)
        self._news.set()

    async def _served(self, served: Served) -> str:
        if served.fault:  # main's code was given the same request
            self._step.pairs += 1
            harm = self._watch.add(Paired(not served.ok, True, 0, 0))
            return f"{harm} (the last: {served.fault})" if harm else ""
        if served.kind != "chat":
            return ""
        beside = await self._twins.pair(await self._traffic.recorded(served))
        harm = self._judge(beside, served.effects)
        return harm or self._live.add(served, beside.new, beside.new_ok_at_once)

    def _judge(self, beside: TwinPair, asked: int = 0) -> str:
        """`asked`: how many effects the canary itself asked for."""
        old, new = beside.old, beside.new
        self._step.pairs += 1
        if beside.refused:
            return f"the sandbox refused it {refusals.summary(beside.refused)}"
        if old.ok and new.ending in ("crash", "hang"):
            return f"1 {new.ending} where the old code answered: {new.error}"
        if not self._effects_known and max(asked, _asked(new)) > _asked(old) and old.ok and new.ok:
            what = f": {new.diverged[0]}" if new.diverged else ""
            return f"it asked for an effect that the old code did not ask for{what}"
        return self._watch.add(Paired(*beside.failed, *beside.times_ns))

    async def _say(self, state: str, reason: str = "") -> None:
        self._told_s = time.monotonic()
        await self._tell(self.row(state, reason))


def _asked(side: Side) -> int:
    return side.effects + len(side.diverged)
