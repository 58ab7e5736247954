"""Which change is tried next: a portfolio of operators, of which those get more turns whose changes help.

    portfolio = Portfolio(seed)
    while proposal := portfolio.propose(archive):
        score, cost_s = measure(proposal.source)
        archive.append(Scored(new_id, proposal.source, score, proposal.parents[0], proposal.operator))
        portfolio.learn(proposal, score, cost_s)

The same seed and the same calls give the same proposals: chance comes from the seed and the number of the proposal, and
time counts only where the caller says so. Nothing that means the same is proposed twice.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from o_tui.evolution import population
from o_tui.evolution.credit import Credit
from o_tui.evolution.operators import OPERATORS, RESTART, cma
from o_tui.evolution.operators.kinds import kind_of
from o_tui.evolution.operators.module import Module, kept, parse
from o_tui.evolution.operators.operator import Change, Memory, Operator, Result
from o_tui.evolution.population import Island, Population, Scored

__all__ = ["Portfolio", "Proposal", "Scored"]

_TRIES = 16
"""How often an operator may begin anew when what it made was seen before or does not compile."""
_POLISH = 12
"""How many turns the numbers of a model's proposal get."""
_PENDING = 512
_MODULES = 32
_REFUSED = 4096
_HOPES = {"literals": (2.0, 2.0), "cma": (0.5, 2.0)}
"""Numbers are tuned first; of the others little is believed before it is seen."""
_GREEDY = frozenset({"literals", "options", "materialise"})
"""These change the best member: they climb. The others mix and rebuild, and take any of the best."""
_AT_THE_TOP = frozenset({"materialise"})
"""These have their turn where the climb has become flat: a formula with few numbers is climbed faster than the many
that it computes, which are written out where that has ended."""
_SLOPE, _FLAT = 40, 0.05
"""Flat: of all that was gained, the last so many results brought less than this part."""
_AFTER = {"cma": cma.AFTER}
"""How many results must be known before an operator has its turn."""
_TURNS = tuple(each.name for each in OPERATORS)
_NOT_ON_ISLANDS = frozenset({"cma"})
"""One run of it at a time: it polishes what the mainland has found."""
_BY_NAME: dict[str, Operator] = {each.name: each for each in (*OPERATORS, RESTART)}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A source to be tried, which operator made it of which members, and what it changed, in one line."""

    source: str
    operator: str
    parents: tuple[str, ...]
    detail: str


class Portfolio:
    """The operators, what they have learned, and what was proposed."""

    def __init__(self, seed: int, *, state: Mapping[str, Any] | None = None) -> None:
        """Begins a search, or goes on with one.

        Args:
            seed: Of all chance.
            state: What `state()` gave.
        """
        state = json.loads(json.dumps(state)) if state else {}
        self._seed = seed
        self._count: int = state.get("count", 0)
        self._learned: int = state.get("learned", 0)
        self._credit = Credit(state.get("credit"))
        self._memories: dict[str, Memory] = state.get("memories", {})
        self._seen: dict[str, None] = dict.fromkeys(state.get("seen", ()))
        self._pending: dict[str, dict[str, Any]] = dict(state.get("pending", {}))
        self._polish: dict[str, int] = dict(state.get("polish", {}))
        self._climb: list[float] = state.get("climb", [])
        self._best: list[float] = list(state.get("best", ()))
        self._newest: Scored | None = None
        self._population = Population(self._kind, state.get("population"))
        self._initial: Module | None = None
        self._kinds: dict[str, str] = {}
        self._refused: set[str] = set()
        self._modules: dict[str, Module | None] = {}

    def propose(self, archive: Sequence[Scored]) -> Proposal | None:
        """The next change of one of the archive's members; None where nothing new can be made."""
        self._look(archive)
        if not self._population.best:
            return None
        self._count += 1
        random = Random(f"{self._seed}:{self._count}")
        polished = self._to_polish()
        if polished is not None:
            made = self._make(_BY_NAME["literals"], polished, self._population.mainland, random)
            return made or self.propose(archive)
        island = self._population.turn(random, self._is_flat())
        names = [name for name in _TURNS if self._may(name, island)]
        while names:
            name = self._choose(names, island, random)
            parent = self._population.pick(island, random, greedy=name in _GREEDY)
            made = self._make(_BY_NAME[name], parent, island, random)
            if made is not None:
                return made
            names.remove(name)
        return self._last_resort(random)

    def _last_resort(self, random: Random) -> Proposal | None:
        """Where the operators have nothing new for a parent: for all of the best, then several numbers at once."""
        mainland = self._population.mainland
        names = [name for name in _TURNS if self._may(name, mainland)]
        for operator in (*(_BY_NAME[name] for name in names), RESTART):
            for parent in mainland.members:
                made = self._make(operator, parent, mainland, random)
                if made is not None:
                    return made
        return None

    def learn(self, proposal: Proposal, score: float, cost_s: float) -> None:
        """Hears how a proposal did; `cost_s` (any unit, 0: does not count) is what its measuring took."""
        pending = self._pending.pop(_name(proposal.source), None)
        if pending is None:
            return
        self._learned += 1
        before, name = pending["score"], pending["operator"]
        result = _result(score, before)
        self._climb.append(max([*self._climb[-1:], *self._best[:1], *([score] if math.isfinite(score) else [])]))
        del self._climb[1:-_SLOPE]
        gain = 0.0
        if result == "better":
            below = population.rank(before, self._best) + 1
            gain = (below - population.rank(score, self._best)) / below
        self._credit.note(name, gain, cost_s)
        _BY_NAME[name].learn(self._memory(name), pending["note"], result, score)

    def state(self) -> dict[str, Any]:
        """All that it knows, as plain data: a copy."""
        found: dict[str, Any] = json.loads(
            json.dumps(
                {
                    "count": self._count,
                    "learned": self._learned,
                    "climb": self._climb,
                    "credit": self._credit.earned,
                    "memories": self._memories,
                    "seen": list(self._seen),
                    "pending": self._pending,
                    "polish": self._polish,
                    "best": self._best,
                    "population": self._population.state(),
                }
            )
        )
        return found

    def _look(self, archive: Sequence[Scored]) -> None:
        """Reads the archive's new members: none of them is proposed again, and a model's are to be polished."""
        first = archive[0].source if archive else ""
        if self._initial is None or self._initial.text != first:
            self._initial, self._kinds = self._module(first), {}
        for member in self._population.look(archive):
            module = self._module(member.source)
            if module is not None:
                self._seen[module.identity] = None
            if member.operator.startswith("llm") and math.isfinite(member.score):
                self._polish.setdefault(member.id, _POLISH)
                self._newest = member
        self._best = [each.score for each in self._population.best]

    def _to_polish(self) -> Scored | None:
        """The newest of a model's proposals, as long as its numbers have turns left."""
        if self._newest is None or not self._polish[self._newest.id]:
            return None
        self._polish[self._newest.id] -= 1
        return self._newest

    def _kind(self, member: Scored) -> str:
        """Which idea a member is, beside the first one."""
        module = self._module(member.source)
        if module is None or self._initial is None:
            return ""
        if module.skeleton not in self._kinds:
            self._kinds[module.skeleton] = kind_of(module, self._initial)
        return self._kinds[module.skeleton]

    def _may(self, name: str, island: Island) -> bool:
        """Whether it is an operator's time, and its place."""
        if island.number and name in _NOT_ON_ISLANDS:
            return False
        return self._learned >= _AFTER.get(name, 0) and (name not in _AT_THE_TOP or self._is_flat())

    def _is_flat(self) -> bool:
        if len(self._climb) <= _SLOPE:
            return False
        first, before, now = self._climb[0], self._climb[1], self._climb[-1]
        return now - before <= _FLAT * (now - first)

    def _choose(self, names: Sequence[str], island: Island, random: Random) -> str:
        best = self._module(island.members[0].source)
        if best is not None:
            for name in names:
                if _BY_NAME[name].eager(best, self._memory(name)):
                    return name
        return self._credit.pick(names, random, _HOPES)

    def _make(self, operator: Operator, parent: Scored, island: Island, random: Random) -> Proposal | None:
        """A change of `parent` that compiles, keeps what must stay and was not seen before."""
        module = self._module(parent.source)
        if module is None:
            return None
        others = self._population.mates(island, parent)
        modules = [found for each in others if (found := self._module(each.source)) is not None]
        for _ in range(_TRIES):
            change = operator.operate(module, modules, random, self._memory(operator.name))
            if change is None:
                return None
            child = self._child(module, change.text)
            if child is not None:
                self._seen[child.identity] = None
                self._keep(change.text, child)
                self._population.expect(change.text, island)
                return self._proposed(operator.name, change, parent, others)
            operator.learn(self._memory(operator.name), change.note, "dropped", -math.inf)
        return None

    def _child(self, module: Module, text: str) -> Module | None:
        """A child that may be proposed; what was refused once is known by its text."""
        name = _name(module.text + text)
        if name in self._refused:
            return None
        child = kept(module, text)
        if child is not None and child.identity not in self._seen:
            return child
        if len(self._refused) >= _REFUSED:
            self._refused.clear()
        self._refused.add(name)
        return None

    def _proposed(self, name: str, change: Change, parent: Scored, others: Sequence[Scored]) -> Proposal:
        self._pending[_name(change.text)] = {"operator": name, "note": change.note, "score": parent.score}
        while len(self._pending) > _PENDING:
            del self._pending[next(iter(self._pending))]
        mixed = () if change.other is None else (others[change.other].id,)
        return Proposal(change.text, name, (parent.id, *mixed), change.detail)

    def _memory(self, name: str) -> Memory:
        return self._memories.setdefault(name, {})

    def _module(self, source: str) -> Module | None:
        """The source, parsed; None where it does not compile, which no operator can change."""
        if source in self._modules:
            self._modules[source] = found = self._modules.pop(source)  # the last used is the last in the row
            return found
        try:
            module = parse(source)
        except (ValueError, RecursionError, MemoryError):
            module = None
        self._keep(source, module)
        return module

    def _keep(self, source: str, module: Module | None) -> None:
        self._modules[source] = module
        while len(self._modules) > _MODULES:
            del self._modules[next(iter(self._modules))]


def _name(source: str) -> str:
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _result(score: float, before: float) -> Result:
    if not math.isfinite(score):
        return "failed"
    if population.equal(score, before):
        return "same"
    return "better" if score > before else "worse"
