"""The last lines: tabs, what waits for the operator, and the keys that work now; all made from the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from o_tui.ui.actions import Action
from o_tui.ui.keys import shown
from o_tui.ui.text import Text
from o_tui.ui.widgets.line import Line, Place

Style = Callable[[str], str]
AT_THE_RIGHT = ("app.help", "app.palette", "app.quit_view")
NARROW = 60
"""Below so many columns only the way out stands at the right."""


class Footer(Line):
    """Key and title of the actions that work here, as many as fit."""

    def present(self, actions: Sequence[tuple[Action, str]], width: int, style: Style, *, wrap: bool = False) -> None:
        """Shows actions, each with the first of its keys as they are bound now; `wrap`: all, on as many lines."""
        if wrap:
            self._present_all(actions, width, style)
            return
        self.styles.height = 1
        line = Text(" ", no_wrap=True, end="")
        self.places = []
        right = AT_THE_RIGHT if width >= NARROW else AT_THE_RIGHT[-1:]
        last = [item for item in actions if item[0].id in right and item[1]]
        actions = [item for item in actions if item[0].id in right or item[0].id != "app.palette"]
        room = width - sum(len(shown(key)) + len(action.title) + 3 for action, key in last)
        for action, key in actions:
            if (action, key) in last or not key:
                continue
            piece = len(shown(key)) + 1 + len(action.title)
            if line.cell_len + piece + 2 > room:
                continue
            self._add(line, action, key, style)
            line.append("  ")
        line.append(" " * max(0, room - line.cell_len + 1))
        for action, key in last:
            self._add(line, action, key, style)
            line.append("  ")
        self.show(line)

    def _present_all(self, actions: Sequence[tuple[Action, str]], width: int, style: Style) -> None:
        """A table of letters, for the leader."""
        self.places = []
        cell = max(len(action.title) for action, _ in actions) + 5
        columns = max(1, (width - 1) // cell)
        text = Text(no_wrap=True, end="")
        for index, (action, key) in enumerate(actions):
            row, column = divmod(index, columns)
            text.append(" " if column else "\n " if row else " ")
            self.places.append(Place(1 + column * cell, column * cell + cell, action.id, row))
            text.append(shown(key), style("key"))
            text.append(f" {action.title}".ljust(cell - 2), style("muted"))
        self.styles.height = -(-len(actions) // columns)
        self.show(text)

    def _add(self, line: Text, action: Action, key: str, style: Style) -> None:
        start = line.cell_len
        line.append(shown(key), style("key"))
        line.append(f" {action.title}", style("muted"))
        self.places.append(Place(start, line.cell_len, action.id))


class Tabs(Line):
    """The panes by number, where only one of them fits."""

    def present(self, tabs: Sequence[tuple[str, int, str, str]], active: str, width: int, style: Style) -> None:
        """Shows `(pane id, number, title, badge)`; short titles where the long ones do not fit."""
        full = sum(len(title) + len(badge) + 6 for _id, _number, title, badge in tabs) <= width
        line = Text(no_wrap=True, end="")
        self.places = []
        for pane_id, number, title, badge in tabs:
            start = line.cell_len
            chosen = pane_id == active
            # cut titles still differ: Chat Shad Vaul Revi Even
            name = title if full or chosen else title[:4]
            label = f"{number} {name}" + (f"({badge})" if badge else "")
            line.append(f"[{label}]" if chosen else f" {label} ", style("tab" if chosen else "muted"))
            self.places.append(Place(start, line.cell_len, f"app.goto_{pane_id}"))
        self.show(line)
