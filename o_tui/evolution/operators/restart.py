"""Several numbers at once, by steps of all sizes: a jump away from where every single step was tried.

It is not among the operators that take turns: it comes where none of them has anything new.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from o_tui.evolution.operators.literals import Literal, Number, literals, written
from o_tui.evolution.operators.module import Module
from o_tui.evolution.operators.operator import Change, Memory, Note, Operator, Result

MUTATION = 0.1
"""How likely a number is to be changed; two are, at least."""
_EXPONENT = 3.0
_LIMIT = 1e12


class Restart(Operator):
    """The operator."""

    name = "restart"

    def operate(self, module: Module, others: Sequence[Module], random: Random, memory: Memory) -> Change | None:
        """Some numbers, a pair of them at least, each by a step of a size of its own."""
        found = module.once(literals)
        if not found:
            return None
        taken = {at for at in range(len(found)) if random.random() < MUTATION}
        taken |= set(random.sample(range(len(found)), min(2, len(found))))
        edits = [(*found[at].span, written(_jumped(found[at], random))) for at in sorted(taken)]
        return Change(module.edited(edits), f"{len(taken)} of {len(found)} numbers anew")

    def learn(self, memory: Memory, note: Note, result: Result, score: float) -> None:
        """Nothing to learn: where it lands is chance."""


def _jumped(literal: Literal, random: Random) -> Number | bool:
    value = literal.value
    if isinstance(value, bool):
        return not value
    step = random.choice((-1.0, 1.0)) * literal.scale * 10 ** random.uniform(-_EXPONENT, _EXPONENT)
    new = max(-_LIMIT, min(_LIMIT, value + step))
    if not literal.signed:
        new = abs(new)
    return round(new) if isinstance(value, int) else float(f"{new:.6g}")
