"""Inputs that broke a candidate once, kept so that no later one is broken by them: what the red team has found.

An attack is a case of the prober with what was wrong. Two that show the same are one: the same unit of the gene, and
the same kind of wrong. Which way of changing cases is taken next is learned (discounted Thompson sampling).
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from o_tui.evolution.probe.case import Case, decode, encode

Kind = Literal["equal-to-reference", "raises", "property"]
_FIGURES = re.compile(r"\d+(\.\d+)?")
DISCOUNT = 0.98
"""How fast what was learned of a way fades, at each look."""


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """One kept input.

    Attributes:
        gene: The gene that it is kept for.
        function: The function or method that goes wrong.
        arguments: The whole case, as JSON.
        kind: What is expected: main's answer, no exception (or main's), or a property that main's answer has.
        expected: What was wrong, in words.
        found_by: The candidate's revision, the evolution, or the red team.
        where: The deepest line of the gene that an exception came through, as `function+line` from its beginning.
    """

    gene: str
    function: str
    arguments: str
    kind: Kind
    expected: str
    found_by: str = ""
    where: str = ""

    @property
    def signature(self) -> str:
        """The same for attacks that show the same fault: the unit, and what is wrong without its figures and values."""
        return signature(self.gene, self.function, self.expected, self.where)

    def case(self) -> Case:
        """The input. Raises ValueError: it cannot be read."""
        return decode(self.arguments)


def signature(gene: str, unit: str, text: str, where: str = "") -> str:
    """The same for faults that are the same: the unit, the kind of wrong, and the line where there is one."""
    wrong = text.partition(";")[0].partition(":")[0]
    words = " ".join(_FIGURES.sub("#", wrong).split()[:4]) if _kind(gene, text) != "equal-to-reference" else "answer"
    return f"{gene}/{unit}/{words}" + (f"@{where}" if where else "")


def attack(gene: str, case: Case, text: str, found_by: str, where: str = "") -> Attack:
    """An attack of what the prober has found."""
    return Attack(
        gene=gene,
        function=case.unit,
        arguments=encode(case),
        kind=_kind(gene, text),
        expected=text[:400],
        found_by=found_by,
        where=where,
    )


def _kind(gene: str, text: str) -> Kind:
    if text.startswith(("raises", "it ended", "never ends", "it does not end")):
        return "raises"
    # a gene may answer better: only the kind of its answer is meant
    return "equal-to-reference" if text.startswith("gives") and not gene else "property"


class Ways:
    """Which of some ways to go next: each has a Beta distribution of how often it led somewhere, that fades.

    Discounted Thompson sampling (Raj & Kalyani 2017): the ways that pay change while a module gets known.
    """

    def __init__(self, names: Sequence[str], state: Mapping[str, Any] | None = None) -> None:
        known: Mapping[str, Any] = state or {}
        self._paid = {name: [float(figure) for figure in known.get(name, (0.0, 0.0))] for name in names}

    def choose(self, random_: random.Random) -> str:
        """A way, the better ones more often."""
        drawn = {name: random_.betavariate(1 + won, 1 + lost) for name, (won, lost) in self._paid.items()}
        return max(drawn, key=lambda name: (drawn[name], name))

    def learn(self, name: str, won: bool) -> None:
        """What came of it."""
        for figures in self._paid.values():
            figures[0] *= DISCOUNT
            figures[1] *= DISCOUNT
        self._paid[name][0 if won else 1] += 1

    def state(self) -> dict[str, list[float]]:
        """All that was learned, as plain data."""
        return {name: list(figures) for name, figures in self._paid.items()}
