"""The registry of actions and the operator's own keys."""

from __future__ import annotations

from typing import get_args

import pytest

from o_tui.config import Config, ScreenConfig
from o_tui.ui import keymap
from o_tui.ui.actions import APP, Action, Where
from o_tui.ui.app import OApp
from o_tui.ui.frame import pane_classes
from o_tui.ui.keys import shown
from o_tui.ui.panes.chat import ChatPane
from tests.support.screen import view

TAKEN = frozenset(f"ctrl+{letter}" for letter in "abhijmsz") | {"ctrl+left_square_bracket"}
"""Keys that multiplexers and terminals keep for themselves."""
PANES = (ChatPane, *pane_classes())
ALL = (*APP, *(action for pane in PANES for action in pane.actions))


def test_every_action_has_a_method_a_place_and_a_sentence() -> None:
    owners = {pane.pane_id: pane for pane in PANES} | {"app": OApp}
    for action in ALL:
        assert action.where in get_args(Where)
        assert callable(getattr(owners[action.where], f"action_{action.method}", None)), action.id
        assert action.help.endswith("."), action.id
        assert 0 < len(action.title) <= 20, action.id


def test_ids_are_unique_and_no_place_has_a_key_twice() -> None:
    assert len({action.id for action in ALL}) == len(ALL)
    for place in get_args(Where):
        keys = [key for action in ALL if action.where == place for key in action.keys]
        assert len(keys) == len(set(keys)), place
        letters = [action.leader for action in ALL if action.leader]
        assert len(letters) == len(set(letters))


def test_keys_of_multiplexers_and_terminals_are_not_used() -> None:
    assert not [(action.id, key) for action in ALL for key in action.keys if key in TAKEN]


def test_priority_keys_of_the_app_are_no_keys_of_panes() -> None:
    everywhere = {key for action in APP if action.priority for key in action.keys}
    assert not [(a.id, key) for a in ALL if a.where != "app" for key in a.keys if key in everywhere]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"app.zom": "f7"}, "did you mean app.zoom?"),
        ({"nothing.like.this": "f7"}, "there is no action nothing.like.this"),
        ({"app.zoom": "control-z"}, "'control-z' of app.zoom is no key"),
        ({"app.zoom": ""}, "is no key"),
        ({"app.zoom": "hyperspace+x"}, "is no key"),
        ({"app.zoom": "f1"}, "f1 of app.zoom is the key of app.help too; the default stays"),
        ({"app.zoom": "f9", "app.find": "f9"}, "f9 of app.zoom is the key of app.find too"),
        ({"chat.copy": "f6"}, "f6 of chat.copy is the key of app.next_pane too"),
    ],
)
def test_what_is_wrong_is_one_line_and_the_default_stays(keys: dict[str, str], problem: str) -> None:
    good, problems = keymap.check(keys, ALL)
    assert any(problem in line for line in problems), problems
    assert len(problems) == 1
    assert len(good) == len(keys) - 1


def test_swapping_two_keys_is_no_conflict() -> None:
    good, problems = keymap.check({"app.help": "f2", "app.settings": "f1"}, ALL)
    assert problems == []
    assert good == {"app.help": "f2", "app.settings": "f1"}


def test_panes_may_have_the_same_keys() -> None:
    one = Action("vault.x", ("x",), "X", "X.")
    two = Action("events.y", ("y",), "Y", "Y.")
    assert keymap.check({"events.y": "x"}, (one, two)) == ({"events.y": "x"}, [])


@pytest.mark.parametrize(
    ("key", "words"),
    [("ctrl+p", "^P"), ("f11", "F11"), ("question_mark", "?"), ("shift+tab", "Shift+Tab"), ("alt+enter", "Alt+Enter")],
)
def test_keys_are_written_for_people(key: str, words: str) -> None:
    assert shown(key) == words


def test_no_key_is_written_as_textual_names_it() -> None:
    every = [key for action in ALL for key in action.keys] + sorted(keymap._NAMES)
    assert [shown(key) for key in every if "_" in shown(key)[1:]] == []


async def test_the_operators_keys_work_and_are_shown() -> None:
    config = Config(screen=ScreenConfig(theme="night", keys={"app.zoom": "f7,ctrl+o", "app.fly": "f7"}))
    async with view(config=config) as v:
        await v.until(lambda: "there is no action app.fly" in v.toasts)
        await v.sees("F7 Zoom")
        await v.press("f7")
        assert v.app.frame.zoomed
        await v.press("ctrl+o")
        assert not v.app.frame.zoomed
        await v.press("f11")
        assert not v.app.frame.zoomed


async def test_keys_change_while_the_view_runs() -> None:
    async with view() as v:
        v.guardian.notify("config", {"screen": {"theme": "night", "keys": {"app.zoom": "f7"}}})
        await v.sees("F7 Zoom")
        await v.press("f7")
        assert v.app.frame.zoomed
