"""The pane Shadows."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from o_tui.ui.panes.base import Pane
from o_tui.ui.snapshot_model import Model, Part

FIELDS = ("id", "role", "state", "requests", "p50_ms", "verdict")


class ShadowsPane(Pane):
    """Lists what the model has."""

    pane_id = "shadows"
    number = 2
    title = "Shadows"
    empty = "No shadow runs. One starts when a change is tried: /evolve in the chat."
    parts = frozenset({"shadows"})

    def compose_content(self) -> ComposeResult:
        """One list."""
        with VerticalScroll(can_focus=True):
            yield Static(Text(self.empty), classes="rows")

    def update(self, model: Model, changed: frozenset[Part]) -> None:
        """Writes the rows."""
        lines = ["  ".join(str(row.get(name, "-")) for name in FIELDS) for row in model.shadows.values()]
        self.query_one(".rows", Static).update(Text("\n".join(lines) or self.empty))
