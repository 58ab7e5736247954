"""A widget of one line that is drawn again only when its text has changed: an idle screen sends nothing."""

from __future__ import annotations

from textual.app import RenderResult
from textual.widget import Widget

from o_tui.ui import boundary
from o_tui.ui.text import Text


class Line(boundary.Guarded, Widget):
    """Shows one `Text`."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._line = Text()

    def show(self, line: Text) -> None:
        """Shows another text, if it is another one."""
        if line.plain != self._line.plain or line.spans != self._line.spans or line.style != self._line.style:
            self._line = line
            self.refresh()

    def render(self) -> RenderResult:
        """The text."""
        return self._line
