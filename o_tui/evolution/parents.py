"""The few best of an archive, read once: an archive grows at its end, so each look reads what is new."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

SIZE = 8
_BEST_SHARE = 0.7
_EQUAL = 1e-9
"""Scores that differ by less than this part of them are equal: the same numbers, added up in another order."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A member of an archive: a higher score is better, -inf one that failed."""

    id: str
    source: str
    score: float
    parent: str = ""
    operator: str = ""


class Parents:
    """The best members, best first; of equal ones the newest, unless an operator made it that only adds."""

    def __init__(self, *, never_for_its_own_sake: Iterable[str] = ()) -> None:
        self.best: list[Scored] = []
        self._plain = frozenset(never_for_its_own_sake)
        self._first = self._last = ""
        self._read = 0

    def look(self, archive: Sequence[Scored]) -> Sequence[Scored]:
        """Reads what is new, or all of an archive that is not the one of before; returns what it read."""
        known = 0 < self._read <= len(archive) and (archive[0].id, archive[self._read - 1].id) == (
            self._first,
            self._last,
        )
        if not known:
            self.best, self._read = [], 0
        new = archive[self._read :]
        for member in new:
            self._add(member)
        if archive:
            self._read, self._first, self._last = len(archive), archive[0].id, archive[-1].id
        return new

    def _add(self, member: Scored) -> None:
        if not math.isfinite(member.score) or any(member.source == each.source for each in self.best):
            return
        later = member.operator in self._plain
        at = 0
        while at < len(self.best) and not _goes_before(member.score, self.best[at].score, later):
            at += 1
        self.best.insert(at, member)
        del self.best[SIZE:]

    def pick(self, random: Random, greedy: bool) -> Scored:
        """The best where `greedy`; else mostly the best, or one of the others, better ones more often."""
        if greedy or random.random() < _BEST_SHARE:
            return self.best[0]
        return self.best[min(random.randrange(len(self.best)), random.randrange(len(self.best)))]


def rank(score: float, scores: Sequence[float]) -> int:
    """How many of these scores are better than this one."""
    return sum(each > score and not equal(score, each) for each in scores)


def equal(one: float, other: float) -> bool:
    """Whether two scores differ by nothing that counts."""
    return abs(one - other) <= _EQUAL * max(abs(one), abs(other))


def _goes_before(score: float, other: float, later: bool) -> bool:
    return not later if equal(score, other) else score > other
