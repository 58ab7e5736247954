"""What the actions of the whole view do. A mixin of the app, so that the app itself stays short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from o_tui.protocol.errors import OError
from o_tui.ui import arrangement

if TYPE_CHECKING:
    from o_tui.ui.app import OApp


class AppActions:
    """`action_*` of the app; `perform` runs any action of the registry by its id."""

    @property
    def _me(self) -> OApp:
        return cast("OApp", self)

    async def perform(self, action_id: str) -> None:
        """Runs an action, of the app or of a pane (which comes to the front)."""
        where, _, verb = action_id.partition(".")
        app = self._me
        if where == "app":
            await app.run_action(verb, app)
            return
        app.frame.go(where)
        await app.run_action(verb, app.frame.panes[where])

    def action_goto_chat(self) -> None:
        """Goes to the chat."""
        self._me.frame.go("chat")

    def action_goto_shadows(self) -> None:
        """Goes to the shadows."""
        self._me.frame.go("shadows")

    def action_goto_vault(self) -> None:
        """Goes to the checkpoints."""
        self._me.frame.go("vault")

    def action_goto_review(self) -> None:
        """Goes to the review."""
        self._me.frame.go("review")

    def action_goto_events(self) -> None:
        """Goes to the events."""
        self._me.frame.go("events")

    def action_prompt(self) -> None:
        """Goes to the prompt."""
        self._me.frame.go("chat")

    def action_next_pane(self) -> None:
        """Goes to the next pane."""
        self._turn(1)

    def action_previous_pane(self) -> None:
        """Goes to the pane before."""
        self._turn(-1)

    def _turn(self, step: int) -> None:
        frame = self._me.frame
        order = arrangement.PANES
        frame.go(order[(order.index(frame.active) + step) % len(order)])

    def action_zoom(self) -> None:
        """One pane, or all that fit."""
        self._me.frame.zoomed = not self._me.frame.zoomed

    def action_review(self) -> None:
        """Goes to the change that waits longest."""
        pending = self._me.model.pending
        self._me.frame.go("review", pending[0]["id"] if pending else "")

    def action_find(self) -> None:
        """Opens the pane's filter."""
        frame = self._me.frame
        frame.panes[frame.active].find()

    def action_settings(self) -> None:
        """Opens the settings."""
        from o_tui.ui.screens.settings import SettingsScreen

        self._me.push_screen(SettingsScreen())

    def action_checkpoint(self) -> None:
        """Writes a checkpoint."""
        self._ask("checkpoint.create", "Checkpoint written", reason="by the operator")

    def _ask(self, method: str, said: str, **params: Any) -> None:
        app = self._me

        async def work() -> None:
            try:
                await app.link.call(method, **params)
            except OError as error:
                app.tell_error(error)
            else:
                app.tell(said)

        app.run_worker(work(), exit_on_error=False)

    def action_start_guardian(self) -> None:
        """Starts a stopped guardian."""
        self._me.link.retry_now(start=True)

    def action_quit_view(self) -> None:
        """Leaves."""
        self._me.exit(0)
