"""A search over generations that a guardian's death has interrupted goes on with the next guardian.

Each look at a candidate is a durable row, and each candidate a commit: together they are the population. What was under
way at the death is lost: a look is made again, a race and a proof begin anew. Only validation by reading is believed;
who is to be raced passes all of it again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from o_tui.evolution.budget import Budget
from o_tui.evolution.candidates import Candidate, Source
from o_tui.evolution.genome import Genome
from o_tui.guardian.evolving.candidate_pipeline import Tried
from o_tui.guardian.evolving.diffing import diff_of
from o_tui.guardian.evolving.evolution_book import Book
from o_tui.guardian.evolving.sourcing import Size


def why_not(row: Mapping[str, Any], head: str) -> str:
    """Why an interrupted evolution cannot go on; empty: it can. `head` is main's revision.

    One that was taken up and has come no further since is not taken up again: it may be what ends the guardian.
    """
    if not row.get("generations"):
        return "the guardian ended in the middle"
    if row["base"] != head:
        return "the guardian ended in the middle, and the genome has moved on since"
    if row.get("resumed", [])[-1:] == [_looks(row)]:
        return "the guardian ended twice at the same place"
    return ""


async def note(book: Book, row: dict[str, Any]) -> None:
    """It is taken up: where it was is kept, and what comes after the generations begins anew."""
    await book.change(row, state="generate", race=[], resumed=[*row.get("resumed", []), _looks(row)])


async def leave(book: Book, row: dict[str, Any]) -> None:
    """A guardian that had taken it up is stopped in good order: the next one takes it up, wherever it is."""
    await book.change(row, resumed=row["resumed"][:-1])


def asked(row: Mapping[str, Any]) -> tuple[Size, Budget]:
    """How many candidates it is to make, and what it may cost, with what was spent."""
    last = row["generations"][-1]
    return Size(last["size"] * last["of"], last["size"]), Budget.of_row(row["budget"])


@dataclass(frozen=True, slots=True)
class Known:
    """The population of an evolution as its rows tell it.

    Attributes:
        members: Those that were looked at, oldest first.
        figures: What their looks showed, in the same order.
        made: How many candidates there were, with those that nobody looked at.
    """

    members: Sequence[Tried]
    figures: Sequence[Mapping[str, Any]]
    made: int


async def known(book: Book, genome: Genome, row: Mapping[str, Any], source: Source) -> Known:
    """What is known of an interrupted one; `source` stands for those that have made its members."""
    made, looks = await book.population(row)
    members = [await _tried(genome, row, made[revision], figures, source) for revision, figures in looks.items()]
    return Known(members, list(looks.values()), len(made))


async def _tried(
    genome: Genome, row: Mapping[str, Any], made: Mapping[str, Any], figures: Mapping[str, Any], source: Source
) -> Tried:
    revision = str(figures["revision"])
    text = await asyncio.to_thread(genome.source, revision, row["gene"])
    told = made["source"]
    candidate = Candidate(
        text, told["origin"], told["operator"], tuple(told["parents"]), told["prompt_sha256"], detail=told["detail"]
    )
    score = -math.inf if figures["score"] is None else float(figures["score"])
    found = {"source": told, "revision": revision, "diff_sha256": made["diff_sha256"]}
    if score > 0:  # it may become what the evolution is about
        found["diff"] = await diff_of(genome, row["base"], revision)
    return Tried(candidate, source, revision, found, valid=False, score=score)


def _looks(row: Mapping[str, Any]) -> int:
    return sum(each["measured"] for each in row["generations"])
