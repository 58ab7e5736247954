"""The pane Review under test: its guardian, the clock of its gates, and how an operator approves."""

from __future__ import annotations

from o_tui.ui.panes.approval import DEAD_S
from o_tui.ui.panes.review import ReviewPane
from tests.support import scripted_data
from tests.support.panes import Opened, evolution, with_evolutions
from tests.support.scripted_link import ScriptedGuardian

VERSION = "0.1.1"


class Clock:
    """The time that the gates see."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self) -> None:
        """The dead time is over."""
        self.now += DEAD_S


def one(guardian: ScriptedGuardian) -> None:
    with_evolutions(evolution())(guardian)
    guardian.handlers["status"] = lambda: {"genome": {"revision": "9f3c1e0b5d7a", "version": "0.1.0"}}
    guardian.handlers["approve"] = lambda id, digest, evidence: evolution(state="promoted", version=VERSION, by="ada")
    guardian.handlers["reject"] = lambda id, reason: evolution(state="rejected", reason=reason, by="ada")


def two(guardian: ScriptedGuardian) -> None:
    with_evolutions(evolution(), evolution(id="ev-18", gene="respond", time_ns=scripted_data.NOW))(guardian)


async def review(view: Opened) -> tuple[ReviewPane, Clock]:
    """The pane with its change shown and a clock that stands still; the dead time has just begun."""
    pane = view.app.frame.panes["review"]
    assert isinstance(pane, ReviewPane)
    clock = Clock()
    pane.gate.clock = pane.bar.gate.clock = clock
    await view.go("review")
    await view.until(lambda: pane._item and pane.diff.has_focus)
    pane.gate.close()
    return pane, clock


async def approve(view: Opened, pane: ReviewPane, clock: Clock, version: str = VERSION) -> None:
    clock.wait()
    await view.press("A")
    await view.until(lambda: pane.bar.open_for)
    await view.press(*version)
    clock.wait()
    await view.press("enter")


def keeps_parts(guardian: ScriptedGuardian) -> None:
    one(guardian)
    guardian.handlers["evolution.accept_part"] = lambda id, digest, keep, reason: {"evolution": "ev-20"}
