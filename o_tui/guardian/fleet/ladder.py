"""What comes after a supervisor has given up: the ladder down, as a pure decision.

OTP's restart intensity says *that* something keeps ending; the ladder says what is tried next. A part that has nothing
to do with the genome (nursery, broker) is started again after a pause. Agents that keep crashing get the previous
revision of the genome, then none (safe mode: the kernel answers, no gene runs), and then O stops and says so. Agents
that were killed by somebody else's hand are only started again: their code is not to blame.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from o_tui.guardian.fleet.code import Code
from o_tui.guardian.fleet.fleet import Fleet

Group = Literal["forks", "effects", "agents", "start"]
"""Who has given up: the nursery's, the broker's, the instances' supervisor; or the whole tree did not start."""
Rung = Literal["newest", "previous", "safe"]
"""Which code the agents run: the genome's head, the revision before, or the kernel alone."""
Action = Literal["again", "previous", "safe", "stop"]

FORGET_NS = 600 * 10**9
"""A fall counts for so long."""
FALLS_LIMIT = 3
"""Falls of the nursery without a living main, or failed starts, after which O stops."""
VERDICT_S = 0.1
"""How long to wait for the last exit status."""
PAUSES_S = (0.2, 1.0, 5.0, 30.0)


@dataclass(frozen=True, slots=True)
class Fall:
    """A supervisor gave up.

    Attributes:
        at_ns: When (monotonic).
        crashes: Instances that ended by their own fault since the last fall.
        kills: Instances that somebody else has ended; neither: they could not be started.
    """

    group: Group
    at_ns: int
    crashes: int = 0
    kills: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where we stand when it happens.

    Attributes:
        rung: What the agents run now.
        has_previous: There is a revision before the genome's head.
        serving: A main instance lives.
    """

    rung: Rung = "newest"
    has_previous: bool = False
    serving: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """What to do, after `pause_s`; `why` is for the operator."""

    action: Action
    pause_s: float
    why: str


def decide(falls: Sequence[Fall], standing: Standing) -> Move:
    """The next move after the last of `falls` (oldest first, at least one)."""
    last = falls[-1]
    recent = [fall for fall in falls if fall.group == last.group and last.at_ns - fall.at_ns < FORGET_NS]
    pause_s = PAUSES_S[min(len(recent), len(PAUSES_S)) - 1]
    if last.group == "effects":
        return Move("again", pause_s, "the broker keeps ending: there is no model until it is started again")
    if last.group != "agents":
        if len(recent) >= FALLS_LIMIT and not standing.serving:
            return Move("stop", 0.0, f"{len(recent)} attempts, and no agent runs")
        return Move("again", pause_s, "it is started again")
    if not last.crashes and not last.kills:
        return Move("again", pause_s, "the instances could not be started: it is tried again")
    if last.crashes <= last.kills:
        return Move("again", PAUSES_S[0], "the instances were killed by somebody else: the same genome starts again")
    if standing.rung == "newest" and standing.has_previous:
        return Move("previous", 0.0, "the instances keep crashing: the genome's previous revision is tried")
    if standing.rung != "safe":
        return Move("safe", 0.0, "the instances keep crashing: safe mode, the kernel alone answers")
    return Move("stop", 0.0, "the instances crash even without a genome")


class Ladder:
    """Carries the moves out.

    Attributes:
        previous: Finds the revision before the genome's head; None: there is none.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        start_group: Callable[[str], Awaitable[bool]],
        tell: Callable[[str, Move], None],
        give_up: Callable[[str], None],
    ) -> None:
        self.previous: Callable[[], Awaitable[Code | None]] = _none
        self._fleet = fleet
        self._start_group = start_group
        self._tell = tell
        self._give_up = give_up
        self._falls: list[Fall] = []
        self._crashes = 0
        self._kills = 0
        self._tried = ""

    @property
    def rung(self) -> Rung:
        """Which code the agents run; one that is deployed later is the newest again."""
        revision = self._fleet.code.revision
        if not revision:
            return "safe"
        return "previous" if revision == self._tried else "newest"

    def died(self, *, crashed: bool) -> None:
        """An instance has ended: by its own fault, or by somebody else's hand."""
        self._crashes += crashed
        self._kills += not crashed

    async def fell(self, group: Group) -> bool:
        """A supervisor has given up: decides, waits, starts it again, until it runs; False: nothing is left to try."""
        while await self._move(group):
            if group == "start" or await self._start_group(group):
                return True
        return False

    async def _move(self, group: Group) -> bool:
        if group == "agents":
            await asyncio.sleep(VERDICT_S)
        self._falls = [*self._falls[-20:], Fall(group, time.monotonic_ns(), self._crashes, self._kills)]
        if group == "agents":
            self._crashes = self._kills = 0
        previous = await self.previous() if group == "agents" and self.rung == "newest" else None
        main = self._fleet.main
        move = decide(self._falls, Standing(self.rung, previous is not None, main is not None and main.alive))
        self._tell(group, move)
        if move.action == "stop":
            self._give_up(move.why)
            return False
        if move.action == "previous" and previous is not None:
            self._tried = previous.revision
            self._fleet.use(previous)
        elif move.action == "safe":
            self._fleet.use(Code({}, "", ""))
        await asyncio.sleep(move.pause_s)
        return True


async def _none() -> Code | None:
    return None
