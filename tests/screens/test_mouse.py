"""The mouse: what reads like something to be done can be clicked, and a click does what the key does."""

from __future__ import annotations

import time

import pytest

from o_tui.paths import Paths
from tests.support import scripted_data
from tests.support.panes import SIZES, Opened, evolution, opened
from tests.support.review import one, review
from tests.support.scripted_link import ScriptedGuardian


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


async def click(view: Opened, words: str, times: int = 1) -> None:
    """Clicks on words that are seen."""
    lines = view.text().split("\n")
    y = next(number for number, line in enumerate(lines) if words in line)
    at = lines[y].index(words) + len(words) // 2
    await view.pilot.click(offset=(at, y), times=times)
    await view.pilot.pause()


@pytest.mark.parametrize("size", SIZES)
async def test_a_click_in_the_footer_goes_to_the_next_hunk(workspace: Paths, size: tuple[int, int]) -> None:
    async with opened(workspace, size, one) as view:
        await review(view)
        await view.until(lambda: "hunk 1/2" in view.text())
        await click(view, "n Next hunk")
        await view.until(lambda: "hunk 2/2" in view.text())


async def test_who_moves_in_the_diff_sees_it(workspace: Paths) -> None:
    async with opened(workspace, setup=one) as view:
        pane, _ = await review(view)
        await click(view, "i evidence")
        await view.until(lambda: "Measured on" in view.text() and not pane.diff.display)
        await click(view, "n Next hunk")
        await view.until(lambda: "hunk 2/2" in view.text() and pane.diff.display)
        assert pane.diff.has_focus


async def test_what_can_be_decided_can_be_clicked_and_a_click_alone_approves_nothing(workspace: Paths) -> None:
    async with opened(workspace, (120, 40), one) as view:
        pane, clock = await review(view)
        await click(view, "A approve")
        assert not pane.bar.open_for and "Too soon" in view.text()
        clock.wait()
        await click(view, "A Approve")
        await view.until(lambda: pane.bar.open_for)
        await click(view, "x Reject hunk")  # who goes elsewhere has not decided
        await view.until(lambda: not pane.bar.open_for)
        assert pane.diff.marks and view.calls("approve") == []


@pytest.mark.parametrize("words", ["! REVIEW 1", "F4 open", "4 Review"])
async def test_what_waits_is_a_click_away(workspace: Paths, words: str) -> None:
    async with opened(workspace, setup=one) as view:
        await view.until(lambda: words in view.text())
        await click(view, words)
        await view.until(lambda: view.app.frame.active == "review" and "hunk 1/2" in view.text())


def ended(guardian: ScriptedGuardian) -> None:
    guardian.snapshot["evolutions"] = [
        evolution(id="ev-15", state="promoted", version="0.1.1", time_ns=scripted_data.NOW - 86_400 * 10**9),
        evolution(id="ev-16", state="rejected", reason="too slow", time_ns=scripted_data.NOW - 3_600 * 10**9),
    ]
    guardian.handlers["evolution.show"] = lambda id: next(
        row for row in guardian.snapshot["evolutions"] if row["id"] == id
    )


@pytest.mark.parametrize("key", ["Enter Open", "v Review"])
async def test_a_click_in_the_footer_is_about_the_row_that_was_clicked(workspace: Paths, key: str) -> None:
    async with opened(workspace, setup=ended) as view:
        pane = await view.go("shadows")
        await click(view, "ev-15")
        assert pane.outcomes.has_focus and pane.outcomes.current_key == "ev-15"
        await click(view, key)
        review = view.app.frame.panes["review"]
        await view.until(lambda: view.app.frame.active == "review" and review._item.get("id") == "ev-15")


async def test_the_end_of_the_events_is_a_click_away(workspace: Paths) -> None:
    async with opened(workspace) as view:
        pane = await view.go("events")
        for number in range(40):
            view.guardian.notify("event", scripted_data.snapshot()["events"][0] | {"id": 1_000 + number})
        await view.until(lambda: len(pane.log_rows.rows) > 40)
        await view.press("home")
        await view.until(lambda: "End to follow" in view.text())
        await click(view, "End to follow")
        await view.until(lambda: pane.log_rows.following)
        assert "End to follow" not in view.text()


async def test_the_selected_answer_is_copied_by_the_footer(workspace: Paths) -> None:
    async with opened(workspace, (120, 40)) as view:
        log = view.app.chat.log_view
        await view.press("shift+tab")
        await view.until(lambda: log.has_focus and "y Copy" in view.text())
        await click(view, "y Copy")
        await view.until(lambda: "the answer to the clipboard" in view.told())
        assert log.has_focus


async def test_the_end_of_the_chat_is_a_click_away(workspace: Paths) -> None:
    def long(guardian: ScriptedGuardian) -> None:
        guardian.snapshot["requests"] = [scripted_data.request("rq-x", "question", "a line\n\n" * 100)]

    async with opened(workspace, setup=long) as view:
        log = view.app.chat.log_view
        await view.until(lambda: "a line" in view.text())
        await view.press("pageup")
        await view.until(lambda: not log.following and "End to follow" in view.text())
        await click(view, "End to follow")
        await view.until(lambda: log.following)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("words", "pane"), [("3 Vault ", "vault"), ("5 Events ", "events"), ("r Review", "review")])
async def test_the_letters_of_the_leader_can_be_clicked(
    workspace: Paths, size: tuple[int, int], words: str, pane: str
) -> None:
    async with opened(workspace, size) as view:
        await view.go("shadows")
        await view.press("space")
        await view.until(lambda: "g Start guardian" in view.text())
        lines = view.text().split("\n")
        top = next(number for number, line in enumerate(lines) if "h Help" in line and "s Settings" in line)
        y = next(number for number, line in enumerate(lines) if number >= top and words in line)
        await view.pilot.click(offset=(lines[y].index(words) + 3, y))
        await view.until(lambda: view.app.frame.active == pane and not view.app.leading)
        await view.until(lambda: "g Start guardian" not in view.text())


async def test_a_click_beside_the_letters_ends_the_leader(workspace: Paths) -> None:
    async with opened(workspace) as view:
        await view.go("shadows")
        await view.press("space")
        await view.until(lambda: "g Start guardian" in view.text())
        await view.pilot.click(offset=(40, 8))
        await view.until(lambda: not view.app.leading and "g Start guardian" not in view.text())
        assert view.app.frame.active == "shadows"
