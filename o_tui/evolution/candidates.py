"""Where candidates come from: a file, a model, the built-in operators, other candidates. One interface for all four.

A source proposes; whoever runs it validates, measures, and tells it how the proposal did. What a source needs of the
world (a model, a process apart) it is given as a function.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from o_tui.evolution import answers, prompting
from o_tui.evolution.budget import NOTHING, Cost

Origin = Literal["file", "llm", "operators", "others", "part", "edit"]
SEVERAL_TRIES = 6
"""How many proposals of the operators are made for one that mixes several parents."""
BATCH = 8
"""How many changes the operators make at once, where nobody says how many."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be changed: a gene, the revision that it stands in, and its module there (empty: to be written)."""

    gene: str
    base: str
    source: str


@dataclass(frozen=True, slots=True)
class Member:
    """A candidate that is known, as the operators see it: the higher the score the better, -inf where it failed."""

    id: str
    source: str
    score: float
    parent: str = ""
    operator: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One concrete new version.

    Attributes:
        source: The whole module.
        origin: Which kind of source made it.
        operator: Which of its operators, or which model.
        parents: What it was made of: ids of members; empty: the base.
        prompt_sha256: Of the question that a model was asked.
        cost: What making it cost.
        detail: What was changed, in one line.
    """

    source: str | bytes
    origin: Origin
    operator: str = ""
    parents: tuple[str, ...] = ()
    prompt_sha256: str = ""
    cost: Cost = NOTHING
    detail: str = ""

    def row(self) -> dict[str, Any]:
        """Where it came from, as plain data (without the text)."""
        return {
            "origin": self.origin,
            "operator": self.operator,
            "parents": list(self.parents),
            "prompt_sha256": self.prompt_sha256,
            "cost": self.cost.row(),
            "detail": self.detail,
        }

    def trailers(self) -> dict[str, str]:
        """The same for the commit: trailers, each one word."""
        found = {"Source": self.origin, "Operator": self.operator, "Prompt-SHA256": self.prompt_sha256}
        found["Parent"] = ",".join(self.parents)
        cost = self.cost.row()
        found["Cost"] = ",".join(f"{name}={value:g}" for name, value in cost.items() if value)
        return {name: "-".join(value.split()) for name, value in found.items() if value}


def operator_of(origin: str, operator: str) -> str:
    """How the operators are told who made a candidate: what a model made gets its numbers tuned first."""
    return f"llm {operator}" if origin == "llm" else operator


class NoCandidateError(Exception):
    """This time there is none; the text says why, in one line. It may be asked again."""


class Source(Protocol):
    """Makes candidates."""

    async def propose(
        self, target: Target, archive: Sequence[Member], goal: str, failures: Sequence[str]
    ) -> Candidate | None:
        """The next one; None: there are no more.

        Args:
            target: What is to be changed.
            archive: The base first, and what was made of it so far.
            goal: What should be better.
            failures: Why earlier candidates of this gene came to nothing, oldest first.

        Raises:
            NoCandidateError: This try made none.
            OError: The source does not work at all.
        """

    def learn(self, candidate: Candidate, score: float, cost_s: float) -> None:
        """How one of its candidates did; -inf: it failed."""


class FileSource:
    """The operator's own text, once; also what is left of a candidate that was accepted in part."""

    def __init__(self, source: str | bytes, origin: Origin = "file", parents: tuple[str, ...] = ()) -> None:
        self._next: Candidate | None = Candidate(source, origin, parents=parents)

    async def propose(
        self, target: Target, archive: Sequence[Member], goal: str, failures: Sequence[str]
    ) -> Candidate | None:
        """See the protocol."""
        found, self._next = self._next, None
        return found

    def learn(self, candidate: Candidate, score: float, cost_s: float) -> None:
        """There is nothing to learn for."""


@dataclass(frozen=True, slots=True)
class ModelText:
    """What a model said, by which name it goes, and what that cost."""

    text: str
    model: str = ""
    cost: Cost = NOTHING


