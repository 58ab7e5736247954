"""The pane Review: looking at a change, and the decisions beside approving it."""

from __future__ import annotations

import time

import pytest
from syrupy.assertion import SnapshotAssertion
from textual.widgets import Static

from o_tui.paths import Paths
from o_tui.ui.diff.view import DiffView
from o_tui.ui.panes.evidence import evidence, summary
from o_tui.ui.screens.confirm import ConfirmScreen
from o_tui.ui.screens.part import PartScreen
from o_tui.ui.screens.reject_reason import RejectScreen
from tests.support.panes import OLD, SIZES, THEMES, diff_text, evolution, opened, with_evolutions
from tests.support.review import VERSION, keeps_parts, one, review, two
from tests.support.scripted_link import ScriptedGuardian


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
async def test_looks(workspace: Paths, size: tuple[int, int], theme: str, snapshot: SnapshotAssertion) -> None:
    async with opened(workspace, size, two, theme) as view:
        await view.go("review")
        pane = view.app.frame.panes["review"]
        await view.until(lambda: pane._item)
        await view.settled(pane)
        await view.press("n")
        assert await view.settled(pane) == snapshot


async def test_what_hides_is_told_beside_long_numbers_too(workspace: Paths) -> None:
    latency = {"ratio_median": 1.03, "ci_low": 0.863, "ci_high": 1.125}
    found = evolution(diff_text(OLD, OLD.replace("One.", "O\u200bne.")))
    found["evidence"] = found["evidence"] | {"latency": found["evidence"]["latency"] | latency, "pairs": 12_800}
    async with opened(workspace, setup=with_evolutions(found)) as view:
        await view.go("review")
        await view.until(lambda: "HIDDEN CHARACTERS" in view.text())
        assert "12 800 answers differ" in view.text()
        assert "i evidence" in view.text()


@pytest.mark.parametrize(
    ("risk", "words", "short"),
    [("medium", "reach none added: the logic differs", ""), ("high", "reach ADDED OR CHANGED: imports", "REACH ADDED")],
)
def test_what_a_change_reaches_beyond_the_code_before_is_told(risk: str, words: str, short: str) -> None:
    row = evolution(risk=risk)
    assert any(" ".join(line.plain.split()).startswith(words) for line in evidence(row, []))
    assert any(line.plain == "REACH ADDED" for line in summary(row, [])) is bool(short)


@pytest.mark.parametrize("pane", ["chat", "shadows", "vault", "review", "events"])
@pytest.mark.parametrize("size", [(40, 20), (80, 24), (120, 40)])
async def test_f1_is_named_on_every_page(workspace: Paths, size: tuple[int, int], pane: str) -> None:
    async with opened(workspace, size, with_evolutions(evolution())) as view:
        await view.go(pane)
        await view.until(lambda: size[0] < 60 or "F1 Help" in view.text())
        assert "^Q Quit" in view.text()


async def test_what_is_being_tried_stands_where_nothing_waits(workspace: Paths) -> None:
    work = {"doing": "validate", "at": 5, "of": 12, "failed": 0}
    async with opened(workspace, setup=with_evolutions(evolution(id="ev-18", state="validate", work=work))) as view:
        await view.go("review")
        await view.until(lambda: "Nothing waits for you yet." in view.text())
        told = " ".join(view.text().split())
        assert "ev-18 recall: validate, step 4 of 6, validating candidate 5 of 12" in told
        pane = view.app.frame.panes["review"]
        pane.show_item("ev-18")
        await view.until(lambda: "Validate, step 4 of 6, validating candidate 5" in view.text())


async def test_empty_says_what_to_do(workspace: Paths) -> None:
    async with opened(workspace, setup=with_evolutions()) as view:
        await view.go("review")
        assert "Nothing waits for you." in view.text()
        assert "Next hunk" not in view.text()
        assert "/evolve recall" in view.text()
        await view.press("A", "R")
        assert view.calls("approve") == view.calls("reject") == []


# --- looking


