"""The pane Events: processes, the log's place, what happened."""

from __future__ import annotations

import time
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from o_tui.paths import Paths
from o_tui.ui.screens.confirm import ConfirmScreen
from o_tui.ui.screens.inspect import InspectScreen
from tests.support import scripted_data
from tests.support.panes import SIZES, THEMES, opened
from tests.support.scripted_link import ScriptedGuardian


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def node(name: str, pid: int = 0, children: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    return {"id": name, "state": "running", "pid": pid, "restarts": 0, "children": children or [], **more}


def event(number: int, text: str = "", level: str = "info", source: str = "guardian") -> dict[str, Any]:
    row = scripted_data.event(number, source, text or f"checkpoint c-{number:04d} written", level)
    return row | {"time_ns": scripted_data.NOW - (600 - number) * 10**9}


def busy(guardian: ScriptedGuardian) -> None:
    agents = node("agents", 0, [node("main", 4001, restarts=2), node("standby", 4002, state="starting")])
    guardian.snapshot["tree"] = node("guardian", 4000, [node("nursery", 3999), agents, node("broker", 4003)])
    guardian.snapshot["shadows"] = []
    guardian.snapshot["events"] = [
        *(event(number) for number in range(501, 560)),
        event(560, "ev-17 waits for the operator", "warning", "review"),
        event(561, "child 4001 ended: SIGKILL, back in 8 ms", "error", "nursery"),
    ]

    def page(before: int, limit: int, filter: str) -> list[dict[str, Any]]:
        level = "error" if filter else "info"
        found = range(before - 1, max(0, before - limit - 1), -7 if filter else -1)
        return [event(number, f"older {number}", level) for number in found]

    guardian.handlers["events.list"] = page
    guardian.handlers["kill"] = lambda role: {"role": role, "pid": 4001}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
async def test_looks(workspace: Paths, size: tuple[int, int], theme: str, snapshot: SnapshotAssertion) -> None:
    async with opened(workspace, size, busy, theme) as view:
        pane = await view.go("events")
        assert await view.settled(pane) == snapshot


async def test_empty_says_what_will_come(workspace: Paths) -> None:
    async with opened(workspace, setup=lambda guardian: guardian.snapshot.update(events=[])) as view:
        await view.go("events")
        assert "Nothing has happened yet" in view.text()


async def test_the_tree_shows_restarts_and_beats(workspace: Paths) -> None:
    async with opened(workspace, (120, 40), busy) as view:
        pane = await view.go("events")
        await view.press("f11")
        names = [row["name"] for row in pane.processes.rows]
        assert names == ["guardian", "nursery", "agents", "main", "standby", "broker"]
        main = pane.processes.rows[3]
        assert (main["restarts"], main["heartbeat_age_ms"], main["pid"]) == (2, 400.0, 4001)
        assert "400 ms" in view.text()


async def test_without_a_tree_the_instances_are_shown(workspace: Paths) -> None:
    async with opened(workspace) as view:
        pane = await view.go("events")
        assert [row["name"] for row in pane.processes.rows] == ["guardian", "main", "standby"]


async def test_new_events_are_followed(workspace: Paths) -> None:
    async with opened(workspace, setup=busy) as view:
        pane = await view.go("events")
        view.guardian.notify("event", event(562, "something new"))
        await view.until(lambda: "something new" in view.text())
        assert pane.log_rows.current_key == "562"


async def test_who_reads_back_is_left_alone_until_end(workspace: Paths) -> None:
    async with opened(workspace, setup=busy) as view:
        pane = await view.go("events")
        await view.press("up", "up")
        view.guardian.notify("event", event(562, "something new"))
        await view.until(lambda: "1 new below, End to follow" in view.text())
        assert pane.log_rows.current_key == "559"
        await view.press("end")
        assert "something new" in view.text()
        assert pane.log_rows.following


async def test_older_pages_come_as_one_goes_up(workspace: Paths) -> None:
    async with opened(workspace, setup=busy) as view:
        pane = await view.go("events")
        await view.press("home")
        await view.until(lambda: pane.store.first == 301)
        assert view.calls("events.list")[0] == {"before": 501, "limit": 200, "filter": ""}
        assert pane.log_rows.current_key == "501"
        await view.press("home")
        await view.until(lambda: pane.store.first == 101)


async def test_the_filter_reads_words_and_levels(workspace: Paths) -> None:
    async with opened(workspace, setup=busy) as view:
        pane = await view.go("events")
        await view.press("slash", *"level:error", "enter")
        await view.until(lambda: len(pane.log_rows.rows) > 1)
        assert pane.log_rows.rows[-1]["id"] == 561
        assert pane.log_rows.has_focus
        assert (await view.called("events.list"))["filter"] == "level:error"
        await view.press("slash", "escape")
        assert [row["id"] for row in pane.log_rows.rows] == list(range(501, 562))


async def test_enter_shows_a_row(workspace: Paths) -> None:
    async with opened(workspace, setup=busy) as view:
        await view.go("events")
        await view.press("enter")
        await view.until(lambda: isinstance(view.app.screen, InspectScreen))
        assert "child 4001 ended: SIGKILL, back in 8 ms" in view.text()


async def test_enter_shows_a_process(workspace: Paths) -> None:
    async with opened(workspace, setup=busy) as view:
        await view.go("events")
        await view.press("shift+tab", "down", "down", "down", "enter")
        await view.until(lambda: isinstance(view.app.screen, InspectScreen))
        assert "heartbeat age" in view.text()


@pytest.mark.parametrize("role", ["main", "standby"])
async def test_a_drill_needs_its_words(workspace: Paths, role: str) -> None:
    async with opened(workspace, setup=busy) as view:
        await view.go("events")
        await view.press("K")
        await view.until(lambda: isinstance(view.app.screen, ConfirmScreen))
        await view.press(*"kill", "enter")
        assert view.calls("kill") == []
        await view.press("space", *role, "enter")
        assert await view.called("kill") == {"role": role}


async def test_text_from_outside_is_harmless(workspace: Paths) -> None:
    def hostile(guardian: ScriptedGuardian) -> None:
        busy(guardian)
        guardian.snapshot["events"].append(event(562, "[@click=app.exit]x[/] \x1b]0;t\x07", "error"))

    async with opened(workspace, setup=hostile) as view:
        await view.go("events")
        assert "[@click=app.exit]x[/]" in view.text()
        assert "\x1b" not in view.text()
