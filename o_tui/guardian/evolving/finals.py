"""Several winners of races are confirmed together: e-BH says which of them are shown to be better (multiple.py).

Each is measured anew until its evidence would suffice for it alone among so many, or its pairs end; so the share of
false discoveries is at most alpha in the mean, and where none is better, the chance of any is at most alpha. A pair of
winners that both show much needs less of each than one of two does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from o_tui.evolution.arbiter import Decision
from o_tui.evolution.multiple import e_bh
from o_tui.guardian.evolving.measuring import Measured

MOST = 4
"""Winners that are measured again, the best first: each costs as much as one candidate does alone."""


def decide(measured: Mapping[str, Measured], alpha: float) -> tuple[str, Measured]:
    """Which revision it is, and what is said of it; its evidence holds what e-BH said of all.

    Of those that are shown better and hold every guard, the one with the most evidence; else one that leaves something
    for an operator to judge; else the first, with why not.
    """
    if len(measured) == 1:
        return next(iter(measured.items()))
    shown = e_bh({revision: found.shown for revision, found in measured.items()}, alpha)
    better = [revision for revision in shown if measured[revision].alone.verdict == "promote"]
    left = [revision for revision in shown if measured[revision].alone.shown]
    revision = next(iter([*better, *left, *measured]))
    found = measured[revision]
    said = f"e-BH: {len(shown)} of {len(measured)} winners measured again are shown better at {alpha:.0%}"
    decision = _decision(found, shown=revision in shown, better=bool(better), said=said)
    table = {
        "alpha": alpha,
        "winners": [
            {"revision": each, "e_value": round(one.shown, 4), "shown": each in shown, "verdict": one.decision.verdict}
            for each, one in measured.items()
        ],
    }
    told = {"confirmed": table, "decision": decision.verdict, "reasons": list(decision.reasons)}
    return revision, replace(found, evidence={**found.evidence, **told}, decision=decision)


def _decision(found: Measured, *, shown: bool, better: bool, said: str) -> Decision:
    """At the level that e-BH leaves to each; what is not among the shown is no evidence, whatever it were alone."""
    alone = found.alone
    if better or shown or not (alone.shown or alone.verdict == "promote"):
        return Decision(alone.verdict, (*alone.reasons, said), alone.shown)
    return Decision("no_evidence", (f"{said}; by itself it would be", *alone.reasons))
