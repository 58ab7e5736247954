"""Which operator comes next: discounted Thompson sampling, of gain in rank for what a try costs.

Beta-Bernoulli with fractional successes (Agrawal and Goyal 2012); counts fade, so that what helped early does not keep
its place for ever (Raj and Kalyani 2017, "Taming non-stationary bandits"): those of the operator that was tried fast,
those of the others slowly, or each would be believed in again whenever another had its turns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

FADE = 0.98
FADE_UNTRIED = 0.998
_PRIOR = (0.1, 5.0)
_COST_FLOOR = 0.2

Hopes = Mapping[str, tuple[float, float]]
"""Successes and failures that are believed in before there are any, by operator."""


class Credit:
    """What each operator has earned. `earned` is plain data: operator -> [successes, failures, cost, tries]."""

    def __init__(self, earned: Mapping[str, Sequence[float]] | None = None) -> None:
        self.earned = {name: list(row) for name, row in (earned or {}).items()}

    def pick(self, names: Sequence[str], random: Random, hopes: Hopes) -> str:
        """The operator whose drawn gain for its cost is largest."""
        usual = self._usual_cost()
        best, best_draw = names[0], -1.0
        for name in names:
            won, lost, cost, tries = self.earned.get(name, (0.0, 0.0, 0.0, 0.0))
            hoped, feared = hopes.get(name, _PRIOR)
            draw = random.betavariate(hoped + won, feared + lost)
            if usual and tries:
                draw /= max(_COST_FLOOR, cost / tries / usual)
            if draw > best_draw:
                best, best_draw = name, draw
        return best

    def note(self, name: str, gain: float, cost_s: float) -> None:
        """Counts one try with its gain in rank (0 to 1)."""
        self.earned.setdefault(name, [0.0, 0.0, 0.0, 0.0])
        for each, row in self.earned.items():
            fade = FADE if each == name else FADE_UNTRIED
            row[:] = [count * fade for count in row]
        row = self.earned[name]
        for at, more in enumerate((gain, 1.0 - gain, max(0.0, cost_s), 1.0)):
            row[at] += more

    def _usual_cost(self) -> float:
        tries = sum(row[3] for row in self.earned.values())
        return sum(row[2] for row in self.earned.values()) / tries if tries else 0.0
