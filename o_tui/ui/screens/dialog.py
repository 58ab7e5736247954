"""Base of the small screens that open above the panes when the operator asked for something: a box, Esc closes."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen

from o_tui.ui.text import Static, Text, entitle

T = TypeVar("T")


class Modal(ModalScreen[T], Generic[T]):
    """A screen above the panes that is closed once, however fast keys come.

    Attributes:
        about: What F1 says of it; empty: nothing.
        keys_help: The keys that F1 lists, each with a sentence.
    """

    about: ClassVar[str] = ""
    keys_help: ClassVar[tuple[tuple[str, str], ...]] = (("Esc", "Close."),)

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Closes it; a key that comes before it is gone must not close the screen below, or none."""
        return super().dismiss(result) if self.app.screen is self else AwaitComplete()


class Dialog(Modal[T], Generic[T]):
    """A box with a title in its frame; `compose_box` yields what is in it. Esc or a click outside gives None."""

    DEFAULT_CSS = """
    Dialog { align: center middle; }
    Dialog > .box {
        width: 76; max-width: 96%; height: auto; max-height: 94%;
        border: round $border; border-title-style: bold; border-title-color: $foreground;
        border-subtitle-color: $text-muted;
        background: $background; padding: 0 1;
    }
    Dialog .error { color: $text-error; height: auto; display: none; }
    Dialog .error.-shown { display: block; }
    Dialog Static { height: auto; }
    Dialog Input { border: none; height: 1; padding: 0 1; background: $panel; margin: 1 0 0 0; }
    Dialog Input:focus { border: none; }
    """
    BINDINGS: ClassVar = [Binding("escape", "leave", "Close", show=False)]
    box_title: ClassVar[str] = ""
    keys_line: ClassVar[str] = "Esc close"

    def compose(self) -> ComposeResult:
        """The box."""
        with Vertical(classes="box"):
            yield from self.compose_box()

    def compose_box(self) -> ComposeResult:
        """What is in the box."""
        yield from ()

    def on_mount(self) -> None:
        """Title and keys stand in the frame; toasts would cover them."""
        self.app.clear_notifications()
        entitle(self.query_one(".box"), self.heading(), self.keys())

    def heading(self) -> str:
        """The title, as data."""
        return self.box_title

    def keys(self) -> str:
        """The keys that there are, as data."""
        return self.keys_line

    def action_leave(self) -> None:
        """Closes without an answer."""
        self.dismiss(None)

    def on_click(self, event: events.Click) -> None:
        """A click outside the box closes it."""
        if event.widget is self:
            self.action_leave()

    def complain(self, text: str) -> None:
        """Shows what is wrong, in the box."""
        line = self.query_one(".error", Static)
        line.update(Text(f"[!] {text}"))
        line.set_class(bool(text), "-shown")
