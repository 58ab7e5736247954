"""One evolution from its intent to a candidate that waits for an operator: checkpoint, generate, validate, shadow.

One candidate is measured once. Several are made and validated, run a short race, and the winners are measured again, on
processes and an order of requests that no race has seen: the best of many looks better than it is (finals.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from o_tui.config import EvolutionConfig
from o_tui.evolution import diffs, evidence, scoring, versions
from o_tui.evolution.budget import NOTHING, Budget, Cost
from o_tui.evolution.candidates import Candidate, Member, NoCandidateError, Source, Target, operator_of
from o_tui.evolution.genome import Genome
from o_tui.evolution.validation import Validation
from o_tui.guardian.evolving import apart, blue, finals
from o_tui.guardian.evolving.diffing import diff_of
from o_tui.guardian.evolving.evolution_book import Book
from o_tui.guardian.evolving.measuring import Measured, Measuring
from o_tui.guardian.evolving.seams import Checkpoints, GenomeLoadError, Surroundings
from o_tui.guardian.evolving.validating import validate_apart
from o_tui.guardian.storage.attack_rows import AttackRows
from o_tui.protocol.contracts import FILE_LIMIT_BYTES, path_of
from o_tui.protocol.errors import OError, UsageError

TRIES = 3
"""How often a source may come with nothing usable, beside what it is asked for; what was wrong is said to it."""
ROUND = 8
"""Candidates that are made before the first of them is measured."""
RACE_SHARE = 0.25
RACE_LEAST = 12
"""Pairs of a race: this share of the pairs of a measurement, and no fewer."""


class RejectedError(Exception):
    """No candidate is good enough; the text says why. `verdict` is reject or no_evidence."""

    def __init__(self, text: str, verdict: str = "reject") -> None:
        super().__init__(text)
        self.verdict = verdict


class HeldError(OError):
    """It was stopped before its next stage."""


@dataclass(slots=True)
class Job:
    """What an evolution works with.

    Attributes:
        sources: Asked in this order; the next one only where one does not work at all.
        wanted: How many candidates are measured.
        budget: What it may cost.
        failures: Why earlier candidates of this gene came to nothing, oldest first.
        others: Earlier candidates of this gene.
    """

    sources: Sequence[Source]
    wanted: int
    budget: Budget
    failures: list[str] = field(default_factory=list)
    others: Sequence[Member] = ()


@dataclass(slots=True)
class _Tried:
    """One candidate that has passed validation."""

    candidate: Candidate
    source: Source
    revision: str
    found: Mapping[str, Any]
    measured: Measured | None = None
    score: float = float("-inf")
    finalist: bool = False

    def row(self) -> dict[str, Any]:
        verdict = self.measured.decision.verdict if self.measured else "reject"
        score = self.score if self.score > float("-inf") else None
        operator, detail = self.candidate.operator, self.candidate.detail
        found = {"revision": self.revision, "operator": operator, "detail": detail, "verdict": verdict, "score": score}
        return found | ({"quality": scoring.quality_gain(self.measured.evidence)} if self.measured else {})


class Cycle:
    """Runs evolutions, one at a time."""

    def __init__(
        self,
        genome: Genome,
        book: Book,
        measuring: Measuring,
        *,
        checkpoints: Checkpoints,
        surroundings: Surroundings,
        attacks: AttackRows | None = None,
    ) -> None:
        self.attacks = attacks
        self._genome = genome
        self._book = book
        self._measuring = measuring
        self._checkpoints = checkpoints
        self._surroundings = surroundings

    async def run(self, row: dict[str, Any], job: Job, settings: EvolutionConfig) -> None:
        """From the checkpoint to `pending`.

        Raises:
            RejectedError: No candidate was good enough.
            BudgetSpentError: The budget ended first.
            OError: Something that it needs does not work, or it was held.
        """
        await self._stage(row, "checkpoint")
        await self._book.change(row, checkpoint_id=await self._checkpoints.create(f"before evolution {row['id']}"))
        base = await asyncio.to_thread(self._genome.head)
        version = await asyncio.to_thread(self._genome.version, base)
        await self._stage(row, "generate", base=base, next_version=versions.bump(version, "minor"))
        before = await asyncio.to_thread(self._genome.source, base, row["gene"])
        target = Target(row["gene"], base, before)
        one = _One(self, row, job, settings, target)
        await (one.alone() if job.wanted == 1 else one.race())

    async def _stage(self, row: dict[str, Any], state: str, **more: Any) -> None:
        """The next stage begins, unless everything is held."""
        if held := self._surroundings.held():
            raise HeldError(f"stopped before {state}: {held}")
        await self._book.change(row, state=state, **more)


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
        self._sources = list(job.sources)
        self._tried: list[_Tried] = []
        self._made = 0
        self._misses = 0
        self._spent: dict[str, float] = {}

    async def alone(self) -> None:
        """One candidate, measured once; without evidence an operator may know better, so it waits too."""
        found = await self._next()
        if found is None:
            raise RejectedError(self._nothing())
        await self._choose(found)
        await self._stage("shadow")
        measured = await self._measure(found, self._settings.pairs)
        await self._keep(measured)
        if measured.decision.verdict == "reject":
            raise RejectedError("; ".join(measured.decision.reasons))
        await self._wait(found, measured)

    async def race(self) -> None:
        """Several candidates in rounds; the winners are measured again. Only what is shown better waits."""
        while len(self._tried) < self._job.wanted:
            ready = await self._round(min(ROUND, self._job.wanted - len(self._tried)))
            if not ready:
                break
            await self._stage("shadow")
            await self._run_race(ready)
        if not self._tried:
            raise RejectedError(self._nothing(), "no_evidence")
        better = [found for found in self._tried if found.finalist and found.score > 0]
        if not better:
            raise RejectedError(f"none of {len(self._tried)} candidates did better than main's code", "no_evidence")
        best, measured = await self._confirm(sorted(better, key=lambda found: -found.score)[: finals.MOST])
        await self._keep(measured)
        decision = measured.decision
        if decision.verdict != "promote":
            raise RejectedError(
                f"the best of {len(self._tried)}, measured again: {'; '.join(decision.reasons)}", decision.verdict
            )
        await self._wait(best, measured)

    async def _confirm(self, finalists: Sequence[_Tried]) -> tuple[_Tried, Measured]:
        """All of them anew, the best first; of those that e-BH says are better, the one with the most evidence."""
        measured: dict[str, Measured] = {}
        for number, found in enumerate(finalists):
            await self._choose(found)
            await self._stage("shadow")
            left = self._job.budget.requests_left()
            fair = self._settings.pairs if left is None else left // (2 * (len(finalists) - number))
            pairs = max(1, min(self._settings.pairs, fair))
            measured[found.revision] = await self._measure(found, pairs, again=1, among=len(finalists))
        revision, final = finals.decide(measured, self._cycle._measuring.alpha)
        best = next(found for found in finalists if found.revision == revision)
        if best is not finalists[-1]:
            await self._choose(best)
        return best, final

    # --- making

    async def _round(self, count: int) -> list[_Tried]:
        await self._stage("generate")
        ready: list[_Tried] = []
        while len(ready) < count and (found := await self._next()) is not None:
            ready.append(found)
        return ready

    async def _next(self) -> _Tried | None:
        """The next candidate that is valid; None: there are no more."""
        while self._sources and self._misses <= max(TRIES - 1, self._job.wanted):
            self._job.budget.check()
            await self._stage("generate", budget=self._job.budget.row())
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

    def _miss(self, why: str) -> None:
        self._misses += 1
        self._job.failures.append(why)

    def _nothing(self) -> str:
        last = self._job.failures[-1] if self._misses else "there is no candidate"
        if self._misses < 2:
            return last
        return f"{self._misses} tries were no candidates; the last: {last}"

    def _archive(self) -> list[Member]:
        target = self._target
        base = Member(target.base, target.source, 0.0)
        tried = [
            Member(each.revision, _text(made.source), each.score, target.base, operator_of(made.origin, made.operator))
            for each in self._tried
            for made in (each.candidate,)
        ]
        return [base, *self._job.others, *tried]

    async def _valid(self, source: Source, candidate: Candidate) -> _Tried:
        """A commit, and every stage of validation passed; raises RejectedError."""
        row = self._row
        found: dict[str, Any] = {"source": candidate.row()}
        revision = ""
        if len(candidate.source) <= FILE_LIMIT_BYTES:  # else validation says so; git need not keep it
            self._made += 1
            revision = await self._commit(candidate)
            diff = await diff_of(self._genome, row["base"], revision)
            found |= {"revision": revision, "diff": diff, "diff_sha256": diffs.digest(diff)}
            await self._book.candidate(row, **found)
        await self._stage("validate")
        result = await self._validated(candidate, revision)
        self._job.budget.spend(Cost(cpu_s=result.cpu_s))
        found["stages"] = result.rows()
        await self._book.change(row, stages=found["stages"], budget=self._job.budget.row())
        if not result.ok:
            raise RejectedError(result.reason)
        return _Tried(candidate, source, revision, found)

    async def _validated(self, candidate: Candidate, revision: str) -> Validation:
        """Every stage, beside what main runs, and the attacks on its gene; a new fault becomes one of them."""
        row = self._row
        archive = self._cycle.attacks
        kept = [attack.case() for attack in await archive.of(row["gene"])] if archive is not None else []
        files = await asyncio.to_thread(self._genome.files, row["base"])
        main = files.get(path_of(row["gene"]))
        reference = main.encode() if main is not None else None
        repair = blue.repairs(row)
        result = await validate_apart(row["gene"], candidate.source, reference, kept, files=files, repair=repair)
        if result.attack is not None and archive is not None:
            await archive.add(msgspec.structs.replace(result.attack, found_by=revision or row["id"]))
        return result

    async def _commit(self, candidate: Candidate) -> str:
        row = self._row
        title = f"{row['gene']}: {row['goal'] or candidate.detail or 'a candidate'}"
        branch = row["id"] if self._job.wanted == 1 else f"{row['id']}.{self._made}"

        def make() -> str:
            return self._genome.candidate(
                row["gene"],
                candidate.source,
                row["base"],
                row["id"],
                title,
                time.time_ns(),
                branch=branch,
                trailers=candidate.trailers(),
            )

        try:
            return await asyncio.to_thread(make)
        except UsageError as error:
            raise RejectedError(str(error)) from error

    # --- measuring

    async def _run_race(self, ready: Sequence[_Tried]) -> None:
        """The lower half goes round by round: a bad one costs ten pairs, the last one has its share of them all."""
        budget, settings = self._job.budget, self._settings
        budget.check()
        pairs, left = max(RACE_LEAST, int(settings.pairs * RACE_SHARE)), budget.requests_left()
        if left is not None:
            pairs = max(1, min(pairs, left // (2 * len(ready))))
        revisions = [found.revision for found in ready]
        raced = await self._cycle._measuring.race(self._row, revisions, settings, pairs=pairs)
        for found in ready:
            found.finalist = found.revision == list(raced)[-1]
            self._learn(found, raced[found.revision])
        await self._book.change(self._row, budget=budget.row(), race=[each.row() for each in self._tried])

    def _learn(self, found: _Tried, measured: Measured | GenomeLoadError) -> None:
        self._tried.append(found)
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

    async def _measure(self, found: _Tried, pairs: int, again: int = 0, among: int = 1) -> Measured:
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
        await self._cycle._stage(self._row, state, **more)

    async def _choose(self, found: _Tried) -> None:
        """The row is about this candidate from now on; what it can do at most is read from it."""
        after = _text(found.candidate.source)
        risk = await apart.risk_of(self._target.source, after)
        await self._book.change(self._row, **found.found, risk=risk)
        if self._job.wanted > 1:
            await asyncio.to_thread(self._genome.choose, self._row["id"], found.revision)

    async def _keep(self, measured: Measured) -> None:
        plain = dict(measured.evidence)
        verdict = measured.decision.verdict
        await self._book.change(self._row, evidence=plain, evidence_sha256=evidence.digest(plain), verdict=verdict)

    async def _wait(self, found: _Tried, measured: Measured) -> None:
        reason = measured.decision.reasons[0]
        await self._stage("pending", reason=reason)
        level, text = "info", f"{self._row['id']} ({self._row['gene']}) waits for approval: {reason}"
        self._cycle._surroundings.event(
            level, text, {key: self._row[key] for key in ("id", "gene", "state", "verdict")}
        )


def _text(source: str | bytes) -> str:
    return source if isinstance(source, str) else source.decode("utf-8", "surrogateescape")
