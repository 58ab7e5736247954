"""Which source of changes is asked next, learned from how earlier ones ended: chances of success, drawn by luck.

What happened long ago counts less. A source that was never tried has its chance, and one that fails keeps a small one.
"""

from __future__ import annotations

import random
from typing import Any

DECAY = 0.9
PROMOTED = 1.0
PENDING = 0.8
NO_EVIDENCE = 0.2
ROLLED_BACK = -1.0
FIRST_WINS = 1.0
FIRST_LOSSES = 1.0


def choose(outcomes: list[dict[str, Any]], options: list[str]) -> str:
    """One of the options.

    `outcomes` are the ended candidates, oldest first, with `gene`, `source`, `operator`, `outcome` and `cost_s`.
    """
    wins = dict.fromkeys(options, 0.0)
    losses = dict.fromkeys(options, 0.0)
    for outcome in outcomes:
        for name in options:
            wins[name] *= DECAY
            losses[name] *= DECAY
        if outcome["source"] in wins:
            worth = value(outcome["outcome"])
            wins[outcome["source"]] += max(0.0, worth)
            losses[outcome["source"]] += 1.0 - worth
    luck = random.Random(f"strategy {len(outcomes)}")
    return max(options, key=lambda name: luck.betavariate(FIRST_WINS + wins[name], FIRST_LOSSES + losses[name]))


def value(outcome: str) -> float:
    """How good an ending is; what had to be taken back is worse than what was never deployed."""
    known = {"promoted": PROMOTED, "pending": PENDING, "no_evidence": NO_EVIDENCE, "rolled_back": ROLLED_BACK}
    return known.get(outcome, 0.0)
