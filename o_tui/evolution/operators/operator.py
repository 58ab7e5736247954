"""What an operator is: it makes one change to a module, and is told how that went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, Protocol

from o_tui.evolution.operators.module import Module

Memory = dict[str, Any]
"""What an operator remembers: plain data, so that a search can be put down and taken up."""
Note = dict[str, Any]
"""What it wants to be told again when its change has been measured: plain data."""
Result = Literal["better", "same", "worse", "failed", "dropped"]
"""How a child did beside its parent; dropped: it was not tried, the like was seen before or it does not compile."""


@dataclass(frozen=True, slots=True)
class Change:
    """A new source.

    Attributes:
        text: The whole module.
        detail: What was changed, in one line.
        note: Comes back with the result.
        other: Which of the others has given something to it.
    """

    text: str
    detail: str
    note: Note = field(default_factory=dict)
    other: int | None = None


class Operator(Protocol):
    """One way to change a module. It holds nothing itself: what it learns is in `memory`."""

    name: str

    def operate(self, module: Module, others: Sequence[Module], random: Random, memory: Memory) -> Change | None:
        """A change of `module`, or None where it finds nothing (more) to change.

        Args:
            module: What is changed.
            others: Other good modules, best first.
            random: The only source of chance.
            memory: Its own, changed in place.
        """
        ...

    def eager(self, module: Module, memory: Memory) -> bool:
        """Whether it has a change of `module` that should be tried before any other operator's."""
        return False

    def learn(self, memory: Memory, note: Note, result: Result, score: float) -> None:
        """Hears how a change did."""
