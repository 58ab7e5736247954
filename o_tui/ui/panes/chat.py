"""The pane Chat: talk with the agent."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Input, Static

from o_tui.ui.panes.base import Pane
from o_tui.ui.snapshot_model import Model, Part


class ChatPane(Pane):
    """Lists the turns, and sends what is written."""

    pane_id = "chat"
    number = 1
    title = "Chat"
    empty = "Say something."
    parts = frozenset({"requests"})

    def compose_content(self) -> ComposeResult:
        """Log and prompt."""
        with VerticalScroll(can_focus=False):
            yield Static(Text(self.empty), classes="rows")
        yield Input(id="prompt")

    def focus_target(self) -> Widget | None:
        """The prompt."""
        return self.query_one("#prompt")

    def update(self, model: Model, changed: frozenset[Part]) -> None:
        """Writes the turns."""
        rows = model.requests.values()
        lines = [f"you  {row.get('text')}\nO    {row.get('answer') or row.get('error')}" for row in rows]
        self.query_one(".rows", Static).update(Text("\n".join(lines) or self.empty))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Sends it."""
        self.ask("say", text=event.value)
        event.input.clear()
