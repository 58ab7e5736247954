"""The screen as pictures: three sizes, dark and light, and what opens above it. `--snapshot-update` draws them anew."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion

from o_tui.config import Config, ScreenConfig
from tests.support import scripted_data
from tests.support.screen import View, view

SIZES = [(80, 24), (120, 40), (200, 60)]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times of day are the same everywhere."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def picture(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(SVGImageExtension)


def config(theme: str, *, ascii_only: bool = False) -> Config:
    return Config(screen=ScreenConfig(theme=theme, ascii=ascii_only))


async def drawn(v: View) -> str:
    """The screen, once nothing changes any more."""
    last, now = "", v.app.export_screenshot()
    while now != last:
        await v.pilot.pause(0.15)
        last, now = now, v.app.export_screenshot()
    return now


@pytest.mark.parametrize("theme", ["night", "day"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_view(picture: SnapshotAssertion, size: tuple[int, int], theme: str) -> None:
    async with view(size, config=config(theme)) as v:
        await v.sees("main [OK]")
        assert await drawn(v) == picture


@pytest.mark.parametrize("theme", ["night", "day"])
async def test_an_answer_with_tools_on_its_way(picture: SnapshotAssertion, theme: str) -> None:
    async with view((80, 24), config=config(theme), snapshot=scripted_data.snapshot() | {"requests": []}) as v:
        row = scripted_data.request("rq-x", "speed up mutate() without losing accuracy", state="running")
        v.guardian.notify("chat.request", row)
        for kind, data in (
            ("recall", {"query": "mutate", "hits": [1, 2, 3]}),
            ("text", {"text": "Let me look at it first.\n"}),
            ("tool_call", {"name": "read", "arguments": {"path": "genome/core.py"}}),
            ("tool_result", {"name": "read", "ok": True, "text": "def mutate(): ..."}),
            ("tool_call", {"name": "notes", "arguments": {"text": "a note"}}),
            ("text", {"text": "\nI will rewrite `mutate()` and add a **latency** te"}),
        ):
            v.guardian.notify("chat.event", {"request_id": "rq-x", "kind": kind, "data": data})
        await v.sees("latency te")
        assert await drawn(v) == picture


async def test_a_failed_answer_and_the_selected_message(picture: SnapshotAssertion) -> None:
    rows = [scripted_data.request("rq-f", "what is new?", error="the model did not answer in 60 s", state="failed")]
    async with view((80, 24), config=config("night"), snapshot=scripted_data.snapshot() | {"requests": rows}) as v:
        await v.sees("what is new?")
        await v.press("shift+tab")
        assert await drawn(v) == picture


async def test_the_first_minute(picture: SnapshotAssertion) -> None:
    empty = {"status": scripted_data.snapshot()["status"] | {"pending": 0}, "config": {"brain": {"onboarded": True}}}
    async with view((80, 24), config=config("night"), snapshot=empty | {"brain": {"provider": "offline"}}) as v:
        await v.write("/")
        assert await drawn(v) == picture


async def test_no_guardian(picture: SnapshotAssertion) -> None:
    async with view((80, 24), config=config("night"), connected=False) as v:
        await v.sees("Waiting for the guardian")
        assert await drawn(v) == picture


@pytest.mark.parametrize("keys", [("f1",), ("ctrl+q",), ("alt+3", "space"), ("alt+3", "space", "t")], ids="-".join)
async def test_what_opens_above(picture: SnapshotAssertion, keys: tuple[str, ...]) -> None:
    async with view((80, 24), config=config("night")) as v:
        for key in keys:
            await v.press(key)
        assert await drawn(v) == picture


async def test_ascii_only(picture: SnapshotAssertion) -> None:
    async with view((80, 24), config=config("contrast", ascii_only=True)) as v:
        assert await drawn(v) == picture


async def test_a_phone(picture: SnapshotAssertion) -> None:
    async with view((40, 20), config=config("paper")) as v:
        assert await drawn(v) == picture


async def test_too_small(picture: SnapshotAssertion) -> None:
    async with view((36, 12), config=config("night")) as v:
        assert await drawn(v) == picture


async def test_an_error_card(picture: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch) -> None:
    async with view((80, 24), config=config("night")) as v:
        pane = v.app.chat
        pane.fail(ValueError("a mistake of this pane"))
        await v.sees("could not be shown")
        assert await drawn(v) == picture
