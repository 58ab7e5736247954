"""What is tried next: proposals in an order that depends on seed and results only, never on time.

Proposal `n` is made when the results up to `n - window` are known and learned, no more and no fewer: so evaluations
overlap, proposing stays off their path, and a run that was killed goes on as if it had not been.

What is left of a budget when nothing new can be made goes to the best members, in turn: each is measured once more,
under another seed of chance. A best member that was only lucky comes behind then.
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol

import msgspec

from o_tui import __version__
from o_tui.evolution.population import AGAIN, ELITES
from o_tui.evolution.portfolio import Portfolio, Proposal, Scored

WINDOW = 4
"""For the two lanes of one machine; what evaluates more at once has a wider one, which a run keeps to its end."""
INITIAL = "initial"
MODEL = "llm"
FORMAT = f"{__version__}/3"
"""Of a kept state: what another version has kept is not read."""


class Proposer(Protocol):
    """Makes proposals and learns from them (`evolution.portfolio.Portfolio` is one)."""

    def propose(self, archive: Sequence[Scored]) -> Proposal | None:
        """The next one; None: there is nothing new."""

    def learn(self, proposal: Proposal, score: float, cost_s: float) -> None:
        """How one did."""

    def state(self) -> dict[str, Any]:
        """All that it knows, as plain data."""


class Numbered(NamedTuple):
    """A proposal and its number; 1 is the program as it was given."""

    number: int
    proposal: Proposal


class Search:
    """Proposals out, scores in; the archive of all that were scored."""

    def __init__(self, initial: str, proposer: Callable[[dict[str, Any] | None], Proposer]) -> None:
        self._initial = initial
        self._make = proposer
        self._proposer = proposer(None)
        self._scores: dict[int, float] = {}
        self._waiting: deque[Numbered] = deque()
        self.archive: list[Scored] = []
        self.next = 1
        self.window = WINDOW
        self.exhausted = False
        self._starved = False
        self._again_of: dict[str, list[float]] = {}
        self._ranked: list[Scored] = []
        self._ranked_of = 0

    @property
    def learned(self) -> int:
        """Up to which number everything is learned."""
        return len(self.archive)

    def ready(self) -> bool:
        """The results are there on which the next proposal may depend; number 1 comes alone."""
        known = self.next - self.window if self.next > self.window else min(1, self.next - 1)
        return self._has_all_up_to(self.next - 1 if self._starved else known)

    def propose(self, given: Proposal | None = None) -> Numbered | None:
        """The next proposal, or `given` (a model's); only when `ready`.

        None: nothing new can be made of what is known. `ready` waits for all results then; if that is no help, a best
        member is measured again. The search is `exhausted` where there was nothing to change from the beginning.
        """
        proposal = given
        if self.next == 1:
            proposal = Proposal(self._initial, INITIAL, (), "as it was given")
        elif given is None:
            self._learn(self.next - 1 if self._starved else max(1, self.next - self.window))
            proposal = self._proposer.propose(self.archive)
        if proposal is None:
            if any(each.proposal.operator != AGAIN for each in self._waiting):
                self._starved = True
                return None
            proposal = self._again()
        self.exhausted = proposal is None
        if proposal is None:
            return None
        self._starved = False
        found = Numbered(self.next, proposal)
        self.next += 1
        self._waiting.append(found)
        return found

    def _again(self) -> Proposal | None:
        """The one of the best that was measured least often; None: all is as it was given."""
        best = self.best(ELITES)
        if len(self.archive) == 1 or not best:
            return None
        asked = Counter({name: len(scores) for name, scores in self._again_of.items()})
        asked.update(each.proposal.parents[0] for each in self._waiting)
        member = min(best, key=lambda each: asked[each.id])
        return Proposal(member.source, AGAIN, (member.id,), f"number {member.id} under another seed")

    def result(self, number: int, score: float) -> None:
        """How proposal `number` did; minus infinity: it failed."""
        self._scores[number] = score

    def finish(self) -> None:
        """Learns all that has come, when nothing is to be proposed any more."""
        while self._waiting and self._waiting[0].number in self._scores:
            self._learn(self._waiting[0].number)

    def best(self, count: int) -> list[Scored]:
        """Those with the best scores (the middle one, where measured again), best first; of equal ones the earlier."""
        self._look()
        others = (each for each in self._ranked if each.id not in self._again_of)
        found = [self.archive[int(name) - 1] for name in self._again_of]
        return sorted([*found, *islice(others, count)], key=lambda each: (-self._middle(each), int(each.id)))[:count]

    def _middle(self, each: Scored) -> float:
        again = self._again_of.get(each.id)
        return statistics.median([each.score, *again]) if again else each.score

    def _look(self) -> None:
        """Ranks the archive's new members, each once."""
        for each in self.archive[self._ranked_of :]:
            if each.operator == AGAIN:
                self._again_of.setdefault(each.parent, []).append(each.score)
            elif math.isfinite(each.score):
                bisect.insort(self._ranked, each, key=lambda one: (-one.score, int(one.id)))
        self._ranked_of = len(self.archive)

    def _has_all_up_to(self, number: int) -> bool:
        return all(each.number > number or each.number in self._scores for each in self._waiting)

    def _learn(self, number: int) -> None:
        while self._waiting and self._waiting[0].number <= number:
            found = self._waiting.popleft()
            score = self._scores.pop(found.number)
            # what it cost is not told: a result must not depend on how busy the machine was
            if found.proposal.operator not in (INITIAL, AGAIN):
                self._proposer.learn(found.proposal, score, 0.0)
            parent = found.proposal.parents[0] if found.proposal.parents else ""
            self.archive.append(
                Scored(str(found.number), found.proposal.source, score, parent, found.proposal.operator)
            )

    # --- keeping

    def state(self) -> dict[str, Any]:
        """What `restore` needs beside the evaluations that were kept."""
        waiting = [[each.number, msgspec.to_builtins(each.proposal)] for each in self._waiting]
        return {
            "format": FORMAT,
            "next": self.next,
            "learned": self.learned,
            "starved": self._starved,
            "waiting": waiting,
            "proposer": self._proposer.state(),
        }

    def restore(self, state: dict[str, Any] | None, known: Sequence[Scored]) -> list[Numbered]:
        """Goes on where a run stopped: `known` are its kept results by number; returns what has none yet.

        What was proposed after the state was kept is proposed again, which gives the same; where another version of O
        would propose something else, what was kept counts.
        """
        results = {int(each.id): each for each in known}
        if state and state.get("format") == FORMAT:
            self.next, self._starved = state["next"], state["starved"]
            self._proposer = self._make(state["proposer"])
            waiting = [Numbered(number, msgspec.convert(given, Proposal)) for number, given in state["waiting"]]
            self._waiting = deque(waiting)
            self.archive = [results[number] for number in range(1, state["learned"] + 1)]
            self._scores = {each.number: results[each.number].score for each in waiting if each.number in results}
        last = max(results, default=0)
        while self.next <= last and self.ready():
            before = results.get(self.next)
            found = self.propose(_of_a_model(before))
            if self.exhausted and before is not None:
                found = self.propose(_as_kept(before))
            kept = results.get(found.number) if found is not None else None
            if kept is not None:
                if kept.source != self._waiting[-1].proposal.source:
                    self._waiting[-1] = Numbered(int(kept.id), _as_kept(kept))
                self.result(int(kept.id), kept.score)
        return [each for each in self._waiting if each.number not in self._scores]


def _of_a_model(kept: Scored | None) -> Proposal | None:
    """What a model has written is not written again."""
    if kept is None or not kept.operator.startswith(MODEL):
        return None
    return _as_kept(kept)


def _as_kept(kept: Scored) -> Proposal:
    return Proposal(kept.source, kept.operator, (kept.parent,) if kept.parent else (), "")


def operators(seed: int) -> Callable[[dict[str, Any] | None], Proposer]:
    """The built-in operators, from a seed or from a kept state."""
    return lambda state: Portfolio(seed, state=state)
