"""Money: amounts in cents, shares of them, exact sums."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One line of a bill."""

    what: str
    cents: int
    count: int = 1


def balanced(entries: list[float]) -> bool:
    """Whether what was booked adds up to nothing, exactly."""
    return math.fsum(entries) == 0.0


def total(lines: list[Line], rebate: int = 0) -> int:
    """Cents, less a rebate in per cent, cut to whole cents in favour of the buyer; never below 0."""
    whole = sum(line.cents * line.count for line in lines)
    return max(0, whole - -(-whole * rebate // 100))


def shares(cents: int, weights: list[int]) -> list[int]:
    """Split by weights; the cents that are left go to the largest remainders, of equal ones to the first."""
    whole = sum(weights)
    if whole <= 0 or min(weights) < 0:
        raise ValueError("weights must be positive")
    made = [cents * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda place: (-(cents * weights[place] % whole), place))
    for place in order[: cents - sum(made)]:
        made[place] += 1
    return made


def change(cents: int, coins: list[int]) -> list[int] | None:
    """The fewest coins, largest first; None: it cannot be done."""
    best: list[list[int] | None] = [[]] + [None] * max(0, cents)
    for amount in range(1, cents + 1):
        for coin in sorted({coin for coin in coins if coin > 0}, reverse=True):
            rest = best[amount - coin] if amount >= coin else None
            known = best[amount]
            if rest is not None and (known is None or len(rest) + 1 < len(known)):
                best[amount] = sorted([*rest, coin], reverse=True)
    return best[cents] if cents >= 0 else None


def rounded(cents: int, step: int = 5) -> int:
    """To the nearest step, halves away from zero."""
    if step < 1:
        raise ValueError("step must be positive")
    whole, rest = divmod(abs(cents), step)
    near = (whole + (2 * rest >= step)) * step
    return near if cents >= 0 else -near


def rate(cents: int, hours: int) -> int:
    """Cents an hour, rounded down: a debt grows, it does not shrink."""
    return cents // hours if hours else 0
