"""The supervision tree of a guardian."""

from __future__ import annotations

from collections.abc import Callable

from o_tui.config import HealthConfig
from o_tui.guardian.effects import Effects
from o_tui.guardian.fleet.fleet import Fleet
from o_tui.guardian.supervision import machine as sv
from o_tui.guardian.supervision.machine import ChildSpec
from o_tui.guardian.supervision.runner import Happened, Supervisor


def new_tree(
    fleet: Fleet, effects: Effects, health: HealthConfig, on_happened: Callable[[Happened], None]
) -> Supervisor:
    """Three supervisors, each of which may give up for itself: what then is the ladder's to decide."""

    def group(name: str, *children: ChildSpec) -> ChildSpec:
        spec = sv.SupervisorSpec(children, "one_for_one", health.max_restarts, health.max_seconds)
        return sv.nested(name, spec, restart="transient")

    groups = (
        group("forks", ChildSpec("nursery", fleet.start_nursery, shutdown=2.0)),
        group("effects", ChildSpec("broker", effects.start_broker, shutdown=2.0)),
        group(
            "agents",
            ChildSpec("main", fleet.start_main, shutdown=3.0),
            ChildSpec("standby", fleet.start_standby, shutdown=1.0),
        ),
    )
    return Supervisor("guardian", sv.SupervisorSpec(groups), on_happened=on_happened)
