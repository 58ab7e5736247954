"""How far a candidate of a population is measured: one of the better third goes on to more requests, others stop there.

Successive halving that waits for nobody (Li et al. 2020, "A system for massively parallel hyperparameter tuning"): each
rung has more requests than the one before, and who comes to it is compared with those who came before him. So a bad
candidate costs the first rung only, and the next one can be made of what is known by then.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from statistics import fmean

_WINDOW = 24
"""Who comes to a rung is compared with the last so many: a search climbs, its beginning is soon left behind."""
_SHARE = 3
"""One of so many goes on."""
_BELOW = 1e-6
"""How far who stopped on the way stays below the best at the end."""


class Halving:
    """The scores of a population at each rung; a higher one is better."""

    def __init__(self, rungs: int) -> None:
        """`rungs` is how many there are, 1 at least."""
        self.rungs = rungs
        self._seen = [deque[float](maxlen=_WINDOW) for _ in range(rungs)]
        self._lost: list[list[float]] = [[] for _ in range(rungs)]
        self._best = -math.inf

    def goes_on(self, rung: int, score: float) -> bool:
        """Whether who has this score after a rung (from 0 on) is measured further; who beats all the last ones is.

        Of equals the first goes on: most changes that change nothing here change nothing at all.
        """
        seen = self._seen[rung]
        before = sum(each >= score for each in seen)
        seen.append(score)
        return rung + 1 < self.rungs and before * _SHARE < len(seen)

    def worth(self, scores: Sequence[float]) -> float:
        """What somebody's scores, one a rung, are worth: the last one, for who has come to the end.

        Whoever is looked at briefly looks better by luck, and a rung's requests may be easy ones. By as much as others
        have lost from there to the end, in the mean, who stopped is taken to lose too; he is never the best.
        """
        if len(scores) == self.rungs:
            for lost, score in zip(self._lost, scores, strict=True):
                lost.append(scores[-1] - score)
            self._best = max(self._best, scores[-1])
            return scores[-1]
        lost = self._lost[len(scores) - 1]
        found = scores[-1] + (fmean(lost) if lost else 0.0)
        return min(found, self._best - _BELOW) if lost else found
