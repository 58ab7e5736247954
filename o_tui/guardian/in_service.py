"""Sees code that is slow only where it serves: what a request took in service, beside what its shadow takes for it."""

from __future__ import annotations

from o_tui.evolution.samples import Side
from o_tui.evolution.watch import HarmWatch, Paired
from o_tui.guardian.seams import Served

SLOWER = 1.0
"""Code is to be seen that takes this share longer in service than on trial ..."""
FLOOR_NS = 5_000_000
"""... beyond this: an instance that serves is read by a loop that does other things too."""


class InService:
    """A watch over code in service; what it is compared with runs the same code without effects."""

    def __init__(self) -> None:
        self._watch = HarmWatch(latency=SLOWER)

    def add(self, served: Served, shadow: Side) -> str:
        """One more request; one line once it is shown, until then ""."""
        if not served.active_ns or not shadow.ok:
            return ""
        pair = Paired(True, True, shadow.wall_ns + FLOOR_NS, served.active_ns + FLOOR_NS)
        if not self._watch.add(pair):
            return ""
        took_ms, trial_ms = served.active_ns / 1e6, shadow.wall_ns / 1e6
        return f"it is slower in service than on trial: {took_ms:.1f} ms, {trial_ms:.1f} ms for the same request"
