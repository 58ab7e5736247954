"""The measuring of a candidate: a twin that runs main's code and a shadow that runs the candidate's, in pairs.

One after the other, in random order, forked anew every so often; time is the guardian's, CPU and memory are from the
kernel of the operating system. What a shadow says of itself is not used.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from o_tui.evolution import evidence
from o_tui.evolution.samples import Pair, RecordedRequest, Side, Trial
from o_tui.guardian.seams import InstanceDiedError, Instances, ShadowInstance
from o_tui.protocol import refusals
from o_tui.protocol.refusals import Refusal

Name = Literal["twin", "shadow"]
NAMES: tuple[Name, Name] = ("twin", "shadow")
FORKS = 12
"""How often both processes are forked anew over one trial: what differs between equal processes sticks to them (6 to
8 % on a busy machine), so it is the number of forks that makes an interval narrow, not the number of pairs."""
MAX_FORK_PAIRS = 50
"""Pairs after which they are forked anew in long trials."""
NOTICE_S = 0.4
"""Least time between two notices of the same shadow."""
ERRORS_ENOUGH = 8
"""Errors of the candidate alone after which no more pairs are needed."""
_TREND = 60


@dataclass(frozen=True, slots=True)
class Code:
    """A revision, ready to be loaded."""

    files: Mapping[str, str]
    revision: str
    version: str


@dataclass(slots=True)
class _Runner:
    """One side: its present process, and what has been seen of it over all its processes."""

    name: Name
    code: Code
    instance: ShadowInstance | None = None
    walls_ns: list[int] = field(default_factory=list)
    errors: int = 0
    requests: int = 0
    peak_bytes: int = 0
    refused: dict[tuple[str, str], Refusal] = field(default_factory=dict)


class Measurement:
    """One trial, once."""

    def __init__(
        self,
        instances: Instances,
        publish: Callable[[str, Mapping[str, Any]], None],
        evolution: str,
        *,
        main: Code,
        candidate: Code,
        timeout_s: float,
        seed: int,
    ) -> None:
        self._instances = instances
        self._publish = publish
        self._evolution = evolution
        self._timeout_s = timeout_s
        self._random = random.Random(seed)
        self._runners = {"twin": _Runner("twin", main), "shadow": _Runner("shadow", candidate)}
        self._trial = Trial()
        self._setup: Sequence[RecordedRequest] = ()
        self._total = 0
        self._tries = 0
        self._state = "starting"
        self._verdict = ""
        self._told_s = 0.0

    def rows(self) -> list[dict[str, Any]]:
        """The two shadow rows (see docs), as views show them."""
        ratios = evidence.trend(self._trial.pairs[-_TREND:], _TREND)
        return [self._row(self._runners[name], ratios) for name in NAMES]

    async def run(self, requests: Sequence[RecordedRequest], setup: Sequence[RecordedRequest] = ()) -> Trial:
        """Gives every request to both sides; ends early when the candidate has crashed, hung or failed enough.

        What is in `setup` every process gets first; it only counts where the candidate fails at it and main does not.

        Raises:
            GenomeLoadError: The candidate could not be loaded.
            OError: No instances could be forked.
        """
        self._total, self._setup = len(requests), setup
        try:
            length = min(MAX_FORK_PAIRS, max(1, len(requests) // FORKS))
            for at, request in enumerate(requests):
                fork, place = divmod(at, length)
                if place == 0:
                    self._trial.pairs += await self._fork_both()
                    self._state = "running"
                    if self._is_settled():
                        break
                pair = await self._pair(request, warm_up=place == 0)
                self._trial.pairs.append(replace(pair, fork=fork))
                self._tell()
                if self._is_settled():
                    break
        finally:
            await self._kill_all()
        self._trial.main_peak_bytes = self._runners["twin"].peak_bytes
        self._trial.candidate_peak_bytes = self._runners["shadow"].peak_bytes
        self._trial.main_refused = list(self._runners["twin"].refused.values())
        self._trial.candidate_refused = list(self._runners["shadow"].refused.values())
        return self._trial

    def end(self, verdict: str) -> None:
        """Tells the views that it is over, and how."""
        self._state, self._verdict = "ended", verdict
        self._tell(now=True)

    async def _pair(self, request: RecordedRequest, *, warm_up: bool) -> Pair:
        pair = await self._both(request)
        again = warm_up and pair.main.ok and pair.candidate.ok  # the first request of a process finds cold caches
        # a failure of one side only counts if it happens twice: machines stall; a crash is never taken back
        again = again or (pair.main.ok != pair.candidate.ok and pair.candidate.ending != "crash")
        if again:
            pair = await self._both(request)
        for name, side in (("twin", pair.main), ("shadow", pair.candidate)):
            self._count(self._runners[name], side)
        return pair

    async def _both(self, request: RecordedRequest) -> Pair:
        self._tries += 1
        # an id that the state does not know already, and the same time on both sides
        request = replace(request, id=f"{request.id}~{self._tries}", time_ns=request.time_ns or time.time_ns())
        sides: dict[str, Side] = {}
        for name in self._random.sample(NAMES, 2):
            runner = self._runners[name]
            if runner.instance is None:  # it died of the request before
                await self._fork(runner)
                for first in self._first():
                    await self._one(runner, first)
            sides[name] = await self._one(runner, request)
        return Pair(request, sides["twin"], sides["shadow"])

    def _first(self) -> list[RecordedRequest]:
        return [replace(request, id=f"{request.id}~setup", time_ns=request.time_ns or 1) for request in self._setup]

    async def _one(self, runner: _Runner, request: RecordedRequest) -> Side:
        instance = runner.instance
        if instance is None:
            return Side("crash", error="it died while its memory was being filled")
        cpu_ns = instance.cpu_ns()
        try:
            outcome = await asyncio.wait_for(instance.request(request), self._timeout_s)
        except TimeoutError:
            await self._kill(runner, refusals.wall_clock(self._timeout_s))
            return Side("hang", error=f"no answer within {self._timeout_s:g} s")
        except InstanceDiedError as error:
            await self._kill(runner)
            return Side("crash", error=str(error))
        runner.peak_bytes = max(runner.peak_bytes, instance.peak_bytes())
        return Side(
            "answered" if outcome.ok else "error",
            text=outcome.text,
            error=outcome.error,
            wall_ns=outcome.wall_ns,
            cpu_ns=outcome.cpu_ns or max(0, instance.cpu_ns() - cpu_ns),
            effects=outcome.effects,
            diverged=outcome.diverged,
            operations=outcome.operations,
        )

    def _count(self, runner: _Runner, side: Side) -> None:
        runner.requests += 1
        runner.errors += not side.ok
        if side.ok:
            runner.walls_ns.append(side.wall_ns)

    def _is_settled(self) -> bool:
        """Whether more pairs cannot help the candidate any more."""
        if not self._trial.pairs:
            return False
        last = self._trial.pairs[-1]
        if last.main.ok and last.candidate.ending in ("crash", "hang"):
            return True
        if self._runners["shadow"].refused:
            return True
        return self._runners["shadow"].errors - self._runners["twin"].errors >= ERRORS_ENOUGH

    async def _fork_both(self) -> list[Pair]:
        """Both processes anew, their memory filled; returns what the candidate failed at and main did not."""
        failed = await self._fork_once()
        if failed is not None and failed.candidate.ending != "crash":  # see `_pair`: only if it happens twice
            failed = await self._fork_once()
        return [failed] if failed is not None else []

    async def _fork_once(self) -> Pair | None:
        await self._kill_all()
        order = self._random.sample(NAMES, 2)
        for name in order:
            await self._fork(self._runners[name])
        for request in self._first():
            sides = {name: await self._one(self._runners[name], request) for name in order}
            if sides["twin"].ok and not sides["shadow"].ok:
                return Pair(request, sides["twin"], sides["shadow"])
        return None

    async def _fork(self, runner: _Runner) -> None:
        code = runner.code
        runner.instance = await self._instances.fork_shadow(
            code.files, code.revision, code.version, runner.name, self._evolution
        )

    async def _kill_all(self) -> None:
        for runner in self._runners.values():
            await self._kill(runner)

    async def _kill(self, runner: _Runner, exceeded: Refusal | None = None) -> None:
        instance, runner.instance = runner.instance, None
        if instance is not None:
            await instance.kill(exceeded)
            for refusal in instance.refused():
                # limits show as crashes, hangs and errors, which are judged beside main's
                if refusal.layer != "limits":
                    runner.refused[refusal.layer, refusal.what] = refusal

    def _tell(self, *, now: bool = False) -> None:
        time_s = time.monotonic()
        if now or time_s - self._told_s >= NOTICE_S:
            self._told_s = time_s
            for row in self.rows():
                self._publish("shadow", row)

    def _row(self, runner: _Runner, ratios: list[float]) -> dict[str, Any]:
        return {
            "id": f"{self._evolution}-{runner.name}",
            "evolution": self._evolution,
            "role": runner.name,
            "pid": runner.instance.pid if runner.instance else 0,
            "requests": runner.requests,
            "total": self._total,
            "errors": runner.errors,
            "p50_ms": evidence.percentile_ms(runner.walls_ns, 0.5),
            "p95_ms": evidence.percentile_ms(runner.walls_ns, 0.95),
            "rss_bytes": runner.peak_bytes,
            "state": self._state,
            "trend": ratios if runner.name == "shadow" else [],
            "verdict": self._verdict if runner.name == "shadow" else "",
        }
