"""F1: what the pane in front, or the screen above it, is for, and every key that works there, from the registry."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, ClassVar, Protocol, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from o_tui.ui import actions
from o_tui.ui.chat.commands import COMMANDS
from o_tui.ui.chat.prompt import NEWLINE_KEYS
from o_tui.ui.keys import shown
from o_tui.ui.screens.dialog import Modal
from o_tui.ui.text import Static, Text, entitle

if TYPE_CHECKING:
    from o_tui.ui.app import OApp
    from o_tui.ui.panes.base import Pane


WIDTH, FRAME = 92, 8
"""Cells of the sheet (sheets.tcss), and what border, padding and scrollbar take of them."""


class Explained(Protocol):
    """A screen above the panes that says what it is (`Modal`)."""

    about: ClassVar[str]
    keys_help: ClassVar[tuple[tuple[str, str], ...]]


class HelpScreen(Modal[None]):
    """A page that scrolls; Esc closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark", "dismiss", "Close", show=False)]

    def __init__(self, pane: Pane, above: Explained | None = None) -> None:
        """`above`: the screen above the panes that is meant; None: the pane."""
        super().__init__()
        self._pane = pane
        self._above = above

    def compose(self) -> ComposeResult:
        """One page."""
        with VerticalScroll(id="help", classes="sheet") as sheet:
            entitle(sheet, f"Help - {self._pane.title}" if self._above is None else "Help", "Esc close")
            sheet.set_class(self._above is not None, "-brief")
            yield Static(self._page(), id="page")

    def on_resize(self) -> None:
        """What stands beside the keys is broken for the width that there is."""
        self.query_one("#page", Static).update(self._page())

    def _page(self) -> Text:
        app = cast("OApp", self.app)
        page = Text()
        if self._above is not None:
            page.append(self._above.about + "\n\n")
            self._section(page, "Keys", list(self._above.keys_help))
            return page
        if self._pane.about:
            page.append(self._pane.about + "\n\n")
        self._section(page, f"Keys of {self._pane.title}", [(self._keys(app, a), a.help) for a in self._pane.actions])
        if self._pane.pane_id == "chat":
            rows = [("Enter", "Send."), (", ".join(sorted(shown(key) for key in NEWLINE_KEYS)), "A new line.")]
            rows += [("Up, Down", "What was written before.")]
            self._section(page, "While writing", rows)
            self._section(page, "Commands", [(f"/{c.name} {c.usage}".strip(), c.help) for c in COMMANDS])
        self._section(
            page, "Everywhere", [(self._keys(app, action), action.help) for action in actions.APP if action.keys]
        )
        self._section(page, "After Space", [(letter, action.help) for action, letter in app.leader_actions()])
        page.append(
            "Keys can be changed: [screen.keys] in the settings file, action id = keys.\n", app.role_style("muted")
        )
        return page

    def _keys(self, app: OApp, action: actions.Action) -> str:
        chosen = app.keys.get(action.id)
        return ", ".join(shown(key) for key in (chosen.split(",") if chosen else action.keys)) or "(palette)"

    def _section(self, page: Text, title: str, rows: list[tuple[str, str]]) -> None:
        app = cast("OApp", self.app)
        if not rows:
            return
        page.append(title + "\n", app.role_style("brand"))
        width = min(26, max(len(keys) for keys, _ in rows))
        indent = "\n" + " " * (width + 4)
        room = max(20, min(WIDTH, app.size.width) - FRAME - len(indent) + 1)
        for keys, help in rows:
            page.append(f"  {keys:<{width}}", app.role_style("key"))
            page.append(indent if len(keys) > width else "  ")
            page.append(indent.join(textwrap.wrap(help, room)) + "\n")
        page.append("\n")
