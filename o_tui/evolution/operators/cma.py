"""All numbers at once by CMA-ES: a polisher of what has been found, once about 1,000 results are known.

Hansen and Ostermeier 2001, "Completely derandomized self-adaptation in evolution strategies"; the package `cma`, which
comes with the extra `search`. A run is kept as its start and its results: the strategy is made again from these, so it
can be put down and taken up, and nothing but numbers is stored.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import warnings
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Any

from o_tui.evolution.operators.literals import Literal, literals, written
from o_tui.evolution.operators.module import Module, parse
from o_tui.evolution.operators.operator import Change, Memory, Note, Operator, Result

AFTER = 1000
"""How many results must be known before it has its turn."""
_FEWEST, _MOST = 2, 200
_FIRST_STEP = 0.01
_PATIENCE = 400
"""How often a run may be asked in vain while results are out, before it is given up."""
_LIVE = 4


class Cma(Operator):
    """The operator. It holds strategies only to save time: each can be made again from the memory."""

    name = "cma"

    def __init__(self) -> None:
        self._live: dict[str, tuple[Any, list[list[float]]]] = {}

    def operate(self, module: Module, others: Sequence[Module], random: Random, memory: Memory) -> Change | None:
        """The next member of the generation; None while results of it are out, or where there is nothing to polish."""
        if not available() or not _FEWEST <= len(_polished(module)) <= _MOST:
            return None
        if memory.get("skeleton") != module.skeleton or memory["vain"] > _PATIENCE:
            self._begin(module, random, memory)
        strategy, generation = self._strategy(memory)
        if strategy.stop():
            self._begin(module, random, memory)
            strategy, generation = self._strategy(memory)
        at = memory["given"]
        if at == len(generation):
            memory["vain"] += 1
            return None
        memory["given"] += 1
        base = parse(memory["text"])
        found = _polished(base)
        pairs = zip(found, generation[at], strict=True)
        text = base.edited((*each.span, written(_moved(each, by))) for each, by in pairs)
        note = {"trace": memory["trace"], "at": at}
        return Change(text, f"{len(found)} numbers, generation {memory['count']}", note)

    def learn(self, memory: Memory, note: Note, result: Result, score: float) -> None:
        """Takes a result; the last of a generation moves the strategy on."""
        if memory.get("trace") != note["trace"]:
            return
        memory["got"][str(note["at"])] = score if math.isfinite(score) else None
        memory["vain"] = 0
        strategy, generation = self._strategy(memory)
        if len(memory["got"]) < len(generation):
            return
        row = [memory["got"][str(at)] for at in range(len(generation))]
        memory["told"].append(row)
        strategy.tell(generation, _costs(row))
        del self._live[memory["trace"]]
        memory |= {"given": 0, "got": {}, "count": memory["count"] + 1, "trace": _trace(memory["trace"], row)}
        self._hold(memory["trace"], strategy)

    def _begin(self, module: Module, random: Random, memory: Memory) -> None:
        seed = random.randrange(2**31)
        memory.clear()
        memory |= {"skeleton": module.skeleton, "text": module.text, "seed": seed}
        memory |= {"told": [], "given": 0, "got": {}, "vain": 0, "count": 0, "trace": _trace(module.text, [seed])}

    def _strategy(self, memory: Memory) -> tuple[Any, list[list[float]]]:
        """The strategy, and the generation that it asks for."""
        if memory["trace"] not in self._live:
            count = len(_polished(parse(memory["text"])))
            strategy = _new(count, memory["seed"])
            for row in memory["told"]:
                strategy.tell(_asked(strategy), _costs(row))
            self._hold(memory["trace"], strategy)
        return self._live[memory["trace"]]

    def _hold(self, trace: str, strategy: Any) -> None:
        self._live[trace] = strategy, _asked(strategy)
        while len(self._live) > _LIVE:
            del self._live[next(iter(self._live))]


@cache
def available() -> bool:
    """Whether the package is there."""
    return importlib.util.find_spec("cma") is not None


def missing(budget: int) -> str:
    """What to do for a search of so many evaluations that would use the package; empty where there is nothing to do."""
    if budget <= AFTER or available():
        return ""
    return f"after {AFTER:,} evaluations the operator cma would polish numbers: pip install 'o-tui[search]'"


def _new(count: int, seed: int) -> Any:
    """A strategy with a source of chance of its own: the package would take numpy's, which all share."""
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would like to plot
        import cma
    chance = np.random.RandomState(seed)
    options = {"verbose": -9, "randn": chance.randn, "seed": math.nan}
    return cma.CMAEvolutionStrategy([0.0] * count, _FIRST_STEP, options)


def _asked(strategy: Any) -> list[list[float]]:
    """The next generation, as plain numbers: told of its own arrays, the package would go on otherwise."""
    return [[float(each) for each in row] for row in strategy.ask()]


def _polished(module: Module) -> list[Literal]:
    """The numbers with a fraction: others are choices and counts."""
    return [each for each in module.once(literals) if isinstance(each.value, float)]


def _moved(literal: Literal, by: float) -> float:
    return float(f"{literal.value + by * literal.scale:.8g}")


def _costs(row: Sequence[float | None]) -> list[float]:
    """What the strategy makes small: ranks are all that it uses, and failures come last."""
    scores = [each for each in row if each is not None]
    worst = min(scores, default=0.0)
    return [-each if each is not None else -worst + 1.0 for each in row]


def _trace(before: str, row: Sequence[object]) -> str:
    return hashlib.sha256((before + json.dumps(row)).encode("utf-8", "surrogatepass")).hexdigest()[:16]
