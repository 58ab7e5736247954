"""An evolution that a guardian's death has interrupted goes on with the next guardian.

One that waited for its turn waits again. Of a search over generations each look at a candidate is a durable row, and
each candidate a commit: together they are the population, and it goes on behind the last look. What else was under way
is lost, and begins anew: a race, a proof, one candidate alone. Only validation by reading is believed; who is to be
raced passes all of it again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from o_tui.evolution.candidates import Candidate, Source
from o_tui.evolution.genome import Genome
from o_tui.guardian.evolving.candidate_pipeline import Tried
from o_tui.guardian.evolving.evolution_book import EMPTY, Book
from o_tui.guardian.evolving.seams import Operator
from o_tui.guardian.evolving.sourcing import Size

WAITING = "intent"
"""The state of one that waits for its turn."""
_MADE = (
    *("base", "revision", "reason", "diff", "diff_sha256", "evidence", "evidence_sha256", "verdict", "risk"),
    *("stages", "checkpoint_id", "next_version", "race", "generations", "work"),
)
"""Of a row: what came of an evolution so far."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an evolution was asked for, beside what its row says.

    Attributes:
        source: The candidate, where it was given.
        wanted, population: As in `Size`.
        supersedes: The evolution that is rejected once this one waits for an operator; empty: none.
        operator: Who wants that.
    """

    source: bytes
    wanted: int
    population: int
    supersedes: str = ""
    operator: Operator | None = None

    @classmethod
    def of(cls, source: str | bytes, size: Size, supersedes: str = "", operator: Operator | None = None) -> Asked:
        """What is asked for now."""
        content = source.encode("utf-8", "surrogateescape") if isinstance(source, str) else source
        return cls(
            source=content,
            wanted=size.wanted,
            population=size.population,
            supersedes=supersedes,
            operator=operator,
        )

    def row(self) -> dict[str, Any]:
        """Plain data."""
        plain: dict[str, Any] = msgspec.to_builtins(self, builtin_types=(bytes,))
        return plain

    @property
    def size(self) -> Size:
        """How many candidates."""
        return Size(self.wanted, self.population)

    @property
    def text(self) -> str | bytes:
        """The candidate; bytes where it is no text."""
        try:
            return self.source.decode()
        except UnicodeDecodeError:
            return self.source


async def asked(book: Book, row: Mapping[str, Any]) -> Asked | None:
    """What a row was asked for; None: that was not written down."""
    found = await book.asked(row)
    return None if found is None else msgspec.convert(found, Asked)


def why_not(row: Mapping[str, Any], head: str) -> str:
    """Why an interrupted evolution cannot go on; empty: it can. `head` is main's revision.

    One that was taken up and has come no further since is not taken up again: it may be what ends the guardian.
    """
    if _looks(row) and row["base"] != head:
        return "the guardian ended in the middle, and the genome has moved on since"
    if row["state"] != WAITING and row.get("resumed", [])[-1:] == [_looks(row)]:
        return "the guardian ended twice at the same place"
    return ""


async def note(book: Book, row: dict[str, Any]) -> str:
    """It is taken up, and where it was is kept; returns what becomes of it, in words."""
    if row["state"] == WAITING:
        return "waits for its turn again"
    resumed = [*row.get("resumed", []), _looks(row)]
    if _looks(row):
        await book.change(row, state="generate", race=[], resumed=resumed)
        return "goes on"
    await book.change(row, **{key: EMPTY[key] for key in _MADE}, state=WAITING, resumed=resumed)
    return "begins anew"


async def leave(book: Book, row: dict[str, Any]) -> None:
    """A guardian that had taken it up is stopped in good order: the next one takes it up, wherever it is."""
    await book.change(row, resumed=row["resumed"][:-1])


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
    texts = await asyncio.to_thread(lambda: [genome.source(revision, row["gene"]) for revision in looks])
    members = [
        _tried(text, made[revision], figures, source)
        for text, (revision, figures) in zip(texts, looks.items(), strict=True)
    ]
    return Known(members, list(looks.values()), len(made))


def _tried(text: str, made: Mapping[str, Any], figures: Mapping[str, Any], source: Source) -> Tried:
    told, revision = made["source"], str(figures["revision"])
    candidate = Candidate(
        text, told["origin"], told["operator"], tuple(told["parents"]), told["prompt_sha256"], detail=told["detail"]
    )
    score = -math.inf if figures["score"] is None else float(figures["score"])
    found = {"source": told, "revision": revision, "diff_sha256": made["diff_sha256"]}
    return Tried(candidate, source, revision, found, valid=False, score=score)


def _looks(row: Mapping[str, Any]) -> int:
    return sum(each["measured"] for each in row["generations"])
