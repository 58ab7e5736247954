"""How an approval is given: not by a key that strayed here, not by a paste, not by habit.

`Gate` is the rule (pure, time is an argument); `ApprovalBar` is the field in which the new version is typed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from o_tui.ui.boundary import Guarded
from o_tui.ui.format import shown
from o_tui.ui.text import Static, Text

DEAD_S = 0.5
"""Keys that decide are dead for so long after the review got the focus or another change came up, and Enter for so
long after the field opened: what was meant for another pane, or is pasted by a terminal as keys, arrives within it."""


@dataclass(slots=True)
class Gate:
    """Since when the operator can have read what is shown."""

    clock: Callable[[], float] = monotonic
    since: float = field(default=float("-inf"))

    def close(self) -> None:
        """Something else is shown, or the focus has just come."""
        self.since = self.clock()

    @property
    def open(self) -> bool:
        """Whether a key may count."""
        return self.clock() - self.since >= DEAD_S


class _TypedInput(Input):
    """A field that takes typed characters only."""

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self.post_message(ApprovalBar.Pasted())

    def action_paste(self) -> None:
        """There is no pasting here."""
        self.post_message(ApprovalBar.Pasted())


class ApprovalBar(Guarded, Horizontal):
    """Asks for the new version; anything but exactly that closes it."""

    DEFAULT_CSS = """
    ApprovalBar { height: 1; display: none; }
    ApprovalBar Static { width: auto; }
    ApprovalBar Input { border: none; height: 1; padding: 0; width: 1fr; background: transparent; }
    ApprovalBar Input:focus { border: none; }
    """
    BINDINGS: ClassVar = [Binding("escape", "leave", "Leave", show=False)]

    @dataclass
    class Approved(Message):
        """The version was typed, by hand, in time."""

        identity: str
        digest: str

    @dataclass
    class Refused(Message):
        """It was not; nothing happened."""

        why: str

    class Pasted(Message):
        """Somebody pasted into the field."""

    def __init__(self, back: str, clock: Callable[[], float] = monotonic) -> None:
        """`back`: the selector of the sibling that gets the keys when the field goes."""
        super().__init__(id="approval")
        self._back = back
        self.gate = Gate(clock)
        self._identity = ""
        self._digest = ""
        self._version = ""

    def compose(self) -> ComposeResult:
        """Question and field."""
        yield Static(id="approval-question")
        yield _TypedInput(id="approval-version", select_on_focus=False, max_length=40)

    @property
    def open_for(self) -> str:
        """The evolution that it asks about; empty: it is closed."""
        return self._identity

    def ask(self, identity: str, digest: str, version: str) -> None:
        """Opens for exactly this diff."""
        self._identity, self._digest, self._version = identity, digest, version
        self.gate.close()
        question = Text("To approve ")
        question.append(f"{shown(identity, 30)} ({digest[:12]})", "bold")
        question.append(", type ")
        question.append(version, "bold")
        question.append(" and Enter: ")
        self.query_one("#approval-question", Static).update(question)
        self.query_one(Input).value = ""
        self.display = True
        self.query_one(Input).focus()

    def close(self) -> None:
        """Asks nothing any more."""
        self._identity = self._digest = self._version = ""
        field = self.query_one(Input)
        field.value = ""
        if field.has_focus and self.parent is not None:
            # before it is hidden: else the keys would go to any widget, perhaps of another pane
            self.screen.set_focus(self.parent.query_one(self._back, Widget))
        self.display = False

    def action_leave(self) -> None:
        """Esc."""
        self._refuse("Nothing was approved.")

    def _refuse(self, why: str) -> None:
        self.close()
        self.post_message(self.Refused(why))

    def on_approval_bar_pasted(self, message: Pasted) -> None:
        """A paste is no decision."""
        message.stop()
        self._refuse("A paste does not approve: the version has to be typed. Press A again.")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The moment of decision."""
        event.stop()
        typed, version = event.value.strip(), self._version
        if not self._identity:
            return
        if not self.gate.open:
            self._refuse("Too fast for a person: nothing was approved. Press A again.")
        elif typed != version:
            self._refuse(f"That is not {version}: nothing was approved.")
        else:
            identity, digest = self._identity, self._digest
            self.close()
            self.post_message(self.Approved(identity, digest))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Nobody else needs to hear of it."""
        event.stop()

    def on_input_blurred(self, event: Input.Blurred) -> None:
        """Who goes elsewhere has not decided."""
        event.stop()
        if self._identity:
            self._refuse("Nothing was approved.")
