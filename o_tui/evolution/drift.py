"""Sees that a figure has changed for the worse, while it is looked at all the time, with a stated rate of false alarms.

A conformal test martingale for change points (Vovk et al., "Retrain or not retrain", 2021): each value's rank among
those before it, ties broken by chance, is uniform as long as nothing changes, whatever the distribution. Bets on bad
ranks are added up by the procedure of Shiryaev and Roberts: as long as nothing changes, an alarm comes on average no
sooner than after `FALSE_ALARM_EVERY` values. That holds where values are exchangeable; a figure that drifts by nature
is watched by its differences. Pure: chance comes from the seed.
"""

from __future__ import annotations

import bisect
import math
import random
import statistics
from collections import deque
from dataclasses import dataclass
from typing import Literal

import msgspec

Kind = Literal["ratio", "difference"]

FALSE_ALARM_EVERY = 20_000
"""Least mean number of values between two false alarms of one detector."""
BASELINE = 50
"""Values that are only learned from."""
KEPT = 2_000
"""Values that ranks are taken among; later ones are ranked, and not kept."""
RECENT = 25
"""Values that say how large the change is."""
_POWERS = (0.15, 0.3, 0.5, 0.7)
"""Bets `power * rank ** (power - 1)`: steep ones see large changes soon, flat ones small ones at all."""
_LEAST_RANK = 1e-9


@dataclass(frozen=True, slots=True)
class Alarm:
    """A change that was seen: the figure before and now, and after how many values."""

    before: float
    now: float
    values: int
    evidence: float

    def figures(self) -> dict[str, float]:
        """Plain data."""
        return {"before": self.before, "now": self.now, "values": self.values, "evidence": self.evidence}


class _Learned(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """All that a detector knows."""

    known: list[float]
    recent: list[float]
    sums: list[float]
    values: int


class Detector:
    """One figure of one gene; larger is worse."""

    def __init__(self, kind: Kind, least: float, seed: int = 0) -> None:
        """Begins with nothing known.

        Args:
            kind: ratio: medians are compared, and `least` is a share of the one before. difference: means are, and
                `least` is what they differ by; for zeros and ones.
            least: The smallest change that is worth an alarm.
            seed: Of the chance that breaks ties.
        """
        self._kind = kind
        self._least = least
        self._random = random.Random(seed)
        self._sorted: list[float] = []
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._sums = [0.0] * len(_POWERS)
        self.values = 0

    def add(self, value: float) -> Alarm | None:
        """One more value; an alarm where the evidence is enough and the change is large enough. Then it begins anew."""
        if not math.isfinite(value):
            return None
        rank = self._rank(value)
        self.values += 1
        if self.values <= BASELINE:
            return None
        self._recent.append(value)
        self._sums = [
            (total + 1) * power * rank ** (power - 1) for total, power in zip(self._sums, _POWERS, strict=True)
        ]
        evidence = sum(self._sums) / len(self._sums)
        if evidence < FALSE_ALARM_EVERY or not self._is_large():
            return None
        alarm = Alarm(self._before(), self._now(), self.values, min(evidence, 1e300))
        self.forget()
        return alarm

    def state(self) -> bytes:
        """What it knows, for a detector that goes on where this one is."""
        return msgspec.msgpack.encode(_Learned(self._sorted, list(self._recent), self._sums, self.values))

    def restore(self, state: bytes) -> bool:
        """Goes on where another one was; False, and nothing is changed, where that is no state of a detector."""
        try:
            learned = msgspec.msgpack.decode(state, type=_Learned)
        except msgspec.MsgspecError:
            return False
        if len(learned.sums) != len(_POWERS) or learned.values < len(learned.known):
            return False
        self._sorted, self._sums, self.values = learned.known[:KEPT], learned.sums, learned.values
        self._recent = deque(learned.recent, maxlen=RECENT)
        return True

    def forget(self) -> None:
        """What comes from now on is compared with itself only: after an alarm, and where the code has changed."""
        self._sorted.clear()
        self._recent.clear()
        self._sums = [0.0] * len(_POWERS)
        self.values = 0

    def _rank(self, value: float) -> float:
        """The share of the values so far that are as bad or worse, this one counted: small for a bad one."""
        worse = len(self._sorted) - bisect.bisect_right(self._sorted, value)
        same = bisect.bisect_right(self._sorted, value) - bisect.bisect_left(self._sorted, value) + 1
        rank = (worse + self._random.random() * same) / (len(self._sorted) + 1)
        if len(self._sorted) < KEPT:
            bisect.insort(self._sorted, value)
        return max(rank, _LEAST_RANK)

    def _is_large(self) -> bool:
        before, now = self._before(), self._now()
        return now - before >= (self._least * before if self._kind == "ratio" else self._least)

    def _before(self) -> float:
        if self._kind == "difference":
            return statistics.fmean(self._sorted)
        return statistics.median(self._sorted)

    def _now(self) -> float:
        return statistics.fmean(self._recent) if self._kind == "difference" else statistics.median(self._recent)
