"""One evolution from its intent to a candidate that waits for an operator: checkpoint, generate, validate, shadow.

One candidate is measured once. Several are made and validated, run a short race, and the winners are measured again, on
processes and an order of requests that no race has seen: the best of many looks better than it is (finals.py). Of a
population only the best that generations of it have left are raced (generations.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from o_tui.config import EvolutionConfig
from o_tui.evolution import evidence, scoring, versions
from o_tui.evolution.budget import NOTHING
from o_tui.evolution.candidates import Target
from o_tui.evolution.genome import Genome
from o_tui.guardian.evolving import finals, offload, resuming
from o_tui.guardian.evolving.candidate_pipeline import CandidatePipeline, Job, RejectedError, Tried, text_of
from o_tui.guardian.evolving.diffing import diff_of
from o_tui.guardian.evolving.evolution_book import Book
from o_tui.guardian.evolving.generations import Generations
from o_tui.guardian.evolving.measuring import Measured, Measuring
from o_tui.guardian.evolving.seams import GenomeLoadError, Seams
from o_tui.guardian.storage.attack_rows import AttackRows

ROUND = 8
"""Candidates that are made before the first of them is measured."""
RACE_SHARE = 0.25
RACE_LEAST = 12
"""Pairs of a race: this share of the pairs of a measurement, and no fewer."""


class Cycle:
    """Runs evolutions, one at a time."""

    def __init__(
        self,
        genome: Genome,
        book: Book,
        measuring: Measuring,
        seams: Seams,
        attacks: AttackRows,
    ) -> None:
        self.attacks = attacks
        self._genome = genome
        self._book = book
        self._measuring = measuring
        self._checkpoints = seams.checkpoints
        self._surroundings = seams.surroundings

    async def run(
        self, row: dict[str, Any], job: Job, settings: EvolutionConfig, keep: Callable[[], Awaitable[None]]
    ) -> None:
        """From the checkpoint to `pending`; one that was interrupted in its generations goes on with them.

        Raises:
            RejectedError: No candidate was good enough.
            BudgetSpentError: The budget ended first.
            OError: Something that it needs does not work.
        """
        if not row["generations"]:
            await self._begin(row)
        before = await asyncio.to_thread(self._genome.source, row["base"], row["gene"])
        target = Target(row["gene"], row["base"], before)
        one = _One(self, row, job, settings, target)
        if job.population:
            await one.generations(keep)
        else:
            await (one.alone() if job.wanted == 1 else one.race())

    async def _begin(self, row: dict[str, Any]) -> None:
        """The checkpoint, and what is to be changed."""
        await self._stage(row, "checkpoint")
        await self._book.change(row, checkpoint_id=await self._checkpoints.create(f"before evolution {row['id']}"))
        base = await asyncio.to_thread(self._genome.head)
        version = await asyncio.to_thread(self._genome.version, base)
        await self._stage(row, "generate", base=base, next_version=versions.bump(version, "minor"))

    async def _stage(self, row: dict[str, Any], state: str, **more: Any) -> None:
        """The next stage begins, once nothing holds."""
        await self.unheld(row, f"before {state}")
        await self._book.change(row, state=state, **more)

    async def unheld(self, row: dict[str, Any], where: str) -> float:
        """Waits until nothing holds; returns for how many seconds it did."""
        if not (held := self._surroundings.held()):
            return 0.0
        began_s = time.monotonic()
        text = f"{row['id']} ({row['gene']}) waits {where}: {held}"
        self._surroundings.event("info", text, {key: row[key] for key in ("id", "gene", "state", "verdict")})
        await self._surroundings.released()
        return time.monotonic() - began_s


class _One:
    """One evolution under way."""

    def __init__(self, cycle: Cycle, row: dict[str, Any], job: Job, settings: EvolutionConfig, target: Target) -> None:
        self._cycle = cycle
        self._genome = cycle._genome
        self._book = cycle._book
        self._row = row
        self._job = job
        self._settings = settings
        self._target = target
        self._pipeline = CandidatePipeline(cycle._genome, cycle._book, cycle.attacks, row, job, target, self._stage)
        self._raced: list[Tried] = []

    async def alone(self) -> None:
        """One candidate, measured once; without evidence an operator may know better, so it waits too."""
        found = await self._pipeline.next()
        if found is None:
            raise RejectedError(self._pipeline.nothing())
        await self._choose(found)
        await self._stage("shadow")
        measured = await self._measure(found, self._settings.pairs)
        await self._keep(measured)
        if measured.decision.verdict == "reject":
            raise RejectedError("; ".join(measured.decision.reasons))
        await self._wait(found, measured)

    async def race(self) -> None:
        """Several candidates in rounds; the winners are measured again. Only what is shown better waits."""
        while len(self._pipeline.tried) < self._job.wanted:
            await self._stage("generate")
            count, ready = min(ROUND, self._job.wanted - len(self._pipeline.tried)), list[Tried]()
            while len(ready) < count:
                self._pipeline.place = len(self._pipeline.tried) + len(ready) + 1, self._job.wanted
                if (found := await self._pipeline.next()) is None:
                    break
                ready.append(found)
            if not ready:
                break
            await self._stage("shadow")
            await self._run_race(ready)
        if not self._raced:
            raise RejectedError(self._pipeline.nothing(), "no_evidence")
        await self._prove()

    async def generations(self, keep: Callable[[], Awaitable[None]]) -> None:
        """A population: cheap looks at many, a race of the few best, and the winner is measured again."""
        measuring, row, job = self._cycle._measuring, self._row, self._job
        screening = await measuring.screening(row, self._settings)
        taken_up = await resuming.known(self._book, self._genome, row, job.sources[0]) if row["generations"] else None
        search = Generations(self._pipeline, screening, measuring, self._book, job, taken_up=taken_up, keep=keep)
        best = await search.run(row)
        await self._stage("shadow")
        await self._run_race(best)
        await self._prove()

    async def _prove(self) -> None:
        """The winners of the races are measured again; the best waits, if it is shown better.

        It does too where something about it is left for an operator to judge.
        """
        tried = len(self._pipeline.tried)
        better = [found for found in self._raced if found.finalist and found.score > 0]
        if not better:
            raise RejectedError(f"none of {tried} candidates did better than main's code", "no_evidence")
        best, measured = await self._confirm(sorted(better, key=lambda found: -found.score)[: finals.MOST])
        await self._keep(measured)
        decision = measured.decision
        if decision.verdict != "promote" and not decision.shown:
            raise RejectedError(f"the best of {tried}, measured again: {'; '.join(decision.reasons)}", decision.verdict)
        await self._wait(best, measured)

    async def _confirm(self, finalists: Sequence[Tried]) -> tuple[Tried, Measured]:
        """All of them anew, the best first; of those that e-BH says are better, the one with the most evidence."""
        measured: dict[str, Measured] = {}
        for number, found in enumerate(finalists):
            await self._choose(found)
            await self._stage("shadow", work={"doing": "prove", "at": number + 1, "of": len(finalists)})
            left = self._job.budget.requests_left()
            fair = self._settings.pairs if left is None else left // (2 * (len(finalists) - number))
            pairs = max(1, min(self._settings.pairs, fair))
            measured[found.revision] = await self._measure(found, pairs, again=1, among=len(finalists))
        revision, final = finals.decide(measured, self._cycle._measuring.alpha)
        best = next(found for found in finalists if found.revision == revision)
        if best is not finalists[-1]:
            await self._choose(best)
        return best, final

    # --- measuring

    async def _run_race(self, ready: Sequence[Tried]) -> None:
        """The lower half goes round by round: a bad one costs ten pairs, the last one has its share of them all."""
        budget, settings = self._job.budget, self._settings
        budget.check()
        pairs, left = max(RACE_LEAST, int(settings.pairs * RACE_SHARE)), budget.requests_left()
        if left is not None:
            left = left // 2 if self._job.population else left  # it is the last race: the proof needs the rest
            pairs = max(1, min(pairs, left // (2 * len(ready))))
        revisions = [found.revision for found in ready]
        raced = await self._cycle._measuring.race(self._row, revisions, settings, pairs=pairs, told=self._racing)
        for found in ready:
            found.finalist = found.revision == list(raced)[-1]
            self._learn(found, raced[found.revision])
        await self._book.change(self._row, budget=budget.row(), race=[each.row() for each in self._raced])

    async def _racing(self, at: int, of: int, number: int) -> None:
        """Which of those that are left in a round of a race has its turn."""
        await self._book.change(self._row, work={"doing": "race", "at": at, "of": of, "round": number})

    def _learn(self, found: Tried, measured: Measured | GenomeLoadError) -> None:
        self._raced.append(found)
        if not self._job.population:  # else it is among them already
            self._pipeline.tried.append(found)
        cost = NOTHING
        if isinstance(measured, GenomeLoadError):
            self._job.failures.append(str(measured))
        else:
            found.measured, cost = measured, measured.cost
            if measured.decision.verdict == "reject":
                self._job.failures.append("; ".join(measured.decision.reasons))
            else:
                found.score = scoring.score(measured.evidence, self._row["metric"])
        self._job.budget.spend(cost)
        found.source.learn(found.candidate, found.score, cost.cpu_s)

    async def _measure(self, found: Tried, pairs: int, again: int = 0, among: int = 1) -> Measured:
        budget = self._job.budget
        budget.check()
        left = budget.requests_left()
        if left is not None:
            pairs = max(1, min(pairs, left // 2))
        measured = await self._cycle._measuring.measure(
            self._row, found.revision, self._settings, pairs=pairs, again=again, among=among
        )
        budget.spend(measured.cost)
        await self._book.change(self._row, budget=budget.row())
        return measured

    # --- deciding

    async def _stage(self, state: str, **more: Any) -> None:
        self._job.budget.rest(await self._cycle.unheld(self._row, f"before {state}"))
        await self._book.change(self._row, state=state, **more)

    async def _choose(self, found: Tried) -> None:
        """The row is about this candidate from now on; what it can do at most is read from it."""
        after = text_of(found.candidate.source)
        risk = await offload.risk_of(self._target.source, after)
        if "diff" not in found.found:  # an earlier guardian made it
            found.found = {**found.found, "diff": await diff_of(self._genome, self._row["base"], found.revision)}
        await self._book.change(self._row, **found.found, risk=risk)
        if self._job.wanted > 1:
            await asyncio.to_thread(self._genome.choose, self._row["id"], found.revision)

    async def _keep(self, measured: Measured) -> None:
        plain = dict(measured.evidence)
        verdict = measured.decision.verdict
        await self._book.change(self._row, evidence=plain, evidence_sha256=evidence.digest(plain), verdict=verdict)

    async def _wait(self, found: Tried, measured: Measured) -> None:
        decision = measured.decision
        reason = "; ".join(decision.reasons) if decision.shown else decision.reasons[0]
        await self._stage("pending", reason=reason)
        level, text = "info", f"{self._row['id']} ({self._row['gene']}) waits for approval: {reason}"
        self._cycle._surroundings.event(
            level, text, {key: self._row[key] for key in ("id", "gene", "state", "verdict")}
        )
