"""The candidates of one evolution: proposed by its sources, committed, validated, and what came of each.

Where a population is searched, a candidate that may be run at all (what can be read of it is clean) is looked at on its
gene's workload first, which is confined and cheap; the dear stages are for those that lead (generations.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from o_tui.evolution import diffs, scoring
from o_tui.evolution.budget import Budget, Cost
from o_tui.evolution.candidates import Candidate, Member, NoCandidateError, Source, Target, operator_of
from o_tui.evolution.genome import Genome
from o_tui.evolution.validation import Validation
from o_tui.guardian.evolving import blue_team
from o_tui.guardian.evolving.diffing import diff_of
from o_tui.guardian.evolving.evolution_book import Book
from o_tui.guardian.evolving.measuring import Measured
from o_tui.guardian.evolving.validating import validate_apart
from o_tui.guardian.storage.attack_rows import AttackRows
from o_tui.protocol.contracts import FILE_LIMIT_BYTES, path_of
from o_tui.protocol.errors import OError, UsageError

TRIES = 3
"""How often a source may come with nothing usable, beside what it is asked for; what was wrong is said to it."""


class RejectedError(Exception):
    """No candidate is good enough; the text says why. `verdict` is reject or no_evidence."""

    def __init__(self, text: str, verdict: str = "reject") -> None:
        super().__init__(text)
        self.verdict = verdict


@dataclass(slots=True)
class Job:
    """What an evolution works with.

    Attributes:
        sources: Asked in this order; the next one only where one does not work at all.
        wanted: How many candidates are measured.
        budget: What it may cost.
        failures: Why earlier candidates of this gene came to nothing, oldest first.
        others: Earlier candidates of this gene.
        population: How many of them are a generation; 0: it is no population.
    """

    sources: Sequence[Source]
    wanted: int
    budget: Budget
    failures: list[str] = field(default_factory=list)
    others: Sequence[Member] = ()
    population: int = 0


@dataclass(slots=True)
class Tried:
    """One candidate that has passed validation; in a population: what can be read of it, until `valid`."""

    candidate: Candidate
    source: Source
    revision: str
    found: Mapping[str, Any]
    valid: bool = True
    measured: Measured | None = None
    score: float = float("-inf")
    finalist: bool = False

    def row(self) -> dict[str, Any]:
        """As views and the history see it."""
        verdict = self.measured.decision.verdict if self.measured else "reject"
        score = self.score if self.score > float("-inf") else None
        operator, detail = self.candidate.operator, self.candidate.detail
        found = {"revision": self.revision, "operator": operator, "detail": detail, "verdict": verdict, "score": score}
        return found | ({"quality": scoring.quality_gain(self.measured.evidence)} if self.measured else {})


Stage = Callable[..., Awaitable[None]]
"""The row's next stage begins, with further keys of it, once nothing holds."""