class ModelSource:
    """A model: asked with the goal, the contract, the module and what went wrong before."""

    def __init__(
        self,
        ask: Callable[[Sequence[Mapping[str, str]]], Awaitable[ModelText]],
        read: Callable[[str, str, str], Awaitable[str]],
        spend: Callable[[Cost], None],
    ) -> None:
        """What it is given.

        Args:
            ask: The model.
            read: `answers.read` where it holds up nobody: an answer is as long and as odd as a peer makes it.
            spend: Is told of the cost of every question, also of one whose answer is no candidate.
        """
        self._ask = ask
        self._read = read
        self._spend = spend

    async def propose(
        self, target: Target, archive: Sequence[Member], goal: str, failures: Sequence[str]
    ) -> Candidate | None:
        """See the protocol."""
        question = prompting.ask(target.gene, target.source, goal, failures)
        answer = await self._ask(question)
        self._spend(answer.cost)
        try:
            source = await self._read(answer.text, target.gene, target.source)
        except answers.AnswerError as error:
            raise NoCandidateError(str(error)) from error
        digest = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()
        return Candidate(source, "llm", answer.model, (target.base[:12],), digest, answer.cost)

    def learn(self, candidate: Candidate, score: float, cost_s: float) -> None:
        """A model hears of it as a failure in the next question."""


class OperatorSource:
    """The built-in operators; with `several`, only those of their changes that mix candidates."""

    def __init__(
        self,
        apart: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]],
        state: Mapping[str, Any] | None,
        *,
        seed: int,
        several: bool = False,
    ) -> None:
        """Begins, or goes on where an earlier one left off.

        Args:
            apart: Does `propose_apart` where it holds up nobody.
            state: What `state` was.
            seed: Of all chance.
            several: See above.
        """
        self.state = dict(state) if state else None
        self.used = False
        self._apart = apart
        self._seed = seed
        self._several = several
        self._made: list[dict[str, Any]] = []
        self._learned: list[dict[str, Any]] = []
        self._known: dict[str | bytes, dict[str, Any]] = {}

    async def propose(
        self, target: Target, archive: Sequence[Member], goal: str, failures: Sequence[str]
    ) -> Candidate | None:
        """See the protocol."""
        if not self._made:
            await self._more(archive)
        if not self._made:
            return None
        plain = self._made.pop(0)
        self._known[plain["source"]] = plain
        origin: Origin = "others" if self._several else "operators"
        parents = tuple(each[:12] for each in plain["parents"])
        return Candidate(plain["source"], origin, plain["operator"], parents, detail=plain["detail"])

    def learn(self, candidate: Candidate, score: float, cost_s: float) -> None:
        """See the protocol."""
        if plain := self._known.pop(candidate.source, None):
            self._learned.append({"proposal": plain, "score": _finite(score), "cost_s": cost_s})

    async def learned(self) -> dict[str, Any]:
        """Its state with everything that it was told until now; to go on with another time."""
        await self._more((), count=0)
        return self.state or {}

    async def _more(self, archive: Sequence[Member], count: int | None = None) -> None:
        asked = {
            "seed": self._seed,
            "state": self.state,
            "learned": self._learned,
            "archive": [[each.id, each.source, _finite(each.score), each.parent, each.operator] for each in archive],
            "count": BATCH if count is None else count,
            "several": self._several,
        }
        self.used = True
        made = await self._apart(asked)
        self._learned = []
        self._made += made["proposals"]
        self.state = made["state"]


def propose_apart(asked: dict[str, Any]) -> dict[str, Any]:
    """What `OperatorSource` wants: {proposals, state}, plain data in and out; pure, and slow (it parses)."""
    from o_tui.evolution.portfolio import Portfolio, Proposal, Scored  # the guardian does not load libcst for this

    portfolio = Portfolio(asked["seed"], state=asked["state"])
    for each in asked["learned"]:
        plain = each["proposal"]
        told = Proposal(plain["source"], plain["operator"], tuple(plain["parents"]), plain["detail"])
        portfolio.learn(told, _score(each["score"]), each["cost_s"])
    archive = [Scored(row[0], row[1], _score(row[2]), row[3], row[4]) for row in asked["archive"]]
    found: list[dict[str, Any]] = []
    for _ in range(asked["count"] * (SEVERAL_TRIES if asked["several"] else 1)):
        proposal = portfolio.propose(archive) if len(found) < asked["count"] else None
        if proposal is None:
            break
        if len(proposal.parents) > 1 or not asked["several"]:
            plain = {"source": proposal.source, "operator": proposal.operator, "parents": list(proposal.parents)}
            found.append({**plain, "detail": proposal.detail})
    return {"proposals": found, "state": portfolio.state()}


def _finite(score: float) -> float | None:
    """JSON knows no infinity: None is a failure."""
    return score if score > float("-inf") else None


def _score(value: float | None) -> float:
    return float("-inf") if value is None else value