async def test_rows_fit_the_width_also_without_a_resize(workspace: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(workspace, (200, 60), one) as view:
        pane, _ = await review(view)
        await view.settled(pane)
        right = list(pane.diff._lines)
        # a diff that is shown while it is hidden has no width; on a busy machine no Resize follows
        monkeypatch.setattr(DiffView, "on_resize", lambda self, event: None)
        pane.diff.display = False
        await view.until(lambda: pane.diff.window.width == 0)
        pane.diff.show(diff_text())
        assert len(pane.diff._lines) < len(right), "or a scrollbar would come and go"
        pane.diff.display = True
        await view.until(lambda: pane.diff._lines == right)


async def test_hunks_and_files(workspace: Paths) -> None:
    text = diff_text() + diff_text("a\n", "b\n", "tools/dates.py")
    async with opened(workspace, setup=with_evolutions(evolution(text))) as view:
        pane, _ = await review(view)
        assert "hunk 1/3" in view.text()
        await view.press("n")
        assert "hunk 2/3" in view.text()
        await view.press("right_square_bracket")
        assert "file 2/2 hunk 3/3" in view.text()
        await view.press("left_square_bracket", "n", "p")
        assert "hunk 1/3" in view.text()
        assert pane.diff.has_focus


async def test_wrap_split_and_context(workspace: Paths) -> None:
    async with opened(workspace, (120, 40), one) as view:
        pane, _ = await review(view)
        assert pane.diff.is_split
        await view.press("s")
        assert not pane.diff.is_split
        await view.press("w")
        assert not pane.diff.wrapped
        await view.press("plus")
        assert await view.called("genome.show") == {"revision": "9f3c1e0b5d7a", "path": "recall.py"}
        await view.until(lambda: pane.diff._document.files[0].hunks[0].lines[0].old == 5)
        await view.press("minus", "minus")
        assert pane.diff.context == 0
        assert all(line.kind != "context" for line in pane.diff._document.files[0].hunks[0].lines)


async def test_find(workspace: Paths) -> None:
    async with opened(workspace, setup=one) as view:
        pane, _ = await review(view)
        await view.press("slash", *"HALF_LIFE")
        assert "HALF_LIFE_DAYS = 14.0" in view.text()
        await view.press("escape")
        assert pane.diff.has_focus
        await view.press("slash", *"nowhere", "enter")
        assert "not in this diff" in view.told()


async def test_copy_takes_the_hunk(workspace: Paths) -> None:
    async with opened(workspace, setup=one) as view:
        await review(view)
        await view.press("y")
        await view.until(lambda: view.app.clipboard)
        assert view.app.clipboard.startswith("@@ -")
        assert "+    lexical = search.lexical(query, 3 * k)" in view.app.clipboard


async def test_evidence_folds_and_unfolds(workspace: Paths) -> None:
    async with opened(workspace, setup=one) as view:
        pane, _ = await review(view)
        assert "latency 19 % faster (-24.0 .. -13.0 %)" in view.text()
        await view.press("i")
        assert "Measured on 60 pairs" in view.text()
        assert not pane.diff.display
        assert view.app.frame.active == "review"
        await view.press("i")
        assert pane.diff.has_focus


async def test_a_stale_base_is_told(workspace: Paths) -> None:
    async with opened(workspace, setup=with_evolutions(evolution(base="0000aaaa1111"))) as view:
        await review(view)
        assert "STALE, deployed is 9f3c1e0" in view.text()


async def test_a_base_is_not_called_stale_from_an_old_status(workspace: Paths) -> None:
    def newer(guardian: ScriptedGuardian) -> None:
        with_evolutions(evolution(base="0000aaaa1111"))(guardian)
        guardian.handlers["status"] = lambda: {"genome": {"revision": "0000aaaa1111", "version": "0.1.1"}}

    async with opened(workspace, setup=newer) as view:
        await review(view)
        await view.until(lambda: "base 0000aaa (current)" in view.text())


async def test_hidden_characters_are_told(workspace: Paths) -> None:
    text = diff_text("a = 1\n", "а = 1  # \u202e\n")
    async with opened(workspace, (120, 40), with_evolutions(evolution(text))) as view:
        await review(view)
        assert "[!] 2 hidden or confusable" in view.text()
        assert "<U+202E>" in view.text()
        assert "\u202e" not in view.text()


async def test_a_diff_full_of_escapes_is_harmless(workspace: Paths) -> None:
    text = diff_text("a\n", "[@click=app.exit]b[/] \x1b[2J\x9b31m\r\x07\n")
    async with opened(workspace, setup=with_evolutions(evolution(text))) as view:
        await review(view)
        assert "[@click=app.exit]b[/]" in view.text()
        assert not {"\x1b", "\x9b", "\r", "\x07"} & set(view.text())


# --- the other decisions


async def test_rejecting_needs_a_reason(workspace: Paths) -> None:
    async with opened(workspace, setup=one) as view:
        await review(view)
        await view.press("R")
        await view.until(lambda: isinstance(view.app.screen, RejectScreen))
        await view.press("enter")
        assert "say why" in view.text()
        await view.press(*"slow", "enter")
        assert await view.called("reject") == {"id": "ev-17", "reason": "slow"}
        await view.until(lambda: "Rejected by ada: slow" in view.text())


async def test_later_goes_to_the_chat_when_nothing_else_waits(workspace: Paths) -> None:
    async with opened(workspace, setup=one) as view:
        await review(view)
        await view.press("L")
        assert view.app.frame.active == "chat"
        assert view.calls("reject") == []


async def test_rolling_back_needs_the_word(workspace: Paths) -> None:
    def promoted(guardian: ScriptedGuardian) -> None:
        with_evolutions(evolution(), evolution(id="ev-9", state="promoted", version="0.1.0"))(guardian)
        guardian.handlers["rollback"] = lambda **params: {"version": "0.1.2", "revision": "aa"}

    async with opened(workspace, setup=promoted) as view:
        await review(view)
        await view.press("u")
        await view.until(lambda: isinstance(view.app.screen, ConfirmScreen))
        await view.press(*"rollback", "enter")
        await view.called("rollback")
        await view.until(lambda: "Rolled back: v0.1.2 runs." in view.text())


async def test_rolling_back_while_a_canary_runs_ends_it(workspace: Paths) -> None:
    def canary(guardian: ScriptedGuardian) -> None:
        with_evolutions(evolution(id="ev-9", state="promoted"), evolution(state="canary"))(guardian)
        guardian.handlers["rollback"] = lambda **params: {"version": "0.1.0", "revision": "aa"}

    async with opened(workspace, setup=canary) as view:
        await view.go("review")
        await view.press("u")
        await view.until(lambda: isinstance(view.app.screen, ConfirmScreen))
        assert "The canary of ev-17 (recall) ends" in view.text()
        await view.press(*"rollback", "enter")
        await view.called("rollback")


async def test_nothing_to_roll_back(workspace: Paths) -> None:
    async with opened(workspace, setup=one) as view:
        await review(view)
        await view.press("u")
        assert "No promotion" in view.told()


async def test_choosing_among_several(workspace: Paths) -> None:
    async with opened(workspace, setup=two) as view:
        pane, _ = await review(view)
        view.app.set_focus(pane.waiting)
        await view.press("down")
        await view.until(lambda: pane._item["id"] == "ev-18")
        await view.press("enter")
        assert pane.diff.has_focus


async def test_a_decided_change_can_be_looked_at(workspace: Paths) -> None:
    rows = (evolution(), evolution(id="ev-9", state="rejected", reason="too slow", by="ada"))
    async with opened(workspace, setup=with_evolutions(*rows)) as view:
        pane, clock = await review(view)
        view.app.frame.go("review", "ev-9")
        await view.until(lambda: pane._item["id"] == "ev-9")
        assert "Rejected by ada: too slow" in view.text()
        clock.wait()
        await view.press("A")
        assert not pane.bar.open_for


# --- parts of a change


async def test_hunks_are_marked_and_a_part_goes_back_to_the_shadow(workspace: Paths) -> None:
    async with opened(workspace, (120, 40), keeps_parts) as view:
        pane, clock = await review(view)
        clock.wait()
        await view.press("space", "x")
        assert "[accepted]" in view.text()
        assert "[rejected]" in view.text()
        assert "1 accepted  1 rejected   A PARTIAL: goes back to shadow" in view.text()
        await view.press("A")
        assert isinstance(view.app.screen, PartScreen)
        assert "1 accepted, 1 rejected" in view.text()
        await view.press(*"no", "enter")
        called = await view.called("evolution.accept_part")
        assert called["digest"] == pane._item["diff_sha256"]
        assert called["keep"] == [key.text() for key in pane.diff.marks.accepted]
        assert called["reason"] == "no"
        await view.until(lambda: "tried as ev-20" in view.text())
        assert view.calls("approve") == []


async def test_open_lines_are_said_and_nothing_is_sent(workspace: Paths) -> None:
    async with opened(workspace, setup=keeps_parts) as view:
        _, clock = await review(view)
        clock.wait()
        await view.press("space", "A")
        assert "have no mark yet" in view.text()
        await view.press("z", "p", "x", "x", "A")
        assert "Nothing is accepted" in view.text()
        assert view.calls("evolution.accept_part") == view.calls("approve") == []


async def test_all_accepted_is_the_candidate_itself(workspace: Paths) -> None:
    async with opened(workspace, (120, 40), keeps_parts) as view:
        _, clock = await review(view)
        clock.wait()
        await view.press("space", "space")
        assert f"A approves all (asks for {VERSION})" in view.text()
        await view.press("A")
        clock.wait()
        await view.press(*VERSION, "enter")
        assert (await view.called("approve"))["id"] == "ev-17"
        assert view.calls("evolution.accept_part") == []


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_single_lines(workspace: Paths, size: tuple[int, int], snapshot: SnapshotAssertion) -> None:
    async with opened(workspace, size, keeps_parts) as view:
        pane, _ = await review(view)
        await view.press("v", "space", "down", "x")
        assert pane.diff.by_line
        assert await view.settled(pane) == snapshot
        await view.press("v", "space")
        assert pane.diff.marks.counts()["open"] == 1


async def test_a_part_asked_for_too_soon_is_refused(workspace: Paths) -> None:
    async with opened(workspace, setup=keeps_parts) as view:
        await review(view)
        await view.press("space", "x", "A")
        assert "Too soon" in view.text()
        assert view.calls("evolution.accept_part") == []


async def test_plots_stand_in_the_evidence(workspace: Paths) -> None:
    row = evolution()
    row["evidence"] = row["evidence"] | {"paired": [-0.2 + 0.01 * step for step in range(30)]}
    async with opened(workspace, (120, 40), with_evolutions(row)) as view:
        pane, _ = await review(view)
        evidence = str(pane.query_one("#evidence", Static).render())
        assert "Each pair, faster | slower" in evidence
        assert "├" in evidence