class CandidatePipeline:
    """Makes the candidates of one row.

    Attributes:
        tried: Those that were measured.
        generation: Which one they are made in; 0: there is none. With one, validation only reads at first.
        part: The share of the budget that may be spent on it.
        place: At which candidate it is, of how many: told to who watches.
    """

    def __init__(
        self,
        genome: Genome,
        book: Book,
        attacks: AttackRows,
        row: dict[str, Any],
        job: Job,
        target: Target,
        stage: Stage,
    ) -> None:
        self.tried: list[Tried] = []
        self.generation = 0
        self.part = 1.0
        self.place = 1, job.wanted
        self._genome = genome
        self._book = book
        self._attacks = attacks
        self._row = row
        self._job = job
        self._target = target
        self._stage = stage
        self._sources = list(job.sources)
        self._made = 0
        self._misses = 0

    def go_on(self, tried: Sequence[Tried], made: int) -> None:
        """Goes on where an earlier guardian ended: these were measured by then, of so many that were made."""
        self.tried += tried
        self._made = made

    async def next(self) -> Tried | None:
        """The next candidate that is valid; None: there are no more."""
        while self._sources and self._misses <= max(TRIES - 1, self._job.wanted):
            self._job.budget.check(self.part)
            await self._stage("generate", budget=self._job.budget.row(), work=self.work("make"))
            source = self._sources[0]
            try:
                candidate = await source.propose(self._target, self._archive(), self._row["goal"], self._job.failures)
            except NoCandidateError as error:
                self._miss(str(error))
                continue
            except OError:
                self._sources.pop(0)
                if not self._sources:
                    raise
                continue
            if candidate is None:
                self._sources.pop(0)
                continue
            try:
                return await self._valid(source, candidate)
            except RejectedError as error:
                source.learn(candidate, float("-inf"), 0.0)
                self._miss(str(error))
        return None

    def work(self, doing: str) -> dict[str, Any]:
        """What is being done with which candidate of how many, and how many tries came to nothing so far."""
        if doing == "validate" and self._job.population and not self.generation:
            doing = "final"  # of all generations the best
        at, of = self.place
        return {"doing": doing, "at": at, "of": of, "failed": self._misses}

    def _miss(self, why: str) -> None:
        self._misses += 1
        self._job.failures.append(why)

    def nothing(self) -> str:
        """Why there is no candidate."""
        last = self._job.failures[-1] if self._misses else "there is no candidate"
        if self._misses < 2:
            return last
        return f"{self._misses} tries were no candidates; the last: {last}"

    def _archive(self) -> list[Member]:
        """The base first; who was valid and is not any more is gone, so that nothing is made of it."""
        target = self._target
        base = Member(target.base, target.source, 0.0)
        tried = [
            Member(
                each.revision, text_of(made.source), each.score, target.base, operator_of(made.origin, made.operator)
            )
            for each in self.tried
            if each.valid or each.score > float("-inf")
            for made in (each.candidate,)
        ]
        return [base, *self._job.others, *tried]

    async def _valid(self, source: Source, candidate: Candidate) -> Tried:
        """A commit, and every stage of validation passed that comes before a measurement; raises RejectedError."""
        row = self._row
        found: dict[str, Any] = {"source": candidate.row() | self._numbered()}
        revision = ""
        if len(candidate.source) <= FILE_LIMIT_BYTES:  # else validation says so; git need not keep it
            self._made += 1
            revision = await self._commit(candidate)
            diff = await diff_of(self._genome, row["base"], revision)
            found |= {"revision": revision, "diff": diff, "diff_sha256": diffs.digest(diff)}
            await self._book.candidate(row, **found)
        made = Tried(candidate, source, revision, found, valid=not self.generation)
        await self.validate(made, reading=bool(self.generation))
        return made

    async def validate(self, made: Tried, *, reading: bool = False) -> None:
        """Every stage; with `reading`, those that do not run it. Raises RejectedError."""
        await self._stage("validate", work=self.work("validate"))
        result = await self._validated(made.candidate, made.revision, reading)
        self._job.budget.spend(Cost(cpu_s=result.cpu_s))
        made.found = {**made.found, "stages": result.rows()}
        await self._book.change(self._row, stages=result.rows(), budget=self._job.budget.row())
        if not result.ok:
            raise RejectedError(result.reason)
        made.valid = not reading

    async def _validated(self, candidate: Candidate, revision: str, reading: bool) -> Validation:
        """Every stage, beside what main runs, and the attacks on its gene; a new fault becomes one of them."""
        row = self._row
        kept = [attack.case() for attack in await self._attacks.of(row["gene"])]
        files = await asyncio.to_thread(self._genome.files, row["base"])
        main = files.get(path_of(row["gene"]))
        reference = main.encode() if main is not None else None
        result = await validate_apart(
            row["gene"], candidate.source, reference, kept, files=files, repair=blue_team.repairs(row), reading=reading
        )
        if result.attack is not None:
            await self._attacks.add(msgspec.structs.replace(result.attack, found_by=revision or row["id"]))
        return result

    async def _commit(self, candidate: Candidate) -> str:
        row = self._row
        title = f"{row['gene']}: {row['goal'] or candidate.detail or 'a candidate'}"
        branch = row["id"] if self._job.wanted == 1 else f"{row['id']}.{self._made}"
        trailers = candidate.trailers() | {name.title(): str(value) for name, value in self._numbered().items()}

        def make() -> str:
            return self._genome.candidate(
                row["gene"],
                candidate.source,
                row["base"],
                row["id"],
                title,
                time.time_ns(),
                branch=branch,
                trailers=trailers,
            )

        try:
            return await asyncio.to_thread(make)
        except UsageError as error:
            raise RejectedError(str(error)) from error

    def _numbered(self) -> dict[str, int]:
        return {"generation": self.generation} if self.generation else {}


def text_of(source: str | bytes) -> str:
    """A candidate's source as text, whatever it holds."""
    return source if isinstance(source, str) else source.decode("utf-8", "surrogateescape")
