"""A population over generations: many cheap looks, so that the dear measurements are made of the few best.

Who is changed next, and how, is the portfolio's choice as everywhere (`evolution/population.py`: the five best,
islands, the best of each kind). A candidate that can be read cleanly is looked at on the workload (screening.py), most
of them on a part of it only. The best of a generation is validated wholly, and is nobody's parent any more if it fails.
In the end the few best that pass are left, for a race in pairs and a proof.

Each look is a durable row. A search that a guardian's death has interrupted goes on behind the last one (resuming.py).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from o_tui.evolution import scoring
from o_tui.evolution.budget import BudgetSpentError
from o_tui.guardian.evolving.candidate_pipeline import CandidatePipeline, Job, RejectedError, Tried
from o_tui.guardian.evolving.evolution_book import Book
from o_tui.guardian.evolving.measuring import Measuring
from o_tui.guardian.evolving.resuming import Known
from o_tui.guardian.evolving.screening import Looked, Screening

PART = 0.7
"""Of the budget: what generations may spend. The race and the proof of their best have the rest."""
RACED, VALIDATED = 3, 8
"""So many at most are raced in the end, and so many validated to find them."""

_INVALID = {"score": None, "quality": None, "wrong": ""}


class Generations:
    """The population of one evolution."""

    def __init__(
        self,
        pipeline: CandidatePipeline,
        screening: Screening,
        measuring: Measuring,
        book: Book,
        job: Job,
        *,
        taken_up: Known | None,
        keep: Callable[[], Awaitable[None]],
    ) -> None:
        """What it works with.

        Args:
            pipeline: Makes the candidates.
            screening: Looks at them.
            measuring: Has their code.
            book: Keeps what was seen.
            job: How many, and what they may cost.
            taken_up: What an earlier guardian has found, where it was interrupted.
            keep: Keeps what the sources have learned; called after each generation.
        """
        self._pipeline = pipeline
        self._screening = screening
        self._measuring = measuring
        self._book = book
        self._job = job
        self._taken_up = taken_up
        self._keep = keep
        self._rows: list[dict[str, Any]] = []

    async def run(self, row: dict[str, Any]) -> list[Tried]:
        """All generations, or as many as the budget and the sources give; the best that are valid, best first.

        Raises:
            RejectedError: None is better than main's code.
            OError: Something that it needs does not work.
        """
        count = math.ceil(self._job.wanted / self._job.population)
        self._pipeline.part = PART
        self._go_on(count)
        try:
            for number in range(max(1, len(self._rows)), count + 1):
                if not await self._generation(row, number, count):
                    break
                await self._keep()
        except BudgetSpentError as error:
            await self._told(row, ended=str(error))
        self._pipeline.part, self._pipeline.generation = 1.0, 0
        if not self._pipeline.tried:
            raise RejectedError(self._pipeline.nothing(), "no_evidence")
        found = await self._best(row)
        if not found:
            tried = len(self._pipeline.tried)
            raise RejectedError(f"none of {tried} candidates did better than main's code", "no_evidence")
        return found

    async def _generation(self, row: dict[str, Any], number: int, count: int) -> bool:
        """Whether all of its candidates could be made."""
        self._pipeline.generation = number
        self._begin(number, count)
        await self._told(row)
        self._screening.anew()
        for at in range(self._rows[-1]["measured"], self._job.population):
            self._pipeline.place = at + 1, self._job.population
            made = await self._pipeline.next()
            if made is None:
                return False
            await self._look(row, made)
        self._pipeline.place = 1, 1
        if leads := self._ranked()[:1]:
            await self._valid(row, leads[0])
        await self._told(row)
        return True

    def _begin(self, number: int, count: int) -> None:
        """The line of a generation, and of those before it that have none; none where it has one."""
        size = self._job.population
        for each in range(len(self._rows) + 1, number + 1):
            self._rows.append({"number": each, "of": count, "size": size, "measured": 0, "failed": 0})

    def _go_on(self, count: int) -> None:
        """What an earlier guardian has looked at is known, as if it had been looked at here."""
        if self._taken_up is None:
            return
        self._pipeline.go_on(self._taken_up.members, self._taken_up.made)
        for made, figures in zip(self._taken_up.members, self._taken_up.figures, strict=True):
            self._begin(made.found["source"]["generation"], count)
            self._count(made, figures)
            if wrong := figures["wrong"] or figures.get("invalid", ""):
                self._job.failures.append(wrong)

    async def _look(self, row: dict[str, Any], made: Tried) -> None:
        await self._book.change(row, work=self._pipeline.work("look"))
        looked = await self._screening.look(await self._measuring.code(made.revision, row["gene"]))
        made.score = looked.score
        self._pipeline.tried.append(made)
        if looked.wrong:
            self._job.failures.append(looked.wrong)
        self._job.budget.spend(looked.cost)
        made.source.learn(made.candidate, looked.score, looked.cost.cpu_s)
        figures = _figures(looked)
        await self._book.looked(row, made.revision, figures)
        self._count(made, figures)
        await self._told(row)

    def _count(self, made: Tried, figures: Mapping[str, Any]) -> None:
        """A candidate that was looked at, in the line of its generation, which is the last."""
        now = self._rows[-1]
        now["measured"] += 1
        now["failed"] += bool(figures["wrong"])
        if made.score > now.get("score", -math.inf):
            now |= {"score": round(made.score, 6), "quality": figures["quality"], "revision": made.revision}
            now |= {"operator": made.candidate.operator, "detail": made.candidate.detail}

    async def _told(self, row: dict[str, Any], **more: Any) -> None:
        if self._rows:
            self._rows[-1] |= more
        await self._book.change(row, generations=self._rows, budget=self._job.budget.row())

    def _ranked(self) -> list[Tried]:
        """Who is better than main, best first; of equals the first."""
        return sorted((made for made in self._pipeline.tried if made.score > 0), key=lambda made: -made.score)

    async def _best(self, row: dict[str, Any]) -> list[Tried]:
        found: list[Tried] = []
        ranked = self._ranked()[:VALIDATED]
        for at, made in enumerate(ranked, 1):
            self._pipeline.place = at, len(ranked)
            if await self._valid(row, made):
                found.append(made)
            if len(found) == RACED:
                break
        return found

    async def _valid(self, row: dict[str, Any], made: Tried) -> bool:
        """Whether it passes all of validation; one that does not is no member any more."""
        if not made.valid:
            try:
                await self._pipeline.validate(made)
            except RejectedError as error:
                made.score = -math.inf
                self._job.failures.append(str(error))
                await self._book.looked(row, made.revision, _INVALID | {"invalid": str(error)})
                for generation in self._rows:
                    if generation.get("revision") == made.revision:
                        del generation["score"]
        return made.valid


def _figures(looked: Looked) -> dict[str, Any]:
    score = looked.score if math.isfinite(looked.score) else None
    pairs, quality = looked.evidence.get("pairs", 0), scoring.quality_gain(looked.evidence)
    return {"score": score, "quality": quality, "wrong": looked.wrong, "rungs": looked.rungs, "pairs": pairs}
