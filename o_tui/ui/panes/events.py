"""The pane Events."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from o_tui.ui.panes.base import Pane
from o_tui.ui.snapshot_model import Model, Part

FIELDS = ("source", "kind", "text")


class EventsPane(Pane):
    """Lists what the model has."""

    pane_id = "events"
    number = 5
    title = "Events"
    empty = "Nothing has happened yet."
    parts = frozenset({"events"})

    def compose_content(self) -> ComposeResult:
        """One list."""
        with VerticalScroll(can_focus=True):
            yield Static(Text(self.empty), classes="rows")

    def update(self, model: Model, changed: frozenset[Part]) -> None:
        """Writes the rows."""
        lines = ["  ".join(str(row.get(name, "-")) for name in FIELDS) for row in model.events[-100:]]
        self.query_one(".rows", Static).update(Text("\n".join(lines) or self.empty))
