"""A widget of one line that is drawn again only when its text has changed: an idle screen sends nothing.

What reads like something to be done there can be clicked.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from textual import events
from textual.message import Message
from textual.widget import Widget

from o_tui.ui import boundary
from o_tui.ui.text import Text


class Place(NamedTuple):
    """From which cell to before which one, on which line, a click is which action."""

    start: int
    end: int
    action: str
    line: int = 0


class Line(boundary.Guarded, Widget):
    """Shows one `Text`.

    Attributes:
        places: Where a click does what.
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
        self.places: list[Place] = [Place(0, sys.maxsize, action)] if action else []

    def show(self, line: Text) -> None:
        """Shows another text, if it is another one."""
        if line.plain != self._line.plain or line.spans != self._line.spans or line.style != self._line.style:
            self._line = line
            self.refresh()

    def render(self) -> Text:
        """The text."""
        return self._line

    def on_click(self, event: events.Click) -> None:
        """A click on what stands for an action is that action."""
        for place in self.places:
            if place.line == event.y and place.start <= event.x < place.end:
                self.post_message(self.Pressed(place.action))
