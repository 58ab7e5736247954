"""What a pane shows in place of its content when that has failed."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message

from o_tui.ui import boundary
from o_tui.ui.text import Static, Text


class ErrorCard(Vertical, can_focus=True):
    """Says what went wrong in one line, where it is written down, and offers another try."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("r,enter", "retry", "Retry", show=False)]

    class Retried(Message):
        """The operator wants the content back."""

    def __init__(self, title: str, error: BaseException) -> None:
        super().__init__(classes="error-card")
        self._title = title
        self._error = error

    def compose(self) -> ComposeResult:
        """Three lines and the innermost frames."""
        yield Static(Text(f"[!] {self._title} could not be shown", style="bold"), classes="error-title")
        yield Static(Text(boundary.summary(self._error)), classes="error-what")
        where = boundary.frames(self._error)[-2:]
        yield Static(Text("\n".join(line.split("  ", 1)[0] for line in where)), classes="error-where")
        yield Static(Text("The other panes go on. Details are in the log.   r  retry"), classes="error-hint")

    def action_retry(self) -> None:
        """Asks for the content again."""
        self.post_message(self.Retried())

    def on_click(self) -> None:
        """A click is a retry too."""
        self.action_retry()
