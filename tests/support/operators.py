"""What an operator makes of a source, for tests of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from o_tui.evolution.operators.module import Module, kept, parse
from o_tui.evolution.operators.operator import Operator


def changes(
    operator: Operator, text: str, seed: int, count: int, others: Sequence[str] = ()
) -> list[tuple[Module, str]]:
    """What an operator makes of a source, one change after the other, as far as it is kept: (before, after)."""
    module, random, memory = parse(text), Random(seed), {}
    modules = [parse(each) for each in others]
    found = []
    for _ in range(count):
        change = operator.operate(module, modules, random, memory)
        if change is None:
            break
        child = kept(module, change.text)
        operator.learn(memory, change.note, "better" if child else "dropped", random.random())
        if child is not None:
            found.append((module, change.text))
            module = child
    return found
