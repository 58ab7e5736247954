"""Settings (F2): every setting with its sentence, made from the declaration of the settings themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Input, OptionList

from o_tui import config as settings
from o_tui.protocol.errors import OError
from o_tui.ui.format import shown
from o_tui.ui.lists.columns import Column
from o_tui.ui.lists.filter_bar import FilterBar, matches
from o_tui.ui.lists.row_list import Cell, Row, RowList
from o_tui.ui.screens.dialog import Dialog
from o_tui.ui.text import Static, Text, option

if TYPE_CHECKING:
    from o_tui.ui.app import OApp

THEME = "screen.theme"
INNER = frozenset({"brain.onboarded"})
"""What the program remembers for itself: not for choosing."""
COLUMNS = (Column("setting", 16), Column("value", 16), Column("what it is", least=14, rank=1))
IN_FILE = "is a table: edit it in the settings file"


class SettingsScreen(Dialog[None]):
    """A list; Enter changes a value in place, the guardian checks it. Themes are shown while one chooses."""

    about = (
        "Every setting with its value, and below the list what the one at the cursor does. What is "
        "changed counts at once and is kept in the settings file; the guardian refuses what cannot be, "
        "and says why."
    )
    keys_help = (
        ("Enter", "Change the value in place, or choose one."),
        ("d", "Back to the default."),
        ("/", "Show only settings with these words."),
        ("Esc, F2", "Close; in a field: leave the value as it was."),
    )

    DEFAULT_CSS = """
    SettingsScreen > .box { width: 100; height: 94%; }
    SettingsScreen RowList { height: 1fr; }
    SettingsScreen OptionList { height: auto; max-height: 9; border: none; display: none; background: $panel; }
    SettingsScreen #value { display: none; }
    SettingsScreen #about { height: auto; max-height: 4; margin: 1 0 0 0; }
    """
    BINDINGS: ClassVar = [
        Binding("f2", "leave", "Close", show=False),
        Binding("slash", "filter", "Filter", show=False),
        Binding("d", "default", "Default", show=False),
    ]
    box_title = "Settings"
    keys_line = "Enter change   d default   / filter   Esc close"

    def __init__(self) -> None:
        super().__init__()
        self._editing: Row | None = None
        self._theme_before = ""

    @property
    def view(self) -> OApp:
        """The app, typed."""
        return cast("OApp", self.app)

    @property
    def rows(self) -> RowList:
        """The settings."""
        return self.query_one("#settings", RowList)

    def compose_box(self) -> ComposeResult:
        """List, filter, sentence, editor, error line."""
        yield RowList(COLUMNS, _cells, key="key", header=False, id="settings")
        yield FilterBar("filter", "a name or a word of the sentence", "#settings")
        yield Static(id="about")
        yield OptionList(id="choices")
        yield Input(id="value", select_on_focus=False)
        yield Static(classes="error")

    def on_mount(self) -> None:
        """Fills the list."""
        self._refill()
        self.rows.select(next(row["key"] for row in self.rows.rows if not row.get("heading")))
        self.rows.focus()

    def _refill(self) -> None:
        query = self.query_one(FilterBar).text
        self.rows.show(setting_rows(self.view.model.config, query), empty=f"No setting has '{query}' in it.")

    # --- the row at the cursor

    def on_row_list_moved(self, message: RowList.Moved) -> None:
        """Its sentence stands below."""
        message.stop()
        row = self.rows.current
        text = Text()
        if row is not None and not row.get("heading"):
            text.append(f"{row['key']}  ", "bold")
            text.append(f"{row['text']}\n")
            text.append(f"now: {written(row['value'])}   default: {written(row['default'])}")
            choices = self._choices(row)
            text.append(f"   one of: {', '.join(choices)}" if choices else "")
        self.query_one("#about", Static).update(text)
        self.complain("")

    def _choices(self, row: Row) -> list[str]:
        if row["key"] == THEME:
            return ["auto", *self.view.theme_names()]
        if isinstance(row["default"], bool):
            return ["yes", "no"]
        return [str(choice) for choice in row["choices"]]

    # --- changing

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """Opens the editor that fits: choices, or a field."""
        message.stop()
        row = self.rows.current
        if row is None or row.get("heading"):
            return
        if isinstance(row["default"], Mapping):
            self.complain(f"{row['key']} {IN_FILE}, {shown(self.view.paths.config_file)}")
            return
        self._editing = row
        self._theme_before = self.view.theme
        choices = self._choices(row)
        if choices:
            options = self.query_one("#choices", OptionList)
            options.clear_options()
            options.add_options(option(choice, choice) for choice in choices)
            current = written(row["value"])
            options.highlighted = choices.index(current) if current in choices else 0
            options.display = True
            options.focus()
        else:
            field = self.query_one("#value", Input)
            field.value = "" if row["value"] is None else str(row["value"])
            field.display = True
            field.focus()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """A theme is shown at once."""
        event.stop()
        if self._editing is not None and self._editing["key"] == THEME and event.option_id:
            self.view.use_theme(event.option_id)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Chosen."""
        event.stop()
        if self._editing is not None and event.option_id is not None:
            boolean = isinstance(self._editing["default"], bool)
            self._save(self._editing, event.option_id == "yes" if boolean else event.option_id)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Typed."""
        event.stop()
        if self._editing is not None:
            self._save(self._editing, event.value.strip())

    def action_default(self) -> None:
        """Back to what it was made with."""
        row = self.rows.current
        if row is not None and not row.get("heading") and not isinstance(row["default"], Mapping):
            self._theme_before = self.view.theme
            self._save(row, row["default"])

    def _save(self, row: Row, value: Any) -> None:
        self.run_worker(self._saving(row, value), exclusive=True, exit_on_error=False)

    async def _saving(self, row: Row, value: Any) -> None:
        try:
            answer = await self.view.link.call("config.set", key=row["key"], value=value)
        except OError as error:
            # the editor stays, with what was typed
            self.complain(f"{error}" + (f" ({error.hint})" if error.hint else ""))
            if row["key"] == THEME:
                self.view.use_theme(self._theme_before)
            return
        if isinstance(answer, dict) and answer:
            self.view.model.config = answer
        if row["key"] == THEME:
            self.view.use_theme(str(value))
        self._close_editor()
        self._refill()
        self.complain("")

    def _close_editor(self) -> None:
        self._editing = None
        self.screen.set_focus(self.rows)
        self.query_one("#choices").display = False
        self.query_one("#value").display = False

    def action_leave(self) -> None:
        """Out of the editor, then out of the settings."""
        if self._editing is None:
            self.dismiss(None)
            return
        if self._editing["key"] == THEME:
            self.view.use_theme(self._theme_before)
        self._close_editor()
        self.complain("")

    # --- filter

    def action_filter(self) -> None:
        """Opens the filter."""
        self.query_one(FilterBar).open()

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        """Filters while one types."""
        message.stop()
        self._refill()

    def on_filter_bar_stepped(self, message: FilterBar.Stepped) -> None:
        """Moves while typing."""
        message.stop()
        self.rows.action_move(message.step)


def setting_rows(values: Mapping[str, Any], query: str) -> list[Row]:
    """The settings that a filter leaves, each section under its heading, with the values that the guardian has."""
    rows: list[Row] = []
    section = ""
    for described in settings.describe():
        key = f"{described['section']}.{described['name']}"
        if key in INNER or not matches(query, key, described["text"]):
            continue
        if described["section"] != section:
            section = described["section"]
            sentence = (settings.SECTIONS[section].__doc__ or "").strip().split("\n")[0]
            rows.append({"key": f"#{section}", "heading": section, "text": sentence})
        found = values.get(section)
        value = found.get(described["name"], described["default"]) if isinstance(found, Mapping) else None
        rows.append({**described, "key": key, "value": described["default"] if value is None else value})
    return rows


def written(value: Any) -> str:
    """A value as the list shows it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return f"{len(value)} of your own" if value else "none"
    return shown(value, 200) if value not in (None, "") else "(empty)"


def _cells(row: Row) -> Sequence[Cell]:
    if row.get("heading"):
        return ((str(row["heading"]).capitalize(), "strong"), "", (str(row["text"]), "dim"))
    changed = row["value"] != row["default"]
    # a changed value is told by a mark too, not by its weight alone
    value = f"{written(row['value'])} *" if changed else written(row["value"])
    return (f"  {row['name']}", (value, "accent" if changed else ""), (str(row["text"]), "dim"))
