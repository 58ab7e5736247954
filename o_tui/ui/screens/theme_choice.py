"""The choice of themes: each is shown at once while the cursor is on it, and kept on Enter."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList

from o_tui.ui.screens.dialog import Modal
from o_tui.ui.text import Static, Text, entitle, option

if TYPE_CHECKING:
    from o_tui.ui.app import OApp


class ThemeChoice(Modal[None]):
    """A list beside the screen that it changes."""

    about = (
        "Each theme is shown while the cursor is on it. Your own are *.toml files in the folder themes "
        "beside the settings."
    )
    keys_help = (("Enter", "Keep it."), ("Esc", "As it was."))

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back", show=False)]

    @property
    def _view(self) -> OApp:
        return cast("OApp", self.app)

    def compose(self) -> ComposeResult:
        """All themes, and `auto`."""
        self._before = self._view.theme
        names = ["auto", *self._view.theme_names()]
        with Vertical(id="theme-choice", classes="sheet") as sheet:
            entitle(sheet, "Theme", "Enter keep  Esc back")
            yield OptionList(*(option(self._label(name), name) for name in names))
            yield Static(Text("Your own: *.toml files in the folder themes beside the settings."), classes="muted")

    def _label(self, name: str) -> str:
        return (
            "auto            by the terminal's background"
            if name == "auto"
            else f"{name:<15} {self._view.theme_title(name)}"
        )

    def on_mount(self) -> None:
        """The cursor is on the theme that is on."""
        options = self.query_one(OptionList)
        options.focus()
        options.highlighted = options.get_option_index(self._before)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Shows it."""
        self._view.use_theme(event.option_id or "auto")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Keeps it."""
        self._view.use_theme(event.option_id or "auto", save=True)
        self.dismiss()

    def action_leave(self) -> None:
        """As it was."""
        self._view.use_theme(self._before)
        self.dismiss()
