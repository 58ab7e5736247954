"""A widget of one line that is drawn again only when its text has changed: an idle screen sends nothing.

What reads like something to be done there can be clicked.
"""

from __future__ import annotations

import sys

from textual import events
from textual.app import RenderResult
from textual.message import Message
from textual.widget import Widget

from o_tui.ui import boundary
from o_tui.ui.text import Text


class Line(boundary.Guarded, Widget):
    """Shows one `Text`.

    Attributes:
        places: From which cell to before which one a click does what: `(start, end, action id)`.
    """

    class Pressed(Message):
        """An action was clicked."""

        def __init__(self, action_id: str) -> None:
            super().__init__()
            self.action_id = action_id

    def __init__(self, *, id: str | None = None, classes: str | None = None, action: str = "") -> None:
        """`action`: the id of what a click anywhere does."""
        super().__init__(id=id, classes=classes)
        self._line = Text()
        self.places: list[tuple[int, int, str]] = [(0, sys.maxsize, action)] if action else []

    def show(self, line: Text) -> None:
        """Shows another text, if it is another one."""
        if line.plain != self._line.plain or line.spans != self._line.spans or line.style != self._line.style:
            self._line = line
            self.refresh()

    def render(self) -> RenderResult:
        """The text."""
        return self._line

    def on_click(self, event: events.Click) -> None:
        """A click on what stands for an action is that action."""
        for start, end, action_id in self.places:
            if start <= event.x < end:
                self.post_message(self.Pressed(action_id))
