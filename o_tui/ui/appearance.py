"""How the view looks: themes and their folder, light or dark, glyphs, no colour at all. A mixin of the app."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.app import App
from textual.color import Color
from textual.filter import LineFilter
from textual.scrollbar import ScrollBar, ScrollBarRender

from o_tui import paths as workspace
from o_tui.config import set_value
from o_tui.protocol.errors import OError
from o_tui.ui import themes
from o_tui.ui.glyphs import TWINS, Glyphs, glyphs

if TYPE_CHECKING:
    from o_tui.ui.app import OApp

_BOLD = frozenset({"brand", "tab", "key", "warning", "error"})
_ALIASES = {"brand": "accent", "tab": "primary", "key": "primary", "": "foreground"}
_DEFAULT = RichColor.default()


MARKED = ("cursor-row", "selection", "added-word", "removed-word", "match", "scrollbar", "scrollbar-hover")
"""Grounds that say something: where there is no colour they are reversed."""


@lru_cache(maxsize=4096)
def _without_color(style: Style, marked: frozenset[str], ground: str) -> Style:
    """The same style in the terminal's own two colours: what stood out by its ground is reversed."""
    below = style.bgcolor.get_truecolor().hex if style.bgcolor is not None else ground
    stands_out = below in marked or themes.contrast(below, ground) >= themes.DISABLED_CONTRAST
    return Style.from_color(_DEFAULT, _DEFAULT) + Style(
        bold=style.bold,
        italic=style.italic,
        underline=style.underline,
        strike=style.strike,
        reverse=bool(style.reverse) or stands_out,
        meta=style.meta,
    )


class NoColor(LineFilter):
    """NO_COLOR: no colour reaches the terminal. `roles` are the theme's variables at the moment."""

    def __init__(self, roles: Callable[[], Mapping[str, str]]) -> None:
        super().__init__()
        self._roles = roles

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Takes the colours away."""
        roles = self._roles()
        marked = frozenset(roles[name] for name in MARKED)
        return [
            Segment(text, _without_color(style or Style(), marked, roles["background"]), None)
            for text, style, _ in segments
        ]


class AsciiOnly(LineFilter):
    """Frames, marks and ellipses of every widget, also of Textual's, as ASCII; letters of any script stay."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The line with the twins of what is drawn."""
        return [
            segment
            if segment.text.isascii()
            else Segment(segment.text.translate(TWINS), segment.style, segment.control)
            for segment in segments
        ]


class PlainScrollBar(ScrollBarRender):
    """A scroll bar of spaces: its ends are no block characters."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "] * 8


def suit_terminal(app: App[Any], *, ascii_only: bool) -> None:
    """No colour where NO_COLOR is set (Textual would send greys), and no more than ASCII where there is no more."""
    ScrollBar.renderer = PlainScrollBar if ascii_only else ScrollBarRender
    if app.no_color:
        app._filters[:] = [NoColor(lambda: app.theme_variables)]
    if ascii_only:
        app._filters.append(AsciiOnly())


class Appearance:
    """Themes and what hangs on them."""

    dark_terminal: bool
    _found: themes.Found
    _stamps: dict[str, tuple[int, int]]

    @property
    def _view(self) -> OApp:
        return cast("OApp", self)

    def set_up_appearance(self, dark: bool) -> None:
        """Reads the themes and chooses one; problems are told once the view is up."""
        app = self._view
        self.dark_terminal = dark
        self._stamps = {}
        self._found = themes.Found()
        self._read_themes()
        self._begin_with(app.config.screen.theme)
        app.set_class(app.ascii_only, "-ascii")
        suit_terminal(app, ascii_only=app.ascii_only)

    def _read_themes(self) -> None:
        app = self._view
        self._stamps = themes.stamps(app.paths.user_themes)
        self._found = themes.find([workspace.shipped("themes"), app.paths.user_themes])
        for theme in self._found.themes.values():
            app.register_theme(theme)

    def theme_names(self) -> list[str]:
        """The themes there are."""
        return sorted(self._found.themes)

    def theme_title(self, name: str) -> str:
        """What a theme calls itself."""
        return self._found.titles.get(name, name)

    def theme_problems(self) -> list[str]:
        """One line for each theme file that cannot be used."""
        return list(self._found.problems)

    def _begin_with(self, wanted: str) -> None:
        """The first theme. Nothing is drawn yet; Textual's way to change one parses and applies every style again."""
        app = self._view
        name, problem = themes.choose(wanted, self.theme_names(), self.dark_terminal)
        if problem:
            app.tell(problem, "warning")
        app.set_reactive(App.theme, name)
        dark = app.current_theme.dark
        app.update_classes({f"-theme-{name}": True, "-dark-mode": dark, "-light-mode": not dark}, update=False)
        app._refresh_truecolor_filter(app.ansi_theme)
        app.stylesheet.set_variables(app.get_css_variables())

    def use_theme(self, wanted: str, *, save: bool = False) -> None:
        """Shows a theme, by its name or `auto`; with `save` also from now on."""
        app = self._view
        name, problem = themes.choose(wanted, self.theme_names(), self.dark_terminal)
        if problem:
            app.tell(problem, "warning")
            if save:
                return
        app.theme = name
        if save:
            app.run_worker(self._keep_theme(wanted), exit_on_error=False)

    async def _keep_theme(self, wanted: str) -> None:
        """The guardian writes the settings; without one the view does."""
        app = self._view
        try:
            if app.link.state == "connected":
                await app.link.call("config.set", key="screen.theme", value=wanted)
            else:
                app.config = set_value(app.paths.config_file, "screen.theme", wanted)
        except (OError, OSError) as error:
            app.tell(f"The theme is on, but could not be kept: {error}", "warning")

    def look_for_themes(self) -> None:
        """Reads the operator's theme folder again if a file in it has changed."""
        app = self._view
        if themes.stamps(app.paths.user_themes) == self._stamps:
            return
        before = set(self._found.problems)
        current = app.theme
        self._read_themes()
        for problem in self._found.problems:
            if problem not in before:
                app.tell(problem, "warning")
        wanted = app.config.screen.theme
        name, _ = themes.choose(
            wanted if wanted in self._found.themes else current, self.theme_names(), self.dark_terminal
        )
        if name == app.theme:
            # the same name with other colours: Textual only looks when the name changes
            app._invalidate_css()
            app._watch_theme(name)
        else:
            app.theme = name

    def role_style(self, role: str) -> str:
        """A Rich style for a role of the theme (`muted`, `success`, `key`, ...)."""
        bold = "bold " if role in _BOLD else ""
        return bold + self._view.theme_variables.get(_ALIASES.get(role, role), "")

    @property
    def glyphs(self) -> Glyphs:
        """The characters to draw with."""
        return glyphs(self._view.ascii_only)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Roles of ours have a value even before a theme of ours is chosen."""
        return _defaults()


@lru_cache(maxsize=1)
def _defaults() -> dict[str, str]:
    return themes.variables(themes.read(workspace.shipped("themes") / f"{themes.DARK}.toml").colors)
