"""Hold everything: no evolution begins, none goes on to its next stage, nothing is deployed, until it is released.

A hold is a row, so it outlives the guardian; going back to earlier code is never held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from o_tui.guardian.evolving.seams import Operator
from o_tui.guardian.storage.learning_rows import LearningRows
from o_tui.protocol.errors import OError, RefusedError

REASON_CHARS = 500


class Holding:
    """The hold of one guardian."""

    def __init__(self, rows: LearningRows, told: Callable[[str, dict[str, Any]], None]) -> None:
        """`told` hears of each change: a sentence, and what views show (`row`)."""
        self._rows = rows
        self._told = told
        self._held: dict[str, Any] = {}

    async def load(self) -> None:
        """At the start: what the last guardian was told. What cannot be read holds, so that nothing happens unasked."""
        try:
            last = await self._rows.held()
        except OError as error:
            self._held = {"who": "the guardian", "reason": f"what was held cannot be read: {error}", "time_ns": 0}
        else:
            self._held = last if last is not None and last["verdict"] == "held" else {}

    def why(self) -> str:
        """Why nothing may be evolved; empty: nothing holds."""
        if not self._held:
            return ""
        reason = f": {self._held['reason']}" if self._held["reason"] else ""
        return f"held by {self._held['who']}{reason}"

    def row(self) -> dict[str, Any]:
        """For views: {held, who, reason, time_ns}."""
        held = self._held
        shown = {"who": held.get("who", ""), "reason": held.get("reason", ""), "time_ns": held.get("time_ns", 0)}
        return {"held": bool(held), **shown}

    async def hold(self, reason: str, operator: Operator) -> dict[str, Any]:
        """Holds, from now on and after a restart; raises RefusedError for one who may only look."""
        operator.may_decide()
        self._held = await self._rows.hold(verdict="held", who=operator.name, reason=reason.strip()[:REASON_CHARS])
        self._told(f"evolution is {self.why()}", self.row())
        return self.row()

    async def release(self, operator: Operator) -> dict[str, Any]:
        """Ends a hold; raises RefusedError where there is none."""
        operator.may_decide()
        if not self._held:
            raise RefusedError("nothing is held")
        await self._rows.hold(verdict="released", who=operator.name, reason="")
        self._held = {}
        self._told(f"{operator.name} released the hold on evolution", self.row())
        return self.row()
