"""What one evolution may cost: requests given to shadows, CPU seconds, tokens and money of a model, and time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

_NAMES = {
    "requests": "requests",
    "cpu_s": "CPU seconds",
    "tokens": "tokens of the model",
    "money": "of the money",
    "wall_s": "seconds",
}


class BudgetSpentError(Exception):
    """The budget is spent; the text says which part of it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """An amount of everything; as a limit, 0 is none."""

    requests: int = 0
    cpu_s: float = 0.0
    tokens: int = 0
    money: float = 0.0
    wall_s: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        """Both together."""
        return Cost(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def row(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


NOTHING = Cost()


class Budget:
    """What was spent of a limit. Time passes from the first `check` on; `clock` tells seconds."""

    def __init__(self, limit: Cost, clock: Callable[[], float] = time.monotonic, spent: Cost = NOTHING) -> None:
        self.limit = limit
        self.spent = spent
        self._clock = clock
        self._before_s = spent.wall_s
        self._began_s: float | None = None

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Budget:
        """Goes on from what `row` gave."""
        return cls(Cost(**row["limit"]), spent=Cost(**row["spent"]))

    def spend(self, cost: Cost) -> None:
        """Adds what was spent already; `check` says whether more may be."""
        self.spent += cost

    def rest(self, rested_s: float) -> None:
        """For so long nothing was done: that is no time of its own."""
        if self._began_s is not None:
            self._began_s += rested_s

    def check(self, part: float = 1.0) -> None:
        """Raises BudgetSpentError where nothing more may be spent, or nothing of this part of it."""
        if self._began_s is None:
            self._began_s = self._clock()
        self.spent = replace(self.spent, wall_s=round(self._before_s + self._clock() - self._began_s, 3))
        for name, text in _NAMES.items():
            limit, spent = getattr(self.limit, name), getattr(self.spent, name)
            if limit and spent >= limit * part:
                raise BudgetSpentError(f"the budget is spent: {spent:,.6g} of {limit * part:,.6g} {text}")

    def requests_left(self) -> int | None:
        """How many requests may still be given; None: as many as wanted."""
        return max(0, self.limit.requests - self.spent.requests) if self.limit.requests else None

    def row(self) -> dict[str, Any]:
        """For the evolution's row: {limit, spent}."""
        return {"limit": self.limit.row(), "spent": self.spent.row()}


def limit_of(given: Mapping[str, Any], default: Cost) -> Cost:
    """The limits that were given, the defaults for the others.

    Raises:
        ValueError: One is unknown, or no number from 0.
    """
    values = default.row()
    for name, value in given.items():
        if name not in values:
            raise ValueError(f"a budget has no {name[:40]!r}; it has {', '.join(values)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
            raise ValueError(f"{name} of a budget is a number from 0, not {str(value)[:40]!r}")
        values[name] = type(values[name])(value)
    return Cost(**values)
