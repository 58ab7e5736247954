"""Sees code that is slow, or fails, only where it serves: a request in service, beside what its shadow makes of it."""

from __future__ import annotations

from o_tui.evolution.samples import Side
from o_tui.evolution.watch import ONCE_ALPHA, Failing, HarmWatch, Paired
from o_tui.guardian.evolving.seams import Served

SLOWER = 1.0
"""Code is to be seen that takes this share longer in service than on trial ..."""
FLOOR_NS = 5_000_000
"""... beyond this: an instance that serves is read by a loop that does other things too."""


class InService:
    """A watch over code in service; what it is compared with runs the same code without effects."""

    def __init__(self) -> None:
        self._watch = HarmWatch(latency=SLOWER)
        self._failing = Failing(ONCE_ALPHA)

    def add(self, served: Served, shadow: Side, shadow_ok: bool) -> str:
        """One more request, which the shadow's first try answered or not; one line once harm is shown, else ""."""
        if self._failing.add(not shadow_ok, not served.ok):
            other = f"{self._failing.only_main} the other way round"
            return f"{self._failing.only_candidate} requests failed in service that it answers on trial ({other})"
        if not served.ok or not served.active_ns or not shadow.ok:
            return ""
        pair = Paired(0, 0, shadow.wall_ns + FLOOR_NS, served.active_ns + FLOOR_NS)
        if not self._watch.add(pair):
            return ""
        took_ms, trial_ms = served.active_ns / 1e6, shadow.wall_ns / 1e6
        return f"it is slower in service than on trial: {took_ms:.1f} ms, {trial_ms:.1f} ms for the same request"
