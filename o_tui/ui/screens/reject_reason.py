"""Asks why a candidate is rejected: the reason goes into the audit and back to whoever made the candidate."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.widgets import Input

from o_tui.ui.format import shown
from o_tui.ui.screens.dialog import Dialog
from o_tui.ui.text import Static, Text

LONGEST = 500


class RejectScreen(Dialog[str]):
    """Gives the reason, or None when the operator thinks better of it."""

    about = "The reason is kept with the change, and told to who makes the next one."
    keys_help = (("Enter", "Reject."), ("Esc", "Leave it."))

    keys_line: ClassVar[str] = "Enter reject   Esc leave it"

    def __init__(self, identity: str, gene: str) -> None:
        super().__init__()
        self._identity = identity
        self._gene = gene

    def heading(self) -> str:
        """Which one."""
        return f"Reject {shown(self._identity, 40)}"

    def compose_box(self) -> ComposeResult:
        """Text, field, error line."""
        text = f"The change of {shown(self._gene, 60)} is not deployed. Its commit stays in the genome's repository.\n"
        yield Static(Text(text + "Why? The next candidate learns from it."))
        yield Input(id="reason", placeholder="type a reason, for example: too slow on long texts", max_length=LONGEST)
        yield Static(classes="error")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """A reason has words."""
        reason = event.value.strip()
        if reason:
            self.dismiss(reason)
        else:
            self.complain("say why, in a few words")
