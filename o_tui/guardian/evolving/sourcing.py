"""What an evolution begins with: its sources in order, its budget, what is known of the gene's earlier candidates."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from o_tui.config import EvolutionConfig
from o_tui.evolution import scoring
from o_tui.evolution.budget import Budget, Cost, limit_of
from o_tui.evolution.candidates import FileSource, Member, ModelSource, OperatorSource, Origin, Source, operator_of
from o_tui.evolution.genome import Genome
from o_tui.guardian.evolving import offload
from o_tui.guardian.evolving.candidate_pipeline import Job
from o_tui.guardian.evolving.evolution_book import Book
from o_tui.guardian.evolving.seams import Surroundings
from o_tui.guardian.evolving.source_choice import SourceChoice
from o_tui.guardian.storage.learning_rows import LearningRows
from o_tui.protocol.errors import OError, UsageError

Asked = Literal["file", "llm", "operators", "others", "auto"]
ASKED: tuple[Asked, ...] = ("file", "llm", "operators", "others", "auto")
_GIVEN: Mapping[str, Origin] = {"file": "file", "part": "part", "edit": "edit"}
"""What comes with its source."""
SEVERAL = 4
"""Candidates that the operators make where nobody says how many."""
POPULATION, GENERATIONS = 50, 10
"""Of a population, where only one of the two is named."""
MOST = 10_000
FAILURES = 5
_OTHERS = 8
_LOOKED_AT = 200


@dataclass(frozen=True, slots=True)
class Size:
    """How many candidates are wanted, 0: as is usual for the source; how many of them are a generation, 0: none is."""

    wanted: int = 0
    population: int = 0


USUAL = Size()


class Sourcing:
    """Makes the jobs of one guardian."""

    def __init__(
        self, genome: Genome, book: Book, rows: LearningRows, choice: SourceChoice, surroundings: Surroundings
    ) -> None:
        self._genome = genome
        self._book = book
        self._rows = rows
        self._choice = choice
        self._surroundings = surroundings

    async def job(self, row: dict[str, Any], source: str | bytes, size: Size, budget: Budget) -> Job:
        """For a row of which `origin` says what was asked for."""
        asked = str(row["origin"])
        failures, others = await self._known(row)
        if (given := _GIVEN.get(asked)) is not None:
            parents = tuple(row["source"].get("parents", ()))
            made: list[Source] = [FileSource(source, given, parents)]
            return Job(made, 1, budget, failures, others)
        names, by = [asked], "the operator"
        if asked == "auto":
            options = ["operators"]
            options += ["llm"] if self._surroundings.model() and row["goal"] else []
            options += ["others"] if len(others) > 1 else []
            names, by = await self._choice.order(options)
        await self._book.change(row, source={"origin": names[0], "chosen_by": by})
        state = await self._rows.portfolio(row["gene"])
        sources = [self._source(name, state, budget) for name in names]
        wanted = size.wanted or (1 if names[0] == "llm" else SEVERAL)
        return Job(sources, wanted, budget, failures, others, size.population)

    async def keep(self, row: Mapping[str, Any], job: Job) -> None:
        """At the end of an evolution, and of each generation: what its operators have learned is kept."""
        for source in job.sources:
            if isinstance(source, OperatorSource) and source.used:
                with contextlib.suppress(OError):  # they learn it again
                    await self._rows.keep_portfolio(str(row["gene"]), await source.learned())

    def _source(self, name: str, state: dict[str, Any] | None, budget: Budget) -> Source:
        if name == "llm":
            return ModelSource(self._surroundings.ask_model, offload.answer_of, budget.spend)
        seed = secrets.randbits(32)

        async def propose(asked: dict[str, Any]) -> dict[str, Any]:
            made: dict[str, Any] = await offload.call("propose", asked)
            return made

        return OperatorSource(propose, state, seed=seed, several=name == "others")

    async def _known(self, row: Mapping[str, Any]) -> tuple[list[str], list[Member]]:
        """Why the gene's earlier candidates came to nothing, oldest first; and those that could be measured."""
        rows = [each for each in await self._book.page(_LOOKED_AT) if each["gene"] == row["gene"]]
        rows = [each for each in rows if each["id"] != row["id"]]
        bad = [each for each in rows if each["state"] in ("rejected", "failed", "rolled_back")]
        failures = [str(each["reason"]) for each in bad if told(str(each["reason"]))][:FAILURES]
        others: list[Member] = []
        for revision, score, operator in dict.fromkeys(one for each in rows for one in _measured(each, row["metric"])):
            if len(others) < _OTHERS:
                with contextlib.suppress(OError):
                    text = await asyncio.to_thread(self._genome.source, revision, row["gene"])
                    others.append(Member(revision, text, score, operator=operator))
        return failures[::-1], others


def _measured(row: Mapping[str, Any], metric: str) -> Iterator[tuple[str, float, str]]:
    """(revision, score, operator) of a row's candidate and, best first, of what generations found with this metric."""
    if row["revision"] and row["evidence"]:
        made = row.get("source", {})
        operator = operator_of(str(made.get("origin", "")), str(made.get("operator", "")))
        yield row["revision"], scoring.score(row["evidence"], metric), operator
    found = [each for each in row.get("generations", ()) if each.get("score", 0) > 0 and row["metric"] == metric]
    for each in sorted(found, key=lambda each: -float(each["score"])):
        if each["revision"] != row["revision"]:
            yield each["revision"], float(each["score"]), str(each["operator"])


def told(reason: str) -> bool:
    """Whether the reason of an end says something of the candidate, and not of what went on around it."""
    return bool(reason) and not reason.startswith(
        ("interrupted", "stopped before", "the budget", "a defect", "superseded")
    )


def budget_of(given: Mapping[str, Any], settings: EvolutionConfig) -> Budget:
    """The budget of an evolution: what was asked for, the settings for the rest; raises UsageError."""
    default = Cost(
        requests=settings.budget_requests,
        cpu_s=settings.budget_cpu_s,
        tokens=settings.budget_tokens,
        money=settings.budget_money,
        wall_s=settings.budget_wall_s,
    )
    try:
        return Budget(limit_of(given, default))
    except ValueError as error:
        raise UsageError(str(error)) from error


def size_of(origin: str, candidates: object, population: object, generations: object) -> Size:
    """How many candidates an evolution makes, and how; raises UsageError."""
    named = {"candidates": candidates, "population": population, "generations": generations}
    for name, value in named.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
            raise UsageError(f"{name} are a whole number up to {MOST:,}")
    assert isinstance(candidates, int) and isinstance(population, int) and isinstance(generations, int)
    if not population and not generations:
        return Size(candidates)
    if origin == "file" or candidates:
        raise UsageError("a population is made by a source, and has no other number of candidates")
    population, generations = population or POPULATION, generations or GENERATIONS
    if population * generations > MOST:
        raise UsageError(f"{population:,} x {generations:,} candidates are more than {MOST:,}")
    return Size(population * generations, population)


def check_asked(origin: str, source: str | bytes, goal: str) -> None:
    """Whether an evolution can be asked for like this; raises UsageError."""
    if origin not in ASKED:
        raise UsageError(f"unknown source {origin!r}", hint=", ".join(ASKED))
    if origin == "llm" and not goal.strip():
        raise UsageError("what should be better?", hint="--goal TEXT")
    if origin == "file" and not source:
        raise UsageError("a candidate's source is needed", hint="--from FILE")
