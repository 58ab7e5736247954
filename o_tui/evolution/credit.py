"""Which operator comes next: discounted Thompson sampling, of gain in rank for what a try costs.

Beta-Bernoulli with a fractional success (Agrawal and Goyal 2012); all counts fade by a factor a try, so that what
helped early does not keep its place for ever (Raj and Kalyani 2017, "Taming non-stationary bandits").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

FADE = 0.985
_PRIOR = 1.0
_COST_FLOOR = 0.2


class Credit:
    """What each operator has earned. `earned` is plain data: operator -> [successes, failures, cost, tries]."""

    def __init__(self, earned: Mapping[str, Sequence[float]] | None = None) -> None:
        self.earned = {name: list(row) for name, row in (earned or {}).items()}

    def pick(self, names: Sequence[str], random: Random, hopes: Mapping[str, float]) -> str:
        """The operator whose drawn gain for its cost is largest; `hopes`: successes believed in before any try."""
        usual = self._usual_cost()
        best, best_draw = names[0], -1.0
        for name in names:
            won, lost, cost, tries = self.earned.get(name, (0.0, 0.0, 0.0, 0.0))
            draw = random.betavariate(hopes.get(name, _PRIOR) + won, _PRIOR + lost)
            if usual and tries:
                draw /= max(_COST_FLOOR, cost / tries / usual)
            if draw > best_draw:
                best, best_draw = name, draw
        return best

    def note(self, name: str, gain: float, cost_s: float) -> None:
        """Counts one try with its gain in rank (0 to 1), and lets all others fade a little."""
        for row in self.earned.values():
            row[:] = [each * FADE for each in row]
        row = self.earned.setdefault(name, [0.0, 0.0, 0.0, 0.0])
        for at, each in enumerate((gain, 1.0 - gain, max(0.0, cost_s), 1.0)):
            row[at] += each

    def _usual_cost(self) -> float:
        tries = sum(row[3] for row in self.earned.values())
        return sum(row[2] for row in self.earned.values()) / tries if tries else 0.0
