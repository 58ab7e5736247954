"""Ctrl+P: every action of the registry by its name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider

from o_tui.ui.actions import Action
from o_tui.ui.keys import shown

if TYPE_CHECKING:
    from o_tui.ui.app import OApp


class Palette(CommandPalette):
    """Textual's palette without its picture of a magnifying glass, which is two cells wide in some terminals only."""

    about = "Every action by its name, those of the pane in front first. A part of the name or of its sentence will do."
    keys_help = (("Up, Down", "Choose."), ("Enter", "Do it."), ("Esc", "Close."))

    def on_mount(self) -> None:
        """Takes the picture away."""
        for icon in self.query("SearchIcon"):
            icon.display = False


class ActionProvider(Provider):
    """Offers actions; those of the pane in front first."""

    @property
    def _view(self) -> OApp:
        return cast("OApp", self.app)

    def _rows(self) -> list[tuple[str, str, Action]]:
        app = self._view
        front = app.frame.active
        rows = [action for action in app.all_actions() if action.palette]
        rows.sort(key=lambda action: (action.where != front, action.where != "app"))
        found = []
        for action in rows:
            name = action.title if action.where == "app" else f"{action.where.capitalize()}: {action.title}"
            key = app.key_of(action)
            found.append((name, f"{action.help}" + (f"  {shown(key)}" if key else ""), action))
        return found

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        for name, help, action in self._rows():
            yield DiscoveryHit(name, partial(self._view.perform, action.id), help=help)

    async def search(self, query: str) -> Hits:
        """Those whose name or sentence matches."""
        matcher = self.matcher(query)
        for name, help, action in self._rows():
            score = max(matcher.match(name), matcher.match(help) * 0.5)
            if score > 0:
                yield Hit(score, matcher.highlight(name), partial(self._view.perform, action.id), help=help)


def open_palette(app: OApp) -> None:
    """Opens the palette, if it is not open."""
    if app.screen is app.frame:
        app.push_screen(Palette(providers=[ActionProvider], placeholder="What do you want to do?"))
