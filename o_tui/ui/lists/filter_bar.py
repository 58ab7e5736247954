"""The one-line filter at the foot of a list: opens with `/`, filters while one types, Enter keeps it, Esc drops it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from o_tui.ui.boundary import Guarded
from o_tui.ui.text import Static, Text


class FilterBar(Guarded, Horizontal):
    """A text field that is there only while it is used or has something in it."""

    DEFAULT_CSS = """
    FilterBar { height: 1; display: none; }
    FilterBar Static { width: auto; }
    FilterBar Input { border: none; height: 1; padding: 0; width: 1fr; background: transparent; }
    FilterBar Input:focus { border: none; }
    """
    BINDINGS: ClassVar = [
        Binding("escape", "drop", "Drop", show=False),
        Binding("down", "step(1)", "Next", show=False),
        Binding("up", "step(-1)", "Previous", show=False),
    ]

    @dataclass
    class Changed(Message):
        """Another filter text."""

        text: str

    @dataclass
    class Left(Message):
        """The keys go back to the list; `kept`: the filter stays."""

        text: str
        kept: bool

    @dataclass
    class Stepped(Message):
        """Up or down while typing."""

        step: int

    def __init__(self, label: str, placeholder: str, back: str, *, id: str | None = None) -> None:
        """`back`: the selector of the sibling that gets the keys when the field goes."""
        super().__init__(id=id)
        self._back = back
        self._label = label
        self._placeholder = placeholder

    def compose(self) -> ComposeResult:
        """Label and field."""
        yield Static(Text(f"{self._label} / "))
        yield Input(placeholder=self._placeholder, select_on_focus=False)

    @property
    def text(self) -> str:
        """What is in the field, without blanks around it."""
        return self.query_one(Input).value.strip()

    def open(self) -> None:
        """Shows the field and gives it the keys."""
        self.display = True
        self.query_one(Input).focus()

    def action_drop(self) -> None:
        """Empties it and goes."""
        self.query_one(Input).value = ""
        self._return()
        self.post_message(self.Left("", kept=False))

    def _return(self) -> None:
        # the keys go first: a hidden field with the focus would hand them to any widget, perhaps of another pane
        if self.query_one(Input).has_focus and self.parent is not None:
            self.screen.set_focus(self.parent.query_one(self._back, Widget))
        self.display = bool(self.text)

    def action_step(self, step: int) -> None:
        """Moves in the list while typing."""
        self.post_message(self.Stepped(step))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filters at once."""
        event.stop()
        self.post_message(self.Changed(event.value.strip()))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keeps the filter; an empty one closes the field."""
        event.stop()
        self._return()
        self.post_message(self.Left(self.text, kept=True))


def matches(query: str, *texts: object) -> bool:
    """Whether every word of the filter is in one of the texts, whatever the case."""
    joined = "\n".join(str(text) for text in texts).casefold()
    return all(word in joined for word in query.casefold().split())
