"""Every action of the app, by its key, on the real app with a scripted guardian."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil

import pytest

from o_tui.config import Config, ScreenConfig
from o_tui.ui import screens
from o_tui.ui.screens.dialog import Dialog, Modal
from o_tui.ui.screens.help import HelpScreen
from o_tui.ui.screens.palette import Palette
from o_tui.ui.screens.quit import QuitScreen
from o_tui.ui.screens.settings import SettingsScreen
from o_tui.ui.screens.theme_choice import ThemeChoice
from o_tui.ui.terminal import session
from tests.support import scripted_data
from tests.support.screen import view


async def test_the_first_screen_shows_what_the_guardian_said() -> None:
    async with view() as v:
        await v.sees("main [OK]", "standby [OK]", "WAL 12 404", "REVIEW 1", "qwen3:8b", "before evo", "S-7")


@pytest.mark.parametrize(
    ("keys", "pane"),
    [
        (("alt+2",), "shadows"),
        (("alt+3",), "vault"),
        (("alt+4",), "review"),
        (("alt+5",), "events"),
        (("alt+5", "1"), "chat"),
        (("alt+3", "5"), "events"),
        (("f6",), "shadows"),
        (("f6", "f6"), "vault"),
        (("shift+f6",), "events"),
        (("f4",), "review"),
        (("alt+3", "space", "i"), "chat"),
        (("alt+3", "space", "2"), "shadows"),
    ],
)
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_panes_by_key(keys: tuple[str, ...], pane: str, size: tuple[int, int]) -> None:
    async with view(size) as v:
        for key in keys:
            await v.press(key)
            await v.until(lambda: v.app.focused is not None)
        await v.until(lambda: v.app.frame.active == pane)
        assert v.app.frame.panes[pane].display
        await v.until(lambda: v.app.frame.panes[pane].has_focus_within)


async def test_zoom_gives_one_pane_the_screen_and_takes_it_back() -> None:
    async with view() as v:
        await v.press("f11")
        shown = [name for name, pane in v.app.frame.panes.items() if pane.display]
        assert shown == ["chat"]
        await v.press("f11")
        assert v.app.frame.panes["vault"].display


async def test_numbers_are_text_in_the_prompt() -> None:
    async with view() as v:
        await v.press("3", "space", "x")
        assert v.app.chat.prompt.text == "3 x"
        assert v.app.frame.active == "chat"


async def test_leader_shows_its_letters_and_any_other_key_ends_it() -> None:
    async with view() as v:
        await v.press("alt+3", "space")
        await v.sees("t Theme", "q Quit")
        await v.press("x")
        await v.misses("t Theme")
        assert not v.app.leading


async def test_help_lists_the_keys_of_the_pane_and_closes() -> None:
    async with view() as v:
        await v.press("f1")
        assert isinstance(v.app.screen, HelpScreen)
        await v.sees("Keys of Chat", "Stop the answer")
        await v.press("f1")
        assert v.app.screen is v.app.frame
        await v.press("alt+3", "question_mark")
        await v.sees("Keys of Vault")
        await v.press("escape")
        assert v.app.screen is v.app.frame


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("f2",), "Back to the default."),
        (("ctrl+p",), "Every action by its name"),
        (("alt+3", "space", "a"), "how long a decision takes"),
        (("ctrl+q",), "Detach, or stop."),
        (("space", "t"), "Each theme is shown"),
        (("alt+2", "enter"), "All that is known of the row"),
    ],
)
async def test_f1_explains_what_is_above_the_panes_and_gives_it_back(keys: tuple[str, ...], words: str) -> None:
    async with view() as v:
        v.guardian.handlers["evolution.statistics"] = lambda: STATISTICS
        if keys[0] == "space":
            await v.press("shift+tab")
        for key in keys:  # one by one: a pane is shown before the next one is its
            await v.press(key)
        await v.until(lambda: v.app.screen is not v.app.frame)
        above = v.app.screen
        await v.press("f1")
        await v.until(lambda: isinstance(v.app.screen, HelpScreen))
        await v.until(lambda: words in " ".join(v.text().replace("│", " ").split()))
        await v.press("f1")
        await v.until(lambda: v.app.screen is above)


def test_every_screen_above_the_panes_says_what_it_is() -> None:
    for module in pkgutil.iter_modules(screens.__path__):
        importlib.import_module(f"{screens.__name__}.{module.name}")
    found = [each for parent in (Modal, Dialog) for each in parent.__subclasses__() if each not in (Dialog, HelpScreen)]
    assert len(found) > 8 and all(each.about and each.keys_help for each in found)


@pytest.mark.parametrize("above", ["f1", "ctrl+p", "f2"])
@pytest.mark.parametrize(("key", "pane"), [("f4", "review"), ("f6", "shadows"), ("f3", "chat"), ("f11", "chat")])
async def test_who_goes_elsewhere_leaves_what_is_above_the_panes(above: str, key: str, pane: str) -> None:
    async with view() as v:
        await v.press(above)
        await v.until(lambda: v.app.screen is not v.app.frame)
        await v.press(key)
        await v.until(lambda: v.app.screen is v.app.frame and v.app.frame.active == pane)
        await v.until(lambda: v.app.frame.panes[pane].has_focus_within)


async def test_settings_open_in_the_place_of_the_help() -> None:
    async with view() as v:
        await v.press("f1", "f2")
        assert isinstance(v.app.screen, SettingsScreen)
        await v.press("escape")
        assert v.app.screen is v.app.frame


async def test_the_palette_runs_an_action() -> None:
    async with view() as v:
        v.guardian.handlers["checkpoint.create"] = lambda reason: {"id": "c-9"}
        await v.press("ctrl+p")
        assert isinstance(v.app.screen, Palette)
        await v.write("Checkpoint now")
        await v.sees("Write a checkpoint")
        await v.press("enter")
        assert (await v.guardian.called("checkpoint.create"))["reason"] == "by the operator"
        await v.until(lambda: "c-9 written" in v.toasts)


async def test_rollback_by_leader_and_its_error_is_told() -> None:
    async with view() as v:
        await v.press("alt+3", "space", "u")
        await v.until(lambda: "no method rollback" in v.toasts)


async def test_the_theme_is_shown_while_choosing_and_kept_on_enter() -> None:
    async with view() as v:
        v.guardian.handlers["config.set"] = lambda key, value: {key: value}
        await v.press("alt+3", "space", "t")
        assert isinstance(v.app.screen, ThemeChoice)
        await v.press("home", "down", "down", "down")
        await v.until(lambda: v.app.theme == "day")
        await v.press("enter")
        assert await v.guardian.called("config.set") == {"key": "screen.theme", "value": "day"}
        assert v.app.screen is v.app.frame


async def test_escape_takes_a_theme_back() -> None:
    async with view() as v:
        await v.app.perform("app.theme")
        await v.press("home", "down", "down")
        await v.until(lambda: v.app.theme != "night")
        await v.press("escape")
        await v.until(lambda: v.app.theme == "night")
        assert not v.paths.config_file.exists()


async def test_quit_asks_and_detaches() -> None:
    async with view() as v:
        await v.press("ctrl+q")
        assert isinstance(v.app.screen, QuitScreen)
        await v.press("escape")
        assert v.app.screen is v.app.frame
        await v.press("ctrl+q", "d")
        await v.until(lambda: v.app._exit)
        assert v.app.return_value == 0
        assert [name for name, _ in v.guardian.calls if name == "stop"] == []


async def test_quit_stops_the_guardian_when_asked_to() -> None:
    async with view() as v:
        v.guardian.handlers["stop"] = lambda: {"stopped": True}
        await v.press("ctrl+q", "s")
        await v.guardian.called("stop")
        await v.until(lambda: v.app._exit)


async def test_quit_does_not_ask_when_the_setting_says_so() -> None:
    async with view(config=Config(screen=ScreenConfig(theme="night", quit="detach"))) as v:
        await v.press("ctrl+q")
        await v.until(lambda: v.app._exit)


async def test_f4_goes_to_what_waits_and_the_ready_line_goes_with_it() -> None:
    async with view((80, 24)) as v:
        await v.sees("Review ev-17", "F4 open")
        v.guardian.notify("evolution", scripted_data.evolution() | {"state": "promoted"})
        await v.misses("F4 open")


async def test_copying_nothing_says_how_to_leave() -> None:
    async with view() as v:
        await v.press("alt+3", "ctrl+c")
        await v.until(lambda: "Ctrl+Q leaves" in v.toasts)


@pytest.mark.parametrize("size", [(39, 20), (80, 14)])
async def test_too_small_says_so_and_comes_back(size: tuple[int, int]) -> None:
    async with view(size) as v:
        await v.sees("too small", f"{size[0]}x{size[1]}")
        await v.pilot.resize_terminal(80, 24)
        await v.sees("[1 Chat]")
        await v.misses("too small")


async def test_every_size_from_tiny_to_huge_and_back_keeps_what_was_written() -> None:
    async with view() as v:
        await v.write("half a sentence")
        for size in ((40, 20), (200, 60), (20, 5), (100, 30), (99, 29), (180, 50), (40, 15)):
            await v.pilot.resize_terminal(*size)
            await v.pilot.pause()
        assert v.app.chat.prompt.text == "half a sentence"
        assert not any(pane.failure for pane in v.app.frame.panes.values())


async def test_a_phone_can_use_it() -> None:
    async with view((40, 20)) as v:
        await v.sees("[1 Chat]", "main [OK]")
        await v.press("f6", "f6")
        await v.sees("[3 Vault]")


async def test_ascii_draws_with_ascii_only() -> None:
    config = Config(screen=ScreenConfig(theme="night", ascii=True))
    snapshot = scripted_data.snapshot() | {"shadows": [], "events": [], "checkpoints": [], "evolutions": []}
    async with view(config=config, snapshot=snapshot) as v:
        await v.sees("* type hints")
        v.app.frame.panes["chat"].border_title = "x"
        chat = [line[:60] for line in v.text().split("\n")]
        assert [line for line in chat if not line.isascii()] == []


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize(
    "keys", [("alt+2",), ("alt+3",), ("alt+4",), ("alt+5",), ("f1",), ("f2",), ("ctrl+p",), ("ctrl+q",)]
)
async def test_no_frame_mark_or_ellipsis_is_more_than_ascii(keys: tuple[str, ...], size: tuple[int, int]) -> None:
    async with view(size, config=Config(screen=ScreenConfig(theme="night", ascii=True))) as v:
        await v.press(*keys)
        await v.pilot.pause()
        drawn = {letter for letter in v.text() if not letter.isascii()}
        assert not {letter for letter in drawn if 0x2190 <= ord(letter) < 0x2800 or letter in "…›‹•·–—"}


@pytest.mark.parametrize(
    ("environment", "plain"),
    [
        ({}, False),
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, True),
        ({"LANG": "de_DE.ISO-8859-1"}, True),
        ({"LANG": "C.utf8", "TERM": "xterm-256color"}, False),
        ({"LANG": "C.UTF-8", "TERM": "linux"}, True),
    ],
)
def test_ascii_where_the_terminal_knows_no_more(environment: dict[str, str], plain: bool) -> None:
    assert session.is_plain(environment) is plain


async def test_no_color_sends_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with view() as v:
        await v.sees("main [OK]")
        for strip in v.app.screen._compositor.render_strips(v.app.size):
            for segment in strip.apply_filter(v.app._filters[0], v.app.screen.background_colors[1]):
                style = segment.style
                assert style is None or (
                    (style.color is None or style.color.is_default)
                    and (style.bgcolor is None or style.bgcolor.is_default)
                )


async def test_onboarding_is_offered_once_to_a_new_operator() -> None:
    snapshot = scripted_data.snapshot() | {"config": {"brain": {"onboarded": False}}}
    pytest.importorskip("o_tui.ui.screens.onboarding")
    async with view(snapshot=snapshot) as v:
        await v.until(lambda: type(v.app.screen).__name__ == "OnboardingScreen")
        await v.press("escape")
        v.guardian.send_snapshot()
        await asyncio.sleep(0.05)
        await v.until(lambda: v.app.screen is v.app.frame)


async def test_an_answer_is_rated_by_key() -> None:
    async with view() as v:
        v.guardian.handlers["feedback"] = lambda verdict, request_id: {}
        await v.press("shift+tab", "g")
        assert await v.guardian.called("feedback") == {"verdict": "good", "request_id": "rq-b"}
        await v.sees("you: good")
        await v.press(*["up"] * 40, "b")
        await v.sees("you: bad")
        assert v.guardian.calls[-1] == ("feedback", {"verdict": "bad", "request_id": "rq-a"})


async def test_what_the_view_says_itself_is_not_rated() -> None:
    async with view() as v:
        pane = v.app.frame.panes["chat"]
        pane.say_local("/brain", "- provider: offline")
        await v.press("shift+tab", "g")
        assert not [call for call in v.guardian.calls if call[0] == "feedback"]
        assert "no answer to be rated" in v.toasts


STATISTICS = {
    "count": 14,
    "states": {"promoted": 5, "rejected": 6, "no_evidence": 2, "abandoned": 1},
    "sources": {"operators": {"count": 11, "promoted": 5, "decided": 10, "rate": 0.5}},
    "operators": {"literals": {"count": 9, "promoted": 4, "decided": 9, "rate": 0.4444}},
    "genes": {"recall": {"count": 14, "promoted": 5, "decided": 13, "rate": None}},
    "decision_s": {"median": 12.5, "longest": 75.0},
    "credit": {"sources": {"operators": {"tries": 11, "wins": 4.0, "losses": 5.0}}, "operators": {}},
}


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_statistics_by_leader(size: tuple[int, int]) -> None:
    async with view(size) as v:
        v.guardian.handlers["evolution.statistics"] = lambda: STATISTICS
        await v.press("alt+4", "escape", "alt+3", "space", "a")
        await v.sees("14 evolutions", "no evidence", "abandoned", "half within 12.5 s, the longest 1 m 15 s", "0.45")


async def test_statistics_fit_a_phone() -> None:
    async with view((40, 20)) as v:
        v.guardian.handlers["evolution.statistics"] = lambda: STATISTICS
        await v.press("alt+3", "space", "a")
        await v.sees("By source    tried success credit", "operators     11    50 %   0.45")


async def test_statistics_of_nothing_say_what_to_do() -> None:
    async with view() as v:
        v.guardian.handlers["evolution.statistics"] = lambda: {"count": 0, "states": {}}
        await v.press("alt+3", "space", "a")
        await v.sees("Nothing has been tried yet", "/evolve recall")
