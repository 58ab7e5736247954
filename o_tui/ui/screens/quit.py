"""Ctrl+Q: stop the guardian, or leave it running, or stay."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList

from o_tui.ui.screens.dialog import Modal
from o_tui.ui.text import Static, Text, entitle, option

CHOICES = (
    ("detach", "d  Detach: leave the guardian running; o-tui comes back to it"),
    ("stop", "s  Stop: end the guardian too; nothing that was accepted is lost"),
    ("stay", "Esc  Stay"),
)
ELSEWHERE = "The guardian keeps the agent alive without this screen."
HERE = "The guardian lives in this process: it ends with this screen."


class QuitScreen(Modal[str]):
    """Answers `stop`, `detach` or `stay`."""

    about = (
        "The guardian keeps the agent alive without this screen: detached it goes on, and o-tui comes "
        "back to it; stopped it ends in order, and nothing that was accepted is lost."
    )
    keys_help = (("d, s", "Detach, or stop."), ("^Q", "The first choice."), ("Esc, n", "Stay."))

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "choose('detach')", "Detach", show=False),
        Binding("s", "choose('stop')", "Stop", show=False),
        Binding("escape,n", "choose('stay')", "Stay", show=False),
        Binding("ctrl+q", "again", "Leave", show=False, priority=True),
    ]

    def __init__(self, embedded: bool = False) -> None:
        super().__init__()
        self._embedded = embedded
        self._choices = tuple(choice for choice in CHOICES if not embedded or choice[0] != "detach")

    def compose(self) -> ComposeResult:
        """Three lines."""
        with Vertical(id="quit", classes="sheet") as sheet:
            entitle(sheet, "Leave O")
            yield Static(Text(HERE if self._embedded else ELSEWHERE))
            yield OptionList(*(option(text, name) for name, text in self._choices))
            again = f"Ctrl+Q again: {self._choices[0][0]}.  The setting screen.quit answers for good."
            yield Static(Text(again), classes="muted")

    def on_mount(self) -> None:
        """The first choice has the keys."""
        self.app.clear_notifications()
        self.query_one(OptionList).focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A line was chosen."""
        self.dismiss(event.option_id or "stay")

    def action_choose(self, how: str) -> None:
        """A letter was pressed."""
        if how in dict(self._choices):
            self.dismiss(how)

    def action_again(self) -> None:
        """The key that opened this takes its first choice."""
        self.dismiss(self._choices[0][0])
