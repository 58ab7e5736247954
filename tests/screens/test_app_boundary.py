"""The error boundary: whatever a pane does wrong, its card shows it and the rest lives."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from o_tui.ui import boundary
from o_tui.ui.screens import fatal
from o_tui.ui.widgets.error_card import ErrorCard
from tests.support import scripted_data
from tests.support.screen import View, view

SECRET = "sk-very-secret"


def boom(*_arguments: object, **_named: object) -> None:
    key = SECRET
    raise ValueError(f"broken [x] {len(key)}")


async def assert_card_and_life(v: View, pane_id: str) -> None:
    await v.sees("could not be shown", "ValueError: broken [x] 14")
    pane = v.app.frame.panes[pane_id]
    assert pane.query(ErrorCard)
    await v.press("alt+1")
    await v.write("still here")
    assert v.app.chat.prompt.text.endswith("still here") or pane_id == "chat"
    v.guardian.notify("telemetry", scripted_data.telemetry(13_000))
    await v.sees("WAL 13 000")
    assert not v.app._exit


@pytest.mark.parametrize("pane_id", ["shadows", "vault", "events"])
async def test_an_update_that_raises(pane_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with view() as v:
        monkeypatch.setattr(v.app.frame.panes[pane_id], "update", boom)
        v.guardian.send_snapshot()
        await assert_card_and_life(v, pane_id)


async def test_a_key_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    async with view() as v:
        monkeypatch.setattr(v.app.frame.panes["vault"], "find", boom)
        monkeypatch.setattr(type(v.app.frame.panes["vault"]), "action_find", boom, raising=False)
        await v.press("alt+3", "f3")
        await assert_card_and_life(v, "vault")


async def test_a_timer_that_raises() -> None:
    async with view() as v:
        pane = v.app.frame.panes["events"]

        def tick() -> None:
            boom(pane)

        pane.set_timer(0.01, tick)
        await assert_card_and_life(v, "events")


async def test_a_worker_that_raises() -> None:
    async with view() as v:
        pane = v.app.frame.panes["shadows"]

        async def work() -> None:
            boom()

        pane.run_worker(work(), exit_on_error=False)
        await assert_card_and_life(v, "shadows")


async def test_a_render_that_raises_and_the_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    async with view() as v:
        with monkeypatch.context() as broken:
            broken.setattr(type(v.app.chat.log_view), "render_line", boom)
            v.app.chat.log_view.refresh()
            await v.sees("Chat could not be shown")
        await v.until(lambda: isinstance(v.app.focused, ErrorCard))
        await v.press("r")
        await v.sees("Plan", "Write to O.")
        assert v.app.chat.failure is None
        await v.write("hi")
        assert v.app.chat.prompt.text == "hi"


async def test_a_message_handler_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    async with view() as v:
        monkeypatch.setattr(v.app.chat, "say", boom)
        await v.write("hello")
        await v.press("enter")
        await v.sees("Chat could not be shown")
        await v.press("r")
        await v.sees("Write to O.")


async def test_the_values_of_variables_are_never_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        async with view() as v:
            monkeypatch.setattr(v.app.frame.panes["vault"], "update", boom)
            v.guardian.send_snapshot()
            await v.sees("could not be shown")
            assert SECRET not in v.text()
    assert "ValueError: broken" in caplog.text
    # the source line is there, what it held is not
    assert "key = SECRET" not in caplog.text
    assert SECRET not in caplog.text


def test_the_fatal_message_is_two_lines_without_values() -> None:
    try:
        boom()
    except ValueError as error:
        text = fatal.message(error, Path("/x/o.log"))
        assert text.count("\n") == 2
        assert "ValueError: broken" in text
        assert "/x/o.log" in text
        assert SECRET not in text
        assert SECRET not in "\n".join(boundary.frames(error))


async def test_what_breaks_outside_the_panes_ends_the_view_with_its_error() -> None:
    with pytest.raises(ValueError, match="broken"):
        async with view() as v:
            v.app.call_later(boom)
            await v.until(lambda: v.app.failure)
            assert v.app._exit_renderables == []
