"""Evidence that may be looked at after every observation: betting martingales.

An e-process starts at 1 and, as long as the null hypothesis holds, never grows in the mean, whatever was seen before.
So the chance that it ever reaches 1/alpha is at most alpha (Ville's inequality), however often one looks. Each bets a
fixed share of its wealth on every increment; the mean over many shares needs no tuning and is an e-process again.

Sources: I. Waudby-Smith, A. Ramdas: Estimating means of bounded random variables by betting (JRSS B, 2023);
G. Shafer: Testing by betting (JRSS A, 2021); J. Shin, A. Ramdas, A. Rinaldo: E-detectors (NEJSDS, 2024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

BETS = tuple(round(0.02 + 0.05 * step, 2) for step in range(20))
"""Shares of the wealth that are bet, 0.02 to 0.97: small ones for weak effects, large ones for plain ones."""
BLOCK = 5
"""Paired log ratios of which the median makes one observation: heavy tails and stalls are gone from it."""


class EProcess:
    """Wealth of a bettor who bets on increments y in [-1, 1]; the null says that their mean, given the past, is <= 0.

    Every step is a supermartingale step under the null: E[1 + bet * y] <= 1 for each bet, hence for the mean of them
    (Waudby-Smith and Ramdas 2023, section 4).
    """

    __slots__ = ("_logs", "value")

    def __init__(self) -> None:
        self._logs = [0.0] * len(BETS)
        self.value = 1.0

    def add(self, increment: float) -> float:
        """One more increment; returns the evidence. Raises ValueError outside of [-1, 1]."""
        if not -1.0 <= increment <= 1.0:  # NaN as well
            raise ValueError(f"an increment lies within -1 and 1, not at {increment}")
        self._logs = [log + math.log1p(bet * increment) for log, bet in zip(self._logs, BETS, strict=True)]
        self.value = mixture(self._logs)
        return self.value


class ECusum:
    """An e-CUSUM: each bettor starts anew whenever he has lost, so a change is seen whenever it comes.

    Under the null it takes at least 1/alpha increments in the mean until the value reaches 1/alpha (Shin, Ramdas,
    Rinaldo 2024, theorem 2.3: a mixture of e-CUSUMs is an e-detector).
    """

    __slots__ = ("_logs", "value")

    def __init__(self) -> None:
        self._logs = [0.0] * len(BETS)
        self.value = 1.0

    def add(self, increment: float) -> float:
        """One more increment in [-1, 1]; returns the value. Raises ValueError outside."""
        if not -1.0 <= increment <= 1.0:
            raise ValueError(f"an increment lies within -1 and 1, not at {increment}")
        self._logs = [max(0.0, log) + math.log1p(bet * increment) for log, bet in zip(self._logs, BETS, strict=True)]
        self.value = mixture(self._logs)
        return self.value


class Blocks:
    """Medians of `BLOCK` consecutive values: the noise of single pairs, and their rare stalls, taken out.

    If the median of a single value is at most m, so is that of a block's median: a null on the one is one on the other.
    """

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: list[float] = []

    def add(self, value: float) -> float | None:
        """The block's median when this value fills it."""
        self._values.append(value)
        if len(self._values) < BLOCK:
            return None
        middle = median(self._values)
        self._values.clear()
        return middle


def sign(value: float) -> float:
    """The increment of a bet on a sign: 1 above zero; -1 below and at zero, since equality wins nobody anything."""
    return 1.0 if value > 0 else -1.0


def bounded(difference: float, margin: float) -> float:
    """The increment of a bet that a difference in [-1, 1] is larger than `margin` in the mean: within -1 and 1.

    The lower end of the range is mapped to -1, so that a bet never loses more than its stake.
    """
    return (difference - margin) / (1.0 + margin)


def mixture(logs: Sequence[float]) -> float:
    """The mean of the exponentials, at most 1e300."""
    highest = max(logs)
    log = highest + math.log(math.fsum(math.exp(value - highest) for value in logs) / len(logs))
    return math.exp(min(log, 690.0))
