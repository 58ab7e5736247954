"""Settings (F2): every setting with its sentence; the guardian checks what is changed."""

from __future__ import annotations

from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from textual.widgets import Input, OptionList

from o_tui import config
from o_tui.paths import Paths
from o_tui.protocol.errors import UsageError
from o_tui.ui.screens.settings import INNER, SettingsScreen, setting_rows, written
from tests.support.panes import SIZES, THEMES, Opened, opened
from tests.support.scripted_link import ScriptedGuardian


def keeping(guardian: ScriptedGuardian) -> None:
    """A guardian that converts and keeps, as the real one does."""
    tree: dict[str, Any] = {"brain": {"onboarded": True, "provider": "ollama"}}
    guardian.snapshot["config"] = tree

    def change(key: str, value: Any) -> dict[str, Any]:
        section, _, name = key.partition(".")
        if name == "keep" and not str(value).isdigit():
            raise UsageError("Expected `int`, got `str`", hint="a whole number")
        tree.setdefault(section, {})[name] = value
        return tree

    guardian.handlers["config.set"] = change


async def settings(view: Opened, key: str) -> SettingsScreen:
    await view.press("f2")
    await view.until(lambda: isinstance(view.app.screen, SettingsScreen))
    screen = view.app.screen
    assert isinstance(screen, SettingsScreen)
    screen.rows.select(key)
    await view.pilot.pause()
    return screen


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
async def test_looks(workspace: Paths, size: tuple[int, int], theme: str, snapshot: SnapshotAssertion) -> None:
    async with opened(workspace, size, keeping, theme) as view:
        screen = await settings(view, "brain.provider")
        assert await view.settled(screen.query_one(".box")) == snapshot


async def test_a_value_is_typed_checked_and_kept(workspace: Paths) -> None:
    async with opened(workspace, setup=keeping) as view:
        screen = await settings(view, "vault.keep")
        await view.press("enter", "ctrl+u", *"many", "enter")
        await view.until(lambda: "a whole number" in view.text())
        assert screen.query_one("#value", Input).value == "many"
        await view.press("ctrl+u", *"20", "enter")
        await view.until(lambda: "20 *" in view.text())
        assert view.calls("config.set")[-1] == {"key": "vault.keep", "value": "20"}
        assert screen.rows.has_focus


async def test_choices_are_chosen(workspace: Paths) -> None:
    async with opened(workspace, setup=keeping) as view:
        await settings(view, "screen.quit")
        await view.press("enter", "down", "enter")
        assert await view.called("config.set") == {"key": "screen.quit", "value": "detach"}


async def test_yes_and_no_are_booleans(workspace: Paths) -> None:
    async with opened(workspace, setup=keeping) as view:
        await settings(view, "screen.ascii")
        await view.press("enter", "up", "enter")
        assert await view.called("config.set") == {"key": "screen.ascii", "value": True}


async def test_a_theme_is_shown_while_one_chooses(workspace: Paths) -> None:
    async with opened(workspace, setup=keeping, theme="night") as view:
        screen = await settings(view, "screen.theme")
        await view.press("enter")
        options = screen.query_one("#choices", OptionList)
        options.highlighted = options.get_option_index("paper")
        await view.until(lambda: view.app.theme == "paper")
        await view.press("escape")
        assert view.app.theme == "night"
        assert view.calls("config.set") == []
        await view.press("enter")
        options.highlighted = options.get_option_index("day")
        await view.press("enter")
        assert await view.called("config.set") == {"key": "screen.theme", "value": "day"}
        await view.until(lambda: view.app.theme == "day")


async def test_back_to_the_default(workspace: Paths) -> None:
    async with opened(workspace, setup=keeping) as view:
        await settings(view, "brain.provider")
        await view.press("d")
        assert await view.called("config.set") == {"key": "brain.provider", "value": "offline"}


async def test_filter_and_leave(workspace: Paths) -> None:
    async with opened(workspace, setup=keeping) as view:
        screen = await settings(view, "brain.provider")
        await view.press("slash", *"heartbeats", "enter")
        assert [row["key"] for row in screen.rows.rows] == ["#health", "health.heartbeat_s"]
        await view.press("escape")
        assert view.app.screen is view.app.frame


async def test_a_table_is_for_the_file(workspace: Paths) -> None:
    async with opened(workspace, (120, 40), keeping) as view:
        await settings(view, "screen.keys")
        await view.press("enter")
        assert "edit it in the settings file" in view.text()


def test_every_setting_has_a_row_and_a_sentence() -> None:
    rows = [row for row in setting_rows({}, "") if not row.get("heading")]
    assert len(rows) == len(config.describe()) - len(INNER)
    assert all(row["text"] for row in rows)
    assert {row["heading"] for row in setting_rows({}, "") if row.get("heading")} == set(config.SECTIONS)


def test_values_are_written() -> None:
    assert [written(value) for value in (True, False, "", 12, {}, {"a": "b"})] == [
        "yes", "no", "(empty)", "12", "none", "1 of your own",
    ]  # fmt: skip
