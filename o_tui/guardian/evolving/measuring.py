"""What a candidate is measured on, and what comes of it: evidence and a decision, both kept in its row."""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from o_tui.config import EvolutionConfig
from o_tui.evolution import arbiter, attack_requests, evidence, scoring, workloads
from o_tui.evolution.budget import Cost
from o_tui.evolution.genome import Genome
from o_tui.evolution.multiple import Race
from o_tui.evolution.samples import RecordedRequest, Trial
from o_tui.guardian.evolving.code import code_of
from o_tui.guardian.evolving.evolution_book import Book
from o_tui.guardian.evolving.screening import Screening
from o_tui.guardian.evolving.seams import GenomeLoadError, Seams
from o_tui.guardian.evolving.shadows import FORK_PAIRS, Measurement
from o_tui.guardian.fleet.code import Code
from o_tui.guardian.storage.attack_rows import AttackRows
from o_tui.protocol.errors import OError

_SHOWN_SHADOWS = 20
NEVER_ASKED = ("strategy",)
"""Genes that no recorded request comes to: they are tried on their workload only."""
NOTHING_TO_TRY = "there is nothing to try {} on: no recorded request and no workload"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one measurement showed, and what it cost.

    Attributes:
        shown: The evidence for the goal, as an e-value.
        alone: The decision as it were if nobody else had been confirmed with it.
    """

    evidence: Mapping[str, Any]
    decision: arbiter.Decision
    cost: Cost
    shown: float = 1.0
    alone: arbiter.Decision = arbiter.CONTINUE


class Measuring:
    """Measures revisions against their base."""

    def __init__(
        self,
        genome: Genome,
        book: Book,
        seams: Seams,
        folders: Sequence[Path],
        *,
        attacks: AttackRows | None = None,
    ) -> None:
        self.folders = list(folders)
        self._genome = genome
        self._book = book
        self._instances = seams.instances
        self._recorded = seams.recorded
        self._surroundings = seams.surroundings
        self._policy = arbiter.Policy()
        self._attacks = attacks
        self._measurements: list[Measurement] = []

    @property
    def alpha(self) -> float:
        """How often no better code may be shown to be better."""
        return self._policy.alpha

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the shadows that run or have run last."""
        return [row for measurement in self._measurements for row in measurement.rows()]

    async def measure(
        self,
        row: Mapping[str, Any],
        revision: str,
        settings: EvolutionConfig,
        *,
        pairs: int,
        again: int = 0,
        among: int = 1,
    ) -> Measured:
        """Compares a revision with the row's base.

        Args:
            row: The evolution.
            revision: The candidate.
            settings: How a change is tried.
            pairs: At most so many.
            again: Another number, another choice and order of requests: for a confirmation that owes nothing to a race.
            among: So many are confirmed together: evidence is gathered until it suffices for one of them on its own.

        Raises:
            GenomeLoadError: The candidate could not be loaded.
            OError: There is nothing to measure on, or no instances could be forked.
        """
        seed = int(revision[:12], 16) + again
        measurement = await self._open(row, revision, settings, pairs, seed, proof=again > 0, among=among)
        with _failing(measurement):
            while measurement.decision is arbiter.CONTINUE:
                await measurement.episode()
        return await self._close(row, measurement)

    async def race(
        self,
        row: Mapping[str, Any],
        revisions: Sequence[str],
        settings: EvolutionConfig,
        *,
        pairs: int,
        told: Callable[[int, int, int], Awaitable[None]],
    ) -> dict[str, Measured | GenomeLoadError]:
        """Compares several with the row's base: the lower half goes round by round, the last one has all its pairs.

        `told` hears before each turn which one it is, of how many that are left, and of which round.

        Returns:
            What each showed, the winner last; for one that could not be loaded, why.

        Raises:
            OError: As `measure`.
        """
        seed = zlib.crc32(str(row["id"]).encode())  # the same requests for all, whichever round they came in
        racing = {
            each: await self._open(row, each, settings, pairs, seed, proof=False, number=number)
            for number, each in enumerate(revisions, 1)
        }
        race, found = Race(list(racing)), dict[str, Measured | GenomeLoadError]()
        number = 0
        while race.alive:
            number, lost = number + 1, []
            for at, name in enumerate(race.alive, 1):
                await told(at, len(race.alive), number)
                try:
                    if (await self._round(racing[name], len(race.alive) == 1)).verdict == "reject":
                        lost.append(name)
                except GenomeLoadError as error:
                    found[name] = error
                    lost.append(name)
            trials = {name: racing[name].trial for name in race.alive}
            scores = await asyncio.to_thread(_scores, trials, str(row["metric"]))
            gone = race.end_round(scores, lost) if len(race.alive) > 1 or lost else [race.alive.pop()]
            for name in gone:
                found[name] = found.get(name) or await self._close(row, racing[name])
        return found

    async def screening(self, row: Mapping[str, Any], settings: EvolutionConfig) -> Screening:
        """For first looks at the candidates of a population; raises OError where there is nothing to try."""
        recorded, workload = await self._known(str(row["gene"]), settings.pairs)
        seed = zlib.crc32(str(row["id"]).encode())
        work = workloads.choose(recorded, workload, settings.pairs, seed)
        if not work.requests:
            raise OError(NOTHING_TO_TRY.format(row["gene"]))
        main = await self.code(str(row["base"]), str(row["gene"]))
        metric, limit_s = str(row["metric"]), settings.request_s
        return Screening(self._instances, str(row["id"]), main, work, metric=metric, timeout_s=limit_s)

    async def _round(self, measurement: Measurement, last: bool) -> arbiter.Decision:
        """An episode; for the last one all that are left."""
        with _failing(measurement):
            while await measurement.episode() is arbiter.CONTINUE and last:
                pass
        measurement.rest()
        return measurement.decision

    async def _open(
        self,
        row: Mapping[str, Any],
        revision: str,
        settings: EvolutionConfig,
        pairs: int,
        seed: int,
        *,
        proof: bool,
        among: int = 1,
        number: int = 0,
    ) -> Measurement:
        work = await self._work(str(row["gene"]), pairs, seed, proof=proof)
        held_back = sum(request.held_back for request in work.requests)
        if held_back:  # a proof is made on all of them, whatever comes before
            held_back += sum(request.source == "attack" for request in work.requests)
        goal: arbiter.Goal = row.get("metric") or "any"
        policy = replace(self._policy, budget=max(pairs, held_back), least=max(self._policy.least, held_back))
        measurement = Measurement(
            self._instances,
            self._surroundings.publish,
            str(row["id"]),
            main=await self.code(str(row["base"]), str(row["gene"])),
            candidate=await self.code(revision, str(row["gene"])),
            timeout_s=settings.request_s,
            seed=seed,
            policy=replace(policy, alpha=policy.alpha / among),
            goal=goal,
            fork_pairs=workloads.BLOCK if goal == "quality" else FORK_PAIRS,
            cpu_s=settings.budget_cpu_s or math.inf,
            live=self._recorded.requests if row["gene"] not in NEVER_ASKED else None,
            number=number,
        )
        await measurement.begin(work.requests, work.setup)
        self._measurements = [*self._measurements, measurement][-_SHOWN_SHADOWS:]
        return measurement

    async def _close(self, row: Mapping[str, Any], measurement: Measurement) -> Measured:
        trial = measurement.stop()
        decision = measurement.decision
        found = await asyncio.to_thread(evidence.measure, trial)
        measurement.end(decision.verdict)
        found = msgspec.structs.replace(
            found,
            decision=decision.verdict,
            reasons=list(decision.reasons),
            e_values=measurement.arbiter.e_values() | {"goal": round(measurement.arbiter.evidence(), 4)},
        )
        await self._book.keep(str(row["id"]), trial, decision)
        shown, alone = measurement.arbiter.evidence(), measurement.arbiter.conclude_at(self._policy.alpha)
        return Measured(found.row(), decision, _cost(trial), shown, alone)

    async def _work(self, gene: str, pairs: int, seed: int, *, proof: bool) -> workloads.Workload:
        recorded, workload = await self._known(gene, pairs)
        kept = await self._kept(gene, pairs)
        chosen = workloads.choose(recorded, workload, pairs, seed, kept.requests, proof=proof)
        if len(chosen.requests) == len(kept.requests):
            raise OError(NOTHING_TO_TRY.format(gene))
        return workloads.Workload((*chosen.setup, *kept.setup), chosen.requests)

    async def _known(self, gene: str, pairs: int) -> tuple[Sequence[RecordedRequest], workloads.Workload]:
        """The newest recorded requests that a gene may be tried on, and its workload."""
        recorded = await self._recorded.requests(pairs) if gene not in NEVER_ASKED else ()
        return recorded, await asyncio.to_thread(workloads.load, self.folders, gene)

    async def _kept(self, gene: str, pairs: int) -> workloads.Workload:
        """The attacks on a gene as requests: at most a quarter of the pairs."""
        if self._attacks is None:
            return workloads.Workload()
        kept = await self._attacks.of(gene)
        return await asyncio.to_thread(attack_requests.requests, kept, min(attack_requests.MOST, pairs // 4))

    async def code(self, revision: str, gene: str) -> Code:
        """A revision, ready to be compared for a gene."""
        return await code_of(self._genome, revision, gene)


def _scores(trials: Mapping[str, Trial], metric: str) -> dict[str, float]:
    return {name: scoring.score(evidence.measure(trial).row(), metric) for name, trial in trials.items()}


@contextmanager
def _failing(measurement: Measurement) -> Iterator[None]:
    try:
        yield
    except BaseException:
        measurement.end("failed")
        raise


def _cost(trial: Trial) -> Cost:
    sides = [side for pair in trial.pairs for side in (pair.main, pair.candidate)]
    return Cost(requests=len(sides), cpu_s=sum(side.cpu_ns for side in sides) / 1e9)
