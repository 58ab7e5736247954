"""A first look at the candidates of a population: one confined fork each on the gene's workload, beside main's answers.

Main answers the same requests once for many candidates, so a look costs half of what pairs do; what equal processes
differ by is not taken out. So a look orders candidates and shows nothing: the few best go on to a race in pairs.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from o_tui.evolution import evidence, scoring, workloads
from o_tui.evolution.budget import Cost
from o_tui.evolution.halving import Halving
from o_tui.evolution.samples import Pair, RecordedRequest, Side, Trial
from o_tui.guardian.evolving.seams import GenomeLoadError, Instances
from o_tui.guardian.evolving.trial_requests import ask, filling
from o_tui.guardian.fleet.code import Code
from o_tui.protocol.refusals import Refusal

RUNGS = (1, 1, 2)
"""Blocks of at most 50 requests of one scope that each rung adds."""
SLOWER = 10
"""Who takes so many times as long as main for a block is stopped there, as one that hangs."""
_LEAST_NS = 1_000_000_000
"""Time that everybody has for a block."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look showed.

    Attributes:
        score: Beside main; -inf: it did harm, or could not be loaded.
        wrong: Why so; empty: it did no harm.
        rungs: How far it was measured.
        evidence: The figures.
    """

    score: float
    wrong: str
    rungs: int
    evidence: Mapping[str, Any]
    cost: Cost


@dataclass(slots=True)
class _Answers:
    """How one process took a block of requests."""

    sides: list[Side] = field(default_factory=list)
    peak_bytes: int = 0
    refused: tuple[Refusal, ...] = ()
    cpu_s: float = 0.0
    wall_ns: int = 0


class Screening:
    """The looks of one evolution."""

    def __init__(
        self,
        instances: Instances,
        evolution: str,
        main: Code,
        work: workloads.Workload,
        *,
        metric: str,
        timeout_s: float,
    ) -> None:
        """`work` has no request that is held back; the same ones are given to everybody, in the same order."""
        self._instances = instances
        self._evolution = evolution
        self._main = main
        self._setup = work.setup
        self._metric = metric
        self._timeout_s = timeout_s
        self._rungs = list(_rungs(_blocks(work.requests)))
        self._halving = Halving(len(self._rungs))
        self._mains: dict[int, list[_Answers]] = {}

    def anew(self) -> None:
        """Main answers everything again, the next time that it is wanted: a machine is not always equally fast."""
        self._mains.clear()

    async def look(self, code: Code) -> Looked:
        """Measures a candidate as far as it deserves it.

        Raises:
            OError: No instance could be forked, or main's code could not be loaded.
        """
        trial, cost, scores = Trial(), Cost(), list[float]()
        for rung in range(len(self._rungs)):
            try:
                spent, wrong = await self._rung(code, rung, trial)
            except GenomeLoadError as error:
                return Looked(float("-inf"), str(error), rung + 1, {}, cost)
            cost += spent
            found = (await asyncio.to_thread(evidence.measure, trial)).row()
            if wrong:
                return Looked(float("-inf"), wrong, rung + 1, found, cost)
            scores.append(scoring.fitness(found, self._metric))
            if not self._halving.goes_on(rung, scores[-1]):
                break
        return Looked(self._halving.worth(scores), "", len(scores), found, cost)

    async def _rung(self, code: Code, rung: int, trial: Trial) -> tuple[Cost, str]:
        """Adds a rung's pairs; returns what it cost, and what the candidate did that ends it."""
        cost = Cost()
        if rung not in self._mains:
            self._mains[rung] = [await self._answers(self._main, "twin", block) for block in self._rungs[rung]]
            cost = Cost(cpu_s=sum(ours.cpu_s for ours in self._mains[rung]))
        for ours, block in zip(self._mains[rung], self._rungs[rung], strict=True):
            theirs = await self._answers(code, "shadow", block, max(_LEAST_NS, SLOWER * ours.wall_ns))
            pairs = [Pair(*three) for three in zip(block, ours.sides, theirs.sides, strict=False)]
            trial.pairs += [replace(pair, fork=len(trial.pairs)) for pair in pairs]
            trial.main_peak_bytes = max(trial.main_peak_bytes, ours.peak_bytes)
            trial.candidate_peak_bytes = max(trial.candidate_peak_bytes, theirs.peak_bytes)
            cost += Cost(requests=len(theirs.sides), cpu_s=theirs.cpu_s)
            if wrong := _wrong(pairs, theirs):
                return cost, wrong
        return cost, ""

    async def _answers(
        self, code: Code, role: str, block: Sequence[RecordedRequest], limit_ns: float = math.inf
    ) -> _Answers:
        """A fork, its memory filled, and the block given to it; it ends where that hangs, dies or is too slow."""
        found = _Answers()
        instance = await self._instances.fork_shadow(code, role, self._evolution)
        try:
            first = filling(self._setup, block[0].scope)
            named = [
                replace(request, id=f"{request.id}~{number}", time_ns=request.time_ns or time.time_ns())
                for number, request in enumerate(block)
            ]
            for number, request in enumerate([*first, *named]):
                side = await ask(instance, request, self._timeout_s)
                found.wall_ns += side.wall_ns
                if found.wall_ns > limit_ns:
                    side = Side("hang", error=f"it takes more than {SLOWER} times as long as main's code")
                over = side.ending in ("crash", "hang")
                if over or number >= len(first):
                    found.sides.append(side)
                if over:
                    break
            found.peak_bytes, found.cpu_s = instance.peak_bytes(), instance.cpu_ns() / 1e9
        finally:
            await instance.kill()
        found.refused = tuple(each for each in instance.refused() if each.layer != "limits")
        return found


def _wrong(pairs: Sequence[Pair], theirs: _Answers) -> str:
    """What ends a candidate at once, as it ends its race: a crash or hang that main does not have, a refusal."""
    if theirs.refused:
        return f"the sandbox refused {theirs.refused[0].what}"
    last = pairs[-1]
    if last.candidate.ending in ("crash", "hang") and last.main.ending not in ("crash", "hang"):
        return evidence.said(last.candidate)
    return ""


def _blocks(requests: Sequence[RecordedRequest]) -> list[list[RecordedRequest]]:
    """Requests of one scope that stand one behind the other, at most 50; another scope each time, where there are."""
    scopes: dict[str, list[list[RecordedRequest]]] = {}
    for request in requests:
        blocks = scopes.setdefault(request.scope, [[]])
        if len(blocks[-1]) == workloads.BLOCK:
            blocks.append([])
        blocks[-1].append(request)
    longest = max((len(blocks) for blocks in scopes.values()), default=0)
    return [blocks[at] for at in range(longest) for blocks in scopes.values() if at < len(blocks)]


def _rungs(blocks: list[list[RecordedRequest]]) -> Iterator[list[list[RecordedRequest]]]:
    """The blocks of each rung, as many rungs as there are blocks for."""
    for count in RUNGS:
        if blocks:
            yield blocks[:count]
            blocks = blocks[count:]
