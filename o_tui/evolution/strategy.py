"""Which source of candidates is asked next, learned from how earlier ones ended: a bandit whose credit decays.

The gene `strategy` does this; what stands here is what counts where there is none, or where it fails. Pure: the same
outcomes and options give the same choice.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

DECAY = 0.9
"""What is left of a success's weight after each later outcome of the same gene or another."""
WORTH: Mapping[str, float] = {
    "promoted": 1.0,
    "pending": 0.8,
    "part": 0.6,
    "edit": 0.6,
    "no_evidence": 0.2,
    "rejected": 0.0,
    "failed": 0.0,
    "rolled_back": -1.0,
}
"""How good an ending is; one that had to be taken back is worse than one that was never deployed."""


def credit(outcomes: Sequence[Mapping[str, Any]], key: str = "source") -> dict[str, dict[str, float]]:
    """What each source (or, by another key, operator) has earned: {name: {tries, wins, losses}}; `tries` do not decay.

    Args:
        outcomes: Rows with `source`, `operator`, `outcome`, oldest first.
        key: By what they are told apart.
    """
    found: dict[str, dict[str, float]] = {}
    for row in outcomes:
        for known in found.values():
            known["wins"] *= DECAY
            known["losses"] *= DECAY
        name = str(row.get(key, ""))
        if not name:
            continue
        known = found.setdefault(name, {"tries": 0, "wins": 0.0, "losses": 0.0})
        worth = WORTH.get(str(row.get("outcome")), 0.0)
        known["tries"] += 1
        known["wins"] += max(0.0, worth)
        known["losses"] += 1.0 - worth
    return found


def choose(outcomes: Sequence[Mapping[str, Any]], options: Sequence[str]) -> str:
    """One of the options, by Thompson sampling of their chances of success.

    Raises:
        ValueError: There are no options.
    """
    if not options:
        raise ValueError("there is nothing to choose from")
    known = credit(outcomes)
    chance = random.Random(f"strategy {len(outcomes)}")

    def draw(name: str) -> float:
        earned = known.get(name, {"wins": 0.0, "losses": 0.0})
        return chance.betavariate(1.0 + earned["wins"], 1.0 + earned["losses"])

    return max([(draw(name), name) for name in options])[1]
