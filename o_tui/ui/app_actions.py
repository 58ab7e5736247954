"""What the actions of the whole view do. A mixin of the app, so that the app itself stays short."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from o_tui.protocol import safe_text
from o_tui.protocol.errors import OError
from o_tui.ui import actions, arrangement
from o_tui.ui.messages import CopyRequested
from o_tui.ui.terminal import clipboard

if TYPE_CHECKING:
    from o_tui.ui.app import OApp
    from o_tui.ui.screens.help import Explained


class AppActions:
    """`action_*` of the app; `perform` runs any action of the registry by its id."""

    _greeted = False

    @property
    def _me(self) -> OApp:
        return cast("OApp", self)

    async def perform(self, action_id: str) -> None:
        """Runs an action, of the app or of a pane (which comes to the front).

        A list that has the keys keeps them, as for the action's key: it is its row that is meant. A field does not:
        who does something else has not finished what is typed there.
        """
        from textual.widgets import Input

        where, _, verb = action_id.partition(".")
        app = self._me
        if where == "app":
            await app.run_action(verb, app)
            return
        app.frame.uncover()
        pane = app.frame.panes[where]
        if not pane.has_focus_within or isinstance(app.frame.focused, Input):
            app.frame.go(where)
        await app.run_action(verb.replace(".", "_"), pane)

    # --- panes

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
        self._me.frame.uncover()
        self._me.frame.zoomed = not self._me.frame.zoomed

    def action_review(self) -> None:
        """Goes to the change that waits longest."""
        pending = self._me.model.pending
        self._me.frame.go("review", pending[0]["id"] if pending else "")

    def action_statistics(self) -> None:
        """Asks for the figures and shows them."""
        app = self._me

        def done(value: Any) -> None:
            from o_tui.ui.screens.statistics import StatisticsScreen

            app.push_screen(StatisticsScreen(value, ascii_only=app.ascii_only))

        app.frame.panes[app.frame.active].ask("evolution.statistics", done)

    def action_find(self) -> None:
        """Opens the pane's filter."""
        frame = self._me.frame
        frame.uncover()
        pane = frame.panes[frame.active]
        pane.attempt(pane.find)

    # --- leader

    def action_leader(self) -> None:
        """The next key is an action's letter."""
        self._me.leading = True
        self._me.frame.present_lines()

    def leader_actions(self) -> list[tuple[actions.Action, str]]:
        """What a letter after Space does."""
        return [(action, action.leader) for action in self._me.all_actions() if action.leader]

    async def lead(self, key: str) -> None:
        """Takes the key after the leader; any other key only ends it."""
        self._me.leading = False
        for action, letter in self.leader_actions():
            if letter == key:
                await self.perform(action.id)
        self._me.frame.present_lines()

    # --- screens

    def action_help(self) -> None:
        """Shows the help, or closes it."""
        from o_tui.ui.screens.help import HelpScreen

        app = self._me
        if isinstance(app.screen, HelpScreen):
            app.pop_screen()
        elif app.screen is app.frame or hasattr(app.screen, "about"):
            above = None if app.screen is app.frame else cast("Explained", app.screen)
            app.push_screen(HelpScreen(app.frame.panes[app.frame.active], above))

    def action_pane_help(self) -> None:
        """The same, by `?`."""
        self.action_help()

    def action_palette(self) -> None:
        """Opens the palette."""
        from o_tui.ui.screens.palette import open_palette

        open_palette(self._me)

    def action_settings(self) -> None:
        """Opens the settings."""
        from o_tui.ui.screens.settings import SettingsScreen

        if not isinstance(self._me.screen, SettingsScreen):
            self._me.frame.uncover()
            self._me.push_screen(SettingsScreen())

    def action_theme(self) -> None:
        """Opens the choice of themes."""
        from o_tui.ui.screens.theme_choice import ThemeChoice

        if self._me.screen is self._me.frame:
            self._me.push_screen(ThemeChoice())

    def greet(self) -> None:
        """The first questions, once, when nobody has answered or skipped them."""
        app = self._me
        brain = app.model.config.get("brain")
        if self._greeted or not isinstance(brain, dict) or brain.get("onboarded", True):
            return
        self._greeted = True
        from o_tui.ui.screens.onboarding import OnboardingScreen

        app.push_screen(OnboardingScreen())

    def action_quit_view(self) -> None:
        """Leaves as the settings say: asks, stops the guardian, or lets it run."""
        from o_tui.ui.screens.quit import QuitScreen

        app = self._me
        how = app.config.screen.quit
        if isinstance(app.screen, QuitScreen):
            # the app's own priority key comes first: pressed again it answers the question
            app.screen.action_again()
            return
        if app.link.state != "connected":
            app.exit(0)
        elif how == "stop":
            self.leave("stop")
        elif how == "detach" and not app.embedded:
            self.leave("detach")
        else:
            app.push_screen(QuitScreen(app.embedded), self.leave)

    def leave(self, how: str | None) -> None:
        """Ends the view: `stop` ends the guardian before, `detach` lets it run, anything else stays."""
        app = self._me
        if how == "detach":
            app.exit(0)
        elif how == "stop":
            app.run_worker(self._stop_and_exit(), exit_on_error=False)

    async def _stop_and_exit(self) -> None:
        app = self._me
        if not app.embedded:
            try:
                await app.link.call("stop")
            except OError as error:
                app.tell_error(error)
                return
        app.exit(0)

    # --- the guardian

    def action_checkpoint(self) -> None:
        """Writes a checkpoint."""
        self._ask(
            "checkpoint.create", lambda value: f"Checkpoint {value.get('id', '')} written.", reason="by the operator"
        )

    def action_rollback(self) -> None:
        """Goes back to the genome before."""
        self._ask("rollback", self._me.chat.commander.rolled_back)

    def action_start_guardian(self) -> None:
        """Starts a stopped guardian."""
        self._me.link.start_now()

    def _ask(self, method: str, said: Callable[[dict[str, Any]], str], **params: Any) -> None:
        app = self._me

        async def work() -> None:
            try:
                value = await app.link.call(method, **params)
            except OError as error:
                app.tell_error(error)
            else:
                app.tell(said(value if isinstance(value, dict) else {}))

        app.run_worker(work(), exit_on_error=False)

    # --- copying

    def action_copy_selection(self) -> None:
        """Copies what the mouse selected; without a selection says how to leave."""
        app = self._me
        text = app.screen.get_selected_text()
        if text:
            self.copy(text, "the selection")
        else:
            app.tell("Nothing is selected. Ctrl+Q leaves, Esc stops an answer.")

    def copy_to_clipboard(self, text: str) -> None:
        """What Textual's own widgets call."""
        self.copy(text, "the selection")

    def on_copy_requested(self, message: CopyRequested) -> None:
        """A pane wants something copied."""
        self.copy(message.text, message.what)

    def copy(self, text: str, what: str) -> None:
        """Copies by OSC 52, or into a file where the terminal would not take it; says what happened.

        What is copied is what was seen: it must not act where it is pasted.
        """
        app, text = self._me, safe_text.safe(text)
        outcome = clipboard.plan(text, app.paths.data / "copied.txt")
        app._clipboard = text
        if outcome.sequence and app._driver is not None:
            app._driver.write(outcome.sequence)
        app.tell(outcome.sentence.format(what=what))
