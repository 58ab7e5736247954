"""Asks before a part of a change is tried on its own, and why the rest is not wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.widgets import Input

from o_tui.ui.diff.marks import State
from o_tui.ui.format import count, shown
from o_tui.ui.screens.dialog import Dialog
from o_tui.ui.screens.reject_reason import LONGEST
from o_tui.ui.text import Static, Text


class PartScreen(Dialog[str]):
    """Gives the reason (it may be empty), or None when the operator thinks better of it."""

    about = (
        "Only a part of the change was accepted: that is code which no shadow has run. It goes back to "
        "the shadow, and waits for you again if it holds."
    )
    keys_help = (("Enter", "Try this part."), ("Esc", "Leave it."))

    keys_line: ClassVar[str] = "Enter try this part   Esc leave it"

    def __init__(self, identity: str, lines: int, hunks: Mapping[State, int]) -> None:
        super().__init__()
        self._identity = identity
        self._lines = lines
        self._hunks = hunks

    def heading(self) -> str:
        """Of which one."""
        return f"Keep a part of {shown(self._identity, 40)}"

    def compose_box(self) -> ComposeResult:
        """What will happen, the reason."""
        hunks = ", ".join(f"{number} {state}" for state, number in self._hunks.items() if number)
        yield Static(
            Text(
                f"{count(self._lines)} changed lines stay (hunks: {hunks}). Nobody has run this code yet: it becomes a "
                "candidate of its own, is checked and goes to a shadow. Then it waits for you again.\n"
                "Why is the rest not wanted? The next candidate learns from it."
            )
        )
        yield Input(id="reason", placeholder="a reason, or nothing", max_length=LONGEST)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """With or without a reason."""
        self.dismiss(event.value.strip())
