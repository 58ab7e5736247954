"""The agent's lifecycle (seeds): initializing, running, evolving, suspended, terminated. It is part of the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from o_tui.protocol import operations
from o_tui.protocol.errors import OError
from o_tui.protocol.operations import Lifecycle as State


class Lifecycle:
    """What the agent is doing as a whole. `append` makes an operation of the guardian's own durable everywhere."""

    def __init__(self, append: Callable[[str, bytes], Awaitable[None]], changed: Callable[[State], None]) -> None:
        self.state: State = "initializing"
        self._append = append
        self._changed = changed

    async def enter(self, state: State, *, again: bool = False) -> None:
        """Enters a state; `again`: also if it is the present one (the agent's state was replaced).

        A disk that takes nothing is no reason not to: the log says it when it can be written again.
        """
        if state == self.state and not again:
            return
        self.state = state
        try:
            await self._append(*operations.pack(operations.LifecycleChange(state=state)))
        except OError:
            pass
        self._changed(state)
