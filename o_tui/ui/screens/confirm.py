"""Asks for a word to be typed before something that cannot be taken for granted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import Input, Static

from o_tui.ui.screens.dialog import Dialog


class ConfirmScreen(Dialog[bool]):
    """Says what will happen, and goes on only when the word is typed and sent with Enter."""

    keys_line: ClassVar[str] = "Enter do it   Esc leave it"

    def __init__(self, title: str, lines: Sequence[str], word: str) -> None:
        super().__init__()
        self._title_text = title
        self._text = lines
        self._word = word

    def heading(self) -> str:
        """The question."""
        return self._title_text

    def compose_box(self) -> ComposeResult:
        """What will happen, the field, the error line."""
        yield Static(Text("\n".join(self._text)))
        question = Text("\nType ")
        question.append(self._word, "bold")
        question.append(" to confirm:")
        yield Static(question, classes="question")
        yield Input(id="word", select_on_focus=False)
        yield Static(classes="error")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Only the very word counts."""
        if event.value.strip() == self._word:
            self.dismiss(True)
        else:
            self.complain(f"that is not {self._word}: nothing was done")
