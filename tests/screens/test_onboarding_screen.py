"""The first run: which brain, by number; one key skips it."""

from __future__ import annotations

from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from textual.widgets import Input, OptionList

from o_tui.paths import Paths
from o_tui.protocol.errors import PeerError
from o_tui.ui.screens.onboarding import OnboardingScreen, choices
from tests.support.panes import SIZES, THEMES, Opened, opened
from tests.support.scripted_link import ScriptedGuardian

ANTHROPIC = {
    "provider": "anthropic", "model": "", "base_url": "https://api.anthropic.com", "key_masked": "sk-ant-...9x3Q",
    "source": "environment ANTHROPIC_API_KEY",
}  # fmt: skip
OLLAMA = {
    "provider": "ollama", "model": "qwen3:8b", "models": ["qwen3:8b", "gemma3:4b"], "key_masked": "",
    "base_url": "http://127.0.0.1:11434/v1", "source": "running at 127.0.0.1:11434",
}  # fmt: skip


def fresh(guardian: ScriptedGuardian) -> None:
    guardian.snapshot["config"] = {"brain": {"onboarded": False}}
    guardian.handlers |= {
        "brain.detect": lambda: {"found": [ANTHROPIC, OLLAMA], "problems": []},
        "brain.set": lambda **params: params,
        "brain.key": lambda **params: {},
        "config.set": lambda key, value: {},
    }


async def welcome(view: Opened) -> OnboardingScreen:
    await view.until(lambda: isinstance(view.app.screen, OnboardingScreen))
    screen = view.app.screen
    assert isinstance(screen, OnboardingScreen)
    await view.until(lambda: screen.query_one(OptionList).option_count > 1)
    return screen


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
async def test_looks(workspace: Paths, size: tuple[int, int], theme: str, snapshot: SnapshotAssertion) -> None:
    async with opened(workspace, size, fresh, theme) as view:
        screen = await welcome(view)
        assert await view.settled(screen.query_one(".box")) == snapshot


async def test_one_key_skips_it_for_good(workspace: Paths) -> None:
    async with opened(workspace, setup=fresh) as view:
        await welcome(view)
        await view.press("escape")
        assert await view.called("config.set") == {"key": "brain.onboarded", "value": True}
        assert view.app.screen is view.app.frame
        assert view.calls("brain.set") == []


async def test_who_has_been_asked_is_not_asked_again(workspace: Paths) -> None:
    async with opened(workspace) as view:
        await view.pilot.pause(0.2)
        assert view.app.screen is view.app.frame


@pytest.mark.parametrize(
    ("key", "params"),
    [
        ("1", {"provider": "offline", "model": "", "base_url": ""}),
        ("4", {"provider": "ollama", "model": "gemma3:4b", "base_url": "http://127.0.0.1:11434/v1"}),
    ],
)
async def test_a_number_chooses(workspace: Paths, key: str, params: dict[str, Any]) -> None:
    async with opened(workspace, setup=fresh) as view:
        await welcome(view)
        await view.press(key)
        assert await view.called("brain.set") == params
        await view.until(lambda: view.app.screen is view.app.frame)
        assert await view.called("config.set") == {"key": "brain.onboarded", "value": True}


async def test_a_found_key_needs_a_model(workspace: Paths) -> None:
    async with opened(workspace, setup=fresh) as view:
        await welcome(view)
        await view.press("2", "enter")
        assert "name a model" in view.text()
        await view.press(*"claude", "enter")
        assert (await view.called("brain.set"))["model"] == "claude"


async def test_a_key_is_pasted_masked_and_goes_to_the_broker(workspace: Paths) -> None:
    async with opened(workspace, setup=fresh) as view:
        screen = await welcome(view)
        await view.press("5", *"sk-secret")
        assert screen.query_one("#answer", Input).password
        assert "sk-secret" not in view.text()
        await view.press("enter")
        assert await view.called("brain.key") == {"provider": "openai", "key": "sk-secret"}
        await view.until(lambda: "The model's name" in view.text())
        assert screen.query_one("#answer", Input).value == ""
        await view.press(*"gpt", "enter")
        assert (await view.called("brain.set"))["provider"] == "openai"


async def test_another_endpoint(workspace: Paths) -> None:
    async with opened(workspace, setup=fresh) as view:
        await welcome(view)
        await view.press("6", *"localhost", "enter")
        assert "begins with http" in view.text()
        await view.press("ctrl+u", *"http://127.0.0.1:8080/v1", "enter", "enter", *"phi", "enter")
        assert await view.called("brain.set") == {
            "provider": "openai", "model": "phi", "base_url": "http://127.0.0.1:8080/v1",
        }  # fmt: skip
        assert view.calls("brain.key") == []


async def test_escape_goes_back_one_step(workspace: Paths) -> None:
    async with opened(workspace, setup=fresh) as view:
        screen = await welcome(view)
        await view.press("6", "escape")
        assert view.app.screen is screen
        await view.press("1")
        assert (await view.called("brain.set"))["provider"] == "offline"


async def test_without_a_broker_offline_can_be_chosen(workspace: Paths) -> None:
    def broken(guardian: ScriptedGuardian) -> None:
        fresh(guardian)

        def detect() -> None:
            raise PeerError("the broker does not answer")

        guardian.handlers["brain.detect"] = detect

    async with opened(workspace, setup=broken) as view:
        await welcome(view)
        assert "the broker does not answer" in view.text()
        await view.press("1")
        assert (await view.called("brain.set"))["provider"] == "offline"


def test_the_choices() -> None:
    assert [choice.kind for choice in choices({})] == ["offline", "key", "key", "endpoint"]
    found = choices({"found": [ANTHROPIC, OLLAMA]})
    assert [choice.kind for choice in found] == ["offline", "found", "found", "found", "key", "endpoint"]
    assert "\x1b" not in choices({"found": [OLLAMA | {"models": ["x\x1b[2J"]}]})[1].text
    many = choices({"found": [OLLAMA | {"models": [str(number) for number in range(40)]}]})
    assert len(many) <= 9


async def test_who_goes_to_the_review_has_not_answered_it(workspace: Paths) -> None:
    async with opened(workspace, setup=fresh) as view:
        await welcome(view)
        await view.press("f4")
        await view.until(lambda: view.app.screen is view.app.frame and view.app.frame.active == "review")
        assert view.calls("config.set") == [] and view.calls("brain.set") == []
