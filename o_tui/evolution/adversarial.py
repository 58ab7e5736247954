"""The red team's rounds: which gene is attacked next, how, and when it is enough. Pure: time is an argument.

Red looks for an input on which the gene in service breaks its contract, or does worse than the version before it.
What it finds is kept, and it is the blue team's turn: a candidate that stands every kept attack. When the gene has
changed red looks again; a round that finds nothing new ends it, until the gene changes or a day has passed.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from o_tui.evolution import attack_writing
from o_tui.evolution.probe import stage
from o_tui.evolution.probe.case import Call, Case, Recipe

Way = Literal["contract", "regression", "model"]
"""Judged by the gene's contract alone; beside the version that was deployed before; by the contract, from inputs that a
model has written."""
BLUE_S = 3_600.0
"""The blue team's turn, if the gene does not change sooner."""
REST_S = 86_400.0
"""After a round that found nothing new."""
DAY_S = 86_400.0
_MEMORIES = 12
_TURNS = 2


@dataclass(frozen=True, slots=True)
class Versions:
    """A gene in service and as it was before; empty where there was none, or where it was the same."""

    source: str
    before: str = ""

    @property
    def digest(self) -> str:
        """Both, in short."""
        return hashlib.sha256(f"{self.source}\0{self.before}".encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Round:
    """One search. `number` counts those of this gene: each has a seed of its own."""

    gene: str
    way: Way
    number: int


def ways_of(gene: str, versions: Versions, *, model: bool) -> tuple[Way, ...]:
    """The ways to attack a gene, in their order; `model`: there is one that may be asked."""
    found: list[Way] = ["contract"]
    found += ["regression"] if versions.before else []
    found += ["model"] if model and attack_writing.writable(gene) else []
    return tuple(found)


class Day:
    """How much of something was used within the last day."""

    def __init__(self) -> None:
        self._used: deque[tuple[float, float]] = deque()

    def add(self, amount: float, now_s: float) -> None:
        """So much was used now."""
        self._used.append((now_s, amount))

    def total(self, now_s: float) -> float:
        """What was used within the last day."""
        while self._used and now_s - self._used[0][0] >= DAY_S:
            self._used.popleft()
        return sum(amount for _at, amount in self._used)


@dataclass(slots=True)
class _Turn:
    digest: str
    rounds: int = 0
    quiet: set[Way] = field(default_factory=set)
    until_s: float = 0.0


class Rounds:
    """What was attacked, with what success, and what it cost in the last day."""

    def __init__(self) -> None:
        self._turns: dict[str, _Turn] = {}
        self._cpu = Day()

    def next(self, genes: Mapping[str, Versions], now_s: float, *, model: bool = False) -> Round | None:
        """The next round: of the genes whose turn it is, the one with the fewest; None: red rests."""
        for gene, versions in genes.items():
            turn = self._turns.get(gene)
            if turn is None or turn.digest != versions.digest:
                self._turns[gene] = _Turn(versions.digest, turn.rounds if turn else 0)
            elif turn.until_s and turn.until_s <= now_s:
                turn.until_s, turn.quiet = 0.0, set()
        ready = [(turn.rounds, gene) for gene, turn in self._turns.items() if gene in genes and not turn.until_s]
        for _rounds, gene in sorted(ready):
            turn = self._turns[gene]
            for way in ways_of(gene, genes[gene], model=model):
                if way not in turn.quiet:
                    return Round(gene, way, turn.rounds)
        return None

    def ended(self, round_: Round, *, found: bool, ways: int, cpu_s: float, now_s: float) -> bool:
        """A round is over: `found` something new or not; `ways` there are for this gene. Whether it rests now."""
        self.cost(cpu_s, now_s)
        turn = self._turns[round_.gene]
        turn.rounds += 1
        if found:
            turn.quiet, turn.until_s = set(), now_s + BLUE_S
            return False
        turn.quiet.add(round_.way)
        rests = len(turn.quiet) >= ways
        if rests:
            turn.until_s = now_s + REST_S
        return rests

    def cost(self, cpu_s: float, now_s: float) -> None:
        """What was used counts, whether or not anything came of it."""
        self._cpu.add(cpu_s, now_s)

    def spent_s(self, now_s: float) -> float:
        """CPU seconds within the last day."""
        return self._cpu.total(now_s)


def seeds(gene: str, texts: Sequence[str]) -> list[Case]:
    """What was asked of the agent, as cases of a gene: the prober begins with them and changes them further."""
    memories = list(texts[:_MEMORIES])
    made = [_call(gene, text, memories) for text in texts if text]
    return [Case("calls", [call]) for call in made if call is not None]


def _call(gene: str, text: str, memories: list[str]) -> Call | None:
    if gene == "recall":
        return Call("recall", [text, ["stage", "Search", memories, "", _TURNS], 5, stage.NOW_NS])
    if gene == "remember":
        return Call("chunk", [text])
    if gene == "respond":
        asked: Recipe = ["new", "Request", ["r", text], {}]
        return Call("respond", [asked, ["stage", "Context", memories, "", _TURNS]])
    return None
