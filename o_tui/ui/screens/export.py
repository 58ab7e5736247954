"""Asks for a path: where a checkpoint goes to, or comes from."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.widgets import Input

from o_tui.paths import named
from o_tui.protocol.errors import UsageError
from o_tui.ui.format import short, shown
from o_tui.ui.screens.dialog import Dialog
from o_tui.ui.text import Static, Text


class PathScreen(Dialog[str]):
    """Gives an absolute path that can be used, or None."""

    about = "Where the file shall be, or is: a path, also one that begins with ~."
    keys_help = (("Enter", "Go."), ("Esc", "Leave it."))

    keys_line: ClassVar[str] = "Enter go   Esc leave it"

    def __init__(self, direction: Literal["export", "import"], identity: str = "", start: str = "") -> None:
        super().__init__()
        self._direction = direction
        self._identity = identity
        self._start = start

    def heading(self) -> str:
        """What for."""
        return f"Export {short(shown(self._identity))}" if self._direction == "export" else "Import a checkpoint"

    def compose_box(self) -> ComposeResult:
        """Text, field, error line."""
        exporting = (
            "The file holds the agent's whole state: memories, tools, settings. Keep it where only you can read it."
        )
        importing = "The file is checked first, and becomes a checkpoint of its own. Nothing is restored by that."
        yield Static(Text(exporting if self._direction == "export" else importing))
        yield Input(value=self._start, id="path", placeholder="~/file.ckpt", select_on_focus=False)
        yield Static(classes="error")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Checks what can be checked here; the guardian checks the rest."""
        problem, path = check_path(event.value, self._direction)
        if problem:
            self.complain(problem)
        else:
            self.dismiss(str(path))


def check_path(text: str, direction: Literal["export", "import"]) -> tuple[str, Path]:
    """What is wrong with a path for that purpose (empty: nothing), and the path in full."""
    if not text.strip():
        return "name a file", Path()
    try:
        path = named(text.strip())
    except UsageError as problem:
        return str(problem), Path()
    name = shown(path.name, 60)
    if direction == "import":
        return ("" if path.is_file() else f"there is no file {name}"), path
    if path.is_dir():
        return f"{name} is a folder: name a file in it", path
    if path.exists():
        return f"{name} is there already: nothing is written over", path
    return ("" if path.parent.is_dir() else f"there is no folder {shown(path.parent, 120)}"), path
