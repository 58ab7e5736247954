"""Asks for a word to be typed before something that cannot be taken for granted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.widgets import Input

from o_tui.ui.screens.dialog import Dialog
from o_tui.ui.text import Static, Text


class ConfirmScreen(Dialog[str]):
    """Says what will happen, and gives the word (one of some words) only when it is typed and sent with Enter."""

    about = "Nothing has been done yet."
    keys_help = (("Enter", "Do it."), ("Esc", "Leave it."))

    keys_line: ClassVar[str] = "Enter do it   Esc leave it"

    def __init__(self, title: str, lines: Sequence[str], *words: str) -> None:
        super().__init__()
        self._title_text = title
        self._text = lines
        self._words = words

    def heading(self) -> str:
        """The question."""
        return self._title_text

    def compose_box(self) -> ComposeResult:
        """What will happen, the field, the error line."""
        yield Static(Text("\n".join(self._text)))
        question = Text("\nType ")
        for index, word in enumerate(self._words):
            question.append(" or " if index else "")
            question.append(word, "bold")
        question.append(" to confirm:")
        yield Static(question, classes="question")
        yield Input(id="word", select_on_focus=False)
        yield Static(classes="error")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Only the very word counts."""
        word = event.value.strip()
        if word in self._words:
            self.dismiss(word)
        else:
            self.complain(f"that is not {' or '.join(self._words)}: nothing was done")
